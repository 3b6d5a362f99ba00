/*
 * ONE TURN, START TO END. Read this first.
 *
 * create(): admission → idempotency key → opening.ts (permit, place in the queue, log) → #run()
 * #run(): wait for the conversation → answer.ts (guards, context, provider) → settlement.ts
 *
 * A turn writes events to its response's log. It knows neither sockets nor viewers.
 */

import { asSluiceError, SluiceError } from '../domain/errors.js';
import { type Principal } from '../domain/principal.js';
import { type ResponseRequest } from '../domain/request.js';
import { sleep, systemTime, type Time } from '../domain/time.js';
import { type ConversationAnnouncements } from '../state/conversation-announcements.js';
import { type TurnLease } from '../state/event-log.js';
import { type Tracing } from '../observability/tracing.js';
import { type CallGate, type CallPlace } from '../provider/call-gate.js';
import { type Admission } from './admission.js';
import { answer, type AnswerParts } from './answer.js';
import { onBehalfOf } from './caller-rules.js';
import { type DrainState } from './drain-state.js';
import { requestBytes } from './item-size.js';
import { keepLease } from './keep-lease.js';
import { type LimitStates, type TurnPermit } from './turn-limits.js';
import { type IdempotencyUse } from './idempotency.js';
import {
  type OpeningOptions,
  type OpeningParts,
  IdempotencyKeyTakenOver,
  TurnOpening,
  type TurnToOpen,
} from './opening.js';
import { CANCELLED, outcomeOf, type TurnOutcome, TurnStopped } from './outcome.js';
import { draining, repeatedResponseGone } from './response-errors.js';
import { retryWhileUnavailable } from './retry-while-unavailable.js';
import { type ResponseReader } from './response-reader.js';
import { handOver, isUnreported, leaveConversation, releasePlace } from './release-turn.js';
import { type Settlement } from './settlement.js';
import { type ShadowRuns } from './shadow-runs.js';
import { newResponse, type Turn, type TurnOrigin } from './turn.js';
import { type TurnContexts } from './turn-context.js';
import { type TurnRoom } from './turn-room.js';
import { TurnTrace } from './turn-trace.js';
import { type UnstoredResponses } from './unstored-responses.js';

export interface TurnParts extends OpeningParts, AnswerParts {
  readonly contexts: TurnContexts;
  readonly admission: Admission;
  readonly room: TurnRoom;
  readonly lease: TurnLease;
  readonly announcements: Pick<ConversationAnnouncements, 'announce'>;
  readonly reader: ResponseReader;
  /** Decides before a turn exists whether a provider can be called. */
  readonly gate: Pick<CallGate, 'enter'>;
  readonly settlement: Settlement;
  /** Absent: no candidate version of a prompt is tried. */
  readonly shadows?: Pick<ShadowRuns, 'after'>;
  readonly tracing: Tracing;
  readonly drain: DrainState;
}

export interface CreateOptions {
  /** Called with the response's id before any event of the response is visible. */
  readonly onResponse?: (responseId: string) => void;
  readonly idempotency?: IdempotencyUse;
  /** Aborting it cancels the turn that this call starts, but not a turn that the call joins. */
  readonly signal?: AbortSignal;
  /** The responses that only the caller's connection remembers. */
  readonly unstored?: UnstoredResponses;
}

export interface CreatedTurn {
  readonly responseId: string;
  /** State of the caller's limits. Empty if there are none, or if the request joined a turn. */
  readonly limits: LimitStates;
  /** Whether an earlier request with the same idempotency key started the turn. */
  readonly joined: boolean;
}

/** Milliseconds for turns to write their ends in a drain. Less than the drain waits. */
const END_WITHIN_MS = 1_500;

export class TurnService {
  readonly #parts: TurnParts;
  readonly #opening: TurnOpening;
  readonly #time: Time;
  readonly #starting = new Set<Promise<unknown>>();
  readonly #running = new Map<string, { readonly turn: Turn; readonly done: Promise<void> }>();
  /** Set when all turns must end, including those that are being created. */
  #ending: TurnStopped | undefined;

  constructor(parts: TurnParts, options: OpeningOptions) {
    this.#parts = parts;
    this.#opening = new TurnOpening(parts, options);
    this.#time = options.time ?? systemTime;
  }

  /** Number of turns that this replica runs, including those that wait for their conversation. */
  get count(): number {
    return this.#running.size;
  }

  /**
   * Admits a request and starts its turn. Resolves when `response.created` is in the log.
   * @throws SluiceError if the request is refused before a response exists
   */
  async create(
    sender: Principal,
    request: ResponseRequest,
    origin: TurnOrigin,
    options: CreateOptions = {},
  ): Promise<CreatedTurn> {
    this.#refuseWhileDraining();
    const caller = onBehalfOf(sender, request);
    const leaveRoom = this.#parts.room.enter(requestBytes(request));
    try {
      return await this.#create(caller, request, origin, options, leaveRoom);
    } catch (error) {
      leaveRoom();
      // Another request with the same key has started its turn meanwhile: join that turn.
      if (error instanceof IdempotencyKeyTakenOver) return this.create(caller, request, origin, options);
      throw error;
    }
  }

  async #create(
    caller: Principal,
    request: ResponseRequest,
    origin: TurnOrigin,
    options: CreateOptions,
    leaveRoom: () => void,
  ): Promise<CreatedTurn> {
    const trace = TurnTrace.begin(this.#parts.tracing, origin, this.#time);
    const plan = await trace.admitting((rendering) =>
      this.#parts.admission.admit(caller, request, rendering, options.unstored),
    );
    const response = newResponse(plan, this.#time);
    const known = await this.#parts.idempotency.claim(caller, response.id, options.idempotency);
    options.onResponse?.(known ?? response.id);
    if (known !== null) {
      await this.#refuseIfGone(caller, known).catch((error: unknown) => {
        trace.refused(error);
        throw error;
      });
      trace.joined();
      leaveRoom();
      return { responseId: known, limits: {}, joined: true };
    }
    let place: CallPlace | undefined;
    try {
      // A turn without an answer calls no provider.
      if (request.generate !== false) place = await this.#parts.gate.enter();
      this.#refuseWhileDraining();
      const { signal, idempotency } = options;
      const placed = place === undefined ? plan : { ...plan, place };
      const toOpen = { plan: placed, response, origin, trace, idempotency, signal };
      const starting = this.#start(toOpen, leaveRoom).finally(() => this.#starting.delete(starting));
      this.#starting.add(starting);
      return { responseId: response.id, limits: await starting, joined: false };
    } catch (error) {
      await place?.giveBack().catch(() => undefined);
      trace.refused(error);
      if (error instanceof IdempotencyKeyTakenOver) throw error;
      await this.#parts.idempotency.release(caller, response.id, options.idempotency);
      throw error;
    }
  }

  /**
   * Requests that a turn be cancelled, on any replica. The request is durable and idempotent.
   * @returns `ended` if there is nothing left to cancel
   * @throws SluiceError `response_not_found`
   */
  async cancel(caller: Principal, responseId: string): Promise<'requested' | 'ended'> {
    const { reader, events, report } = this.#parts;
    if ((await reader.status(caller, responseId)) === 'ended') return 'ended';
    report.cancelRequested(responseId, caller);
    return (await events.requestCancel(responseId)) ? 'requested' : 'ended';
  }

  /** Resolves when no turn runs here or is being created. */
  async whenIdle(): Promise<void> {
    while (this.#starting.size + this.#running.size > 0) {
      await Promise.allSettled([...this.#starting, ...[...this.#running.values()].map(({ done }) => done)]);
    }
  }

  /**
   * Ends every turn as failed with `error`, at the end of a drain's grace. Resolves when each turn
   * has its terminal event, or has released its lease because it could not end in time. Another
   * replica ends it then.
   */
  async abortAll(error: SluiceError): Promise<void> {
    this.#ending = new TurnStopped({ end: 'failed', error });
    for (const { turn } of this.#running.values()) turn.stop.abort(this.#ending);
    await Promise.race([this.whenIdle(), sleep(this.#time, END_WITHIN_MS)]);
    await Promise.all([...this.#running.values()].map(({ turn }) => handOver(turn, this.#parts.lease)));
  }

  #refuseWhileDraining(): void {
    if (this.#parts.drain.draining) throw draining();
  }

  /** Refuses a repeated request whose response is gone. Running it again would charge twice. */
  async #refuseIfGone(caller: Principal, responseId: string): Promise<void> {
    try {
      await this.#parts.reader.status(caller, responseId);
    } catch (error) {
      throw error instanceof SluiceError && error.code === 'response_not_found' ? repeatedResponseGone() : error;
    }
  }

  /** Resolves when `response.created` is in the log. @returns the state of the caller's limits */
  async #start(toOpen: TurnToOpen, leaveRoom: () => void): Promise<LimitStates> {
    const { turn, waits, permit, announced } = await this.#opening.open(toOpen);
    if (this.#ending !== undefined) turn.stop.abort(this.#ending);
    onAbort(toOpen.signal, () => turn.stop.abort(CANCELLED));
    const announcing = announced ? undefined : this.#announce(turn);
    const done = this.#run(turn, waits, permit, leaveRoom)
      .then(() => announcing)
      .finally(() => this.#running.delete(turn.responseId));
    this.#running.set(turn.responseId, { turn, done });
    return permit.limits;
  }

  /** Announces the turn to the watchers of its conversation. The turn runs even if this fails. */
  async #announce({ plan: { source }, responseId }: Turn): Promise<void> {
    if (source.kind !== 'conversation') return;
    await retryWhileUnavailable(() => this.#parts.announcements.announce(source.id, responseId), {
      wanted: () => this.#ending === undefined,
      time: this.#time,
    }).catch(() => undefined);
  }

  async #run(turn: Turn, waits: boolean, permit: TurnPermit, leaveRoom: () => void): Promise<void> {
    const { settlement, report, clock, claim, lease } = this.#parts;
    const stopKeeping = keepLease(lease, turn, this.#time);
    clock.turns += 1;
    let end: TurnOutcome | 'lost' | SluiceError;
    try {
      const outcome = await this.#outcome(turn, waits);
      // Leave before the terminal event: a caller that receives it may send the next request at
      // once.
      permit.leave();
      leaveRoom();
      end = outcome === 'lost' ? 'lost' : await settlement.settle(turn, outcome, () => releasePlace(turn, claim));
    } catch (bug) {
      end = asSluiceError(bug);
    } finally {
      clock.turns -= 1;
      stopKeeping();
    }
    const gone = !turn.journal.ended && (await isUnreported(turn, this.#parts));
    if (!turn.journal.ended && !gone) {
      // The replica that ends this turn settles what was reserved. Settling it here too would
      // refund it twice.
      permit.handOver();
      await handOver(turn, lease);
    }
    try {
      if (end === 'lost') report.lost(turn, turn.journal.lost, gone);
      else if (end instanceof SluiceError) report.broken(turn, end, gone);
      else {
        report.ended(turn, end);
        this.#parts.shadows?.after(turn, end);
      }
    } finally {
      if (!turn.facts.providerCalled) await turn.plan.place?.giveBack().catch(() => undefined);
      await Promise.all([permit.settle(turn.facts).catch(() => undefined), leaveConversation(turn, this.#parts)]);
    }
  }

  async #outcome(turn: Turn, waits: boolean): Promise<TurnOutcome | 'lost'> {
    try {
      if (waits) await this.#waitFor(turn);
      return await answer(turn, this.#parts);
    } catch (thrown) {
      return outcomeOf(thrown, turn.stop.signal);
    }
  }

  async #waitFor({ plan: { source }, responseId, stop }: Turn): Promise<void> {
    const { claim, report } = this.#parts;
    if (source.kind !== 'conversation') return;
    report.waiting(1);
    try {
      await claim.wait(source.id, responseId, stop.signal);
    } finally {
      report.waiting(-1);
    }
  }
}

function onAbort(signal: AbortSignal | undefined, listener: () => void): void {
  if (signal?.aborted === true) listener();
  else signal?.addEventListener('abort', listener, { once: true });
}

/*
 * Opens a turn: takes its permit and its place in the conversation's queue, creates its log with
 * the first events, and confirms its idempotency key, in this order. A refusal releases all that
 * was taken.
 */

import { type ResponseEvent, serialize } from '../domain/event.js';
import { asSluiceError, SluiceError } from '../domain/errors.js';
import { itemIdsOf } from '../domain/ids.js';
import { type ResponseObject } from '../domain/response.js';
import { reachOf } from '../domain/principal.js';
import { systemTime, type Time } from '../domain/time.js';
import { type ConversationClaim, SURE_OF_PLACE_MS } from '../state/conversation-claim.js';
import { type ConversationEntry, type Entered } from '../state/conversation-entry.js';
import { type EventLog, LOG_TIMES, type LogHead } from '../state/event-log.js';
import { type OwnerIndex } from '../state/owner-index.js';
import { type TurnPlan } from './admission.js';
import { conversationNotFound } from './response-errors.js';
import { type FlushClock } from './flush-clock.js';
import { Journal } from './journal.js';
import { type TurnLimits, type TurnPermit } from './turn-limits.js';
import { type IdempotencyUse, type Idempotency } from './idempotency.js';
import { CANCELLED, LOST } from './outcome.js';
import { OutputWriter } from './output-writer.js';
import { storedInput } from './turn-input.js';
import { type TurnContexts } from './turn-context.js';
import { type TurnReport } from './turn-report.js';
import { type TurnGuards } from './turn-guards.js';
import { type TurnTrace } from './turn-trace.js';
import { newFacts, type Turn, type TurnOrigin } from './turn.js';
import { classOf } from './caller-rules.js';
import { endRefusedTurn } from './refused-turn.js';

export interface OpeningParts {
  readonly guards: TurnGuards;
  readonly limits: TurnLimits;
  readonly index: Pick<OwnerIndex, 'add'>;
  readonly claim: ConversationClaim;
  readonly entry: ConversationEntry;
  readonly events: EventLog;
  readonly contexts: Pick<TurnContexts, 'endOf'>;
  readonly idempotency: Idempotency;
  readonly clock: FlushClock;
  readonly report: TurnReport;
}

export interface OpeningOptions {
  /** How many turns may wait for one conversation. 0: a busy conversation refuses further turns. */
  readonly maxWaiting: number;
  /** Maximum number of items sent to the provider. */
  readonly windowItems: number;
  readonly time?: Time;
}

/** A turn before it is opened. */
export interface TurnToOpen {
  readonly plan: TurnPlan;
  readonly response: ResponseObject;
  readonly origin: TurnOrigin;
  readonly trace: TurnTrace;
  readonly idempotency: IdempotencyUse | undefined;
  /** Aborting it cancels the turn. One that is cancelled before its log exists does not begin. */
  readonly signal: AbortSignal | undefined;
}

export interface OpenedTurn {
  readonly turn: Turn;
  readonly permit: TurnPermit;
  /** Whether the turn has to wait for its conversation. */
  readonly waits: boolean;
  /** Whether the watchers of the conversation were notified of the turn. */
  readonly announced: boolean;
}

/**
 * Another replica took over the idempotency key while this one was stalled. Its response wins; ours
 * fails.
 */
export class IdempotencyKeyTakenOver extends SluiceError {
  constructor() {
    super('replica_lost', 'unable to run this turn; another replica has taken over its request');
  }
}

/**
 * Maximum number of refused turns whose logs this replica tries to end for as long as the store may
 * hold them. Each keeps its input in memory. The first ones count most: their creations were in
 * flight when the store went away, and may have been executed.
 */
const REFUSED_AT_ONCE = 100;

export class TurnOpening {
  readonly #parts: OpeningParts;
  readonly #options: OpeningOptions;
  readonly #time: Time;
  /** Number of refused turns whose logs are being ended. */
  #refused = 0;

  constructor(parts: OpeningParts, options: OpeningOptions) {
    this.#parts = parts;
    this.#options = options;
    this.#time = options.time ?? systemTime;
  }

  /**
   * Resolves when `response.created` is in the log.
   * @throws SluiceError `rate_limit_exceeded`, `conversation_not_found`, `conversation_busy`,
   * `state_unavailable`; IdempotencyKeyTakenOver
   */
  async open(request: TurnToOpen): Promise<OpenedTurn> {
    const permit = await this.#parts.limits.take(request.plan);
    try {
      return { ...(await this.#openLog(request, permit)), permit };
    } catch (error) {
      await permit.giveBack().catch(() => undefined);
      throw error;
    }
  }

  /** Joins the queue before creating the log, so that a refusal comes before a response exists. */
  async #openLog(request: TurnToOpen, permit: TurnPermit): Promise<Omit<OpenedTurn, 'permit'>> {
    const { plan, response, origin, trace, idempotency } = request;
    const { events, claim, clock, report, index, guards } = this.#parts;
    const time = this.#time;
    const conversationId = response.conversation?.id ?? null;
    const history = guards.judgeHistory(plan.prompt, plan.request.input);
    const itemIds = itemIdsOf(conversationId ?? response.id, time);
    const input = storedInput(plan, response.id, history.withheld, itemIds);
    const stop = new AbortController();
    const head = {
      responseId: response.id,
      owner: plan.caller.owner,
      ...classOf(plan.caller.limitsClass),
      conversationId,
      store: plan.request.store,
      input,
      ...(permit.reserved === undefined ? {} : { reserved: permit.reserved }),
    };
    let isCreated = false;
    let mayBeCreated = false;
    try {
      const requestedAt = time.now();
      let entered = await this.#enter(plan, response.id);
      const waits = !entered.first;
      // List the response of a user before it exists, so that none is out of reach of an erasure.
      if (plan.caller.user !== null) await index.add(plan.caller.owner, response.id);
      const first: ResponseObject = waits || plan.request.background ? { ...response, status: 'queued' } : response;
      const opening: ResponseEvent[] = [{ type: 'response.created', response: first }];
      if (waits) opening.push({ type: 'response.queued', response: first });
      // A turn begins with its log, unless it waits for its conversation, for a guardrail's verdict
      // that needs time, for the refusal of its input, or for the confirmation of its key.
      let begins = !waits && idempotency === undefined && guards.passesAtOnce(plan.prompt, plan.request.input);
      if (request.signal?.aborted === true) begins = false;
      const inProgress: ResponseObject = { ...response, status: 'in_progress' };
      const next: ResponseEvent[] = begins ? [{ type: 'response.in_progress', response: inProgress }] : [];
      mayBeCreated = true;
      const { fence, begun } = await events.createWith(
        head,
        opening.map((event, i) => serialize(event, i)),
        next.map((event, i) => serialize(event, opening.length + i)),
      );
      isCreated = true;
      if (begun) opening.push(...next);
      // Until its log exists, other replicas may evict this turn from the queue as dead. If this
      // process or the store stalled, another turn may be running by now, and both would write to
      // the conversation. A late turn therefore joins again: with a log it cannot be evicted before
      // its end.
      if (conversationId !== null && !begun && time.now() - requestedAt > SURE_OF_PLACE_MS) {
        // Another turn may have added items meanwhile, so the turn reads them again.
        entered = await claim.rejoin(conversationId, response.id, this.#options.maxWaiting, time.unique());
      }
      if (!(await this.#parts.idempotency.confirm(plan.caller, response.id, idempotency))) {
        throw new IdempotencyKeyTakenOver();
      }
      const journal = new Journal({
        events,
        clock,
        responseId: response.id,
        fence,
        response,
        opening,
        onCancel: () => stop.abort(CANCELLED),
        onLost: () => stop.abort(LOST),
        onAppend: trace.appending(report.appended),
        time: time,
      });
      if (!entered.first && !waits) {
        journal.emit({ type: 'response.queued', response: { ...response, status: 'queued' } });
      }
      const turn: Turn = {
        responseId: response.id,
        plan,
        origin,
        stop,
        fence,
        journal,
        writer: new OutputWriter(journal, itemIds),
        input,
        recent: entered.recent,
        facts: { ...newFacts(plan.model), begun, findings: [...history.findings] },
        trace,
        time: time,
        startedAt: time.now(),
      };
      report.started(turn);
      return { turn, waits: !entered.first, announced: begun };
    } catch (error) {
      // Leave even if joining failed: only its reply may have been lost.
      if (conversationId !== null) await claim.leave(conversationId, response.id).catch(() => undefined);
      const cause = asSluiceError(error);
      if (isCreated || (mayBeCreated && cause.code === 'state_unavailable')) {
        // A replica that takes over the log settles the reservation that the log holds. Refunding
        // it here, too, would refund it twice.
        void permit.giveBack(this.#endRefused(head, response, cause)).catch(() => undefined);
      }
      throw error;
    }
  }

  /**
   * Ends the log of a refused turn. If the store returns later than this replica gives up, another
   * replica takes the turn over as that of a lost replica, stores its input and charges its caller.
   * @returns whether the reservation is refunded here
   */
  async #endRefused(head: LogHead, response: ResponseObject, cause: SluiceError): Promise<boolean> {
    const lasting = this.#refused < REFUSED_AT_ONCE ? { giveUpMs: LOG_TIMES.runningMs } : {};
    this.#refused += 1;
    try {
      return await endRefusedTurn({ ...this.#parts, time: this.#time, ...lasting }, head, response, cause);
    } catch {
      return true;
    } finally {
      this.#refused -= 1;
    }
  }

  /** Takes the turn's place in its conversation. A turn outside of conversations has it already. */
  async #enter({ source, caller }: TurnPlan, responseId: string): Promise<Entered> {
    if (source.kind !== 'conversation') return { first: true };
    const entered = await this.#parts.entry.enter({
      conversationId: source.id,
      responseId,
      reach: reachOf(caller),
      maxWaiting: this.#options.maxWaiting,
      maxItems: this.#options.windowItems,
    });
    if (entered === undefined) throw conversationNotFound();
    return entered;
  }
}

/*
 * ONE TURN, START TO END. Read this first.
 *
 * create():  admission → limits → the response's log is opened with `response.created` in it → the turn runs by itself
 * #run():    claim the conversation → input guard → context → provider → output guard → journal → commit → one terminal event
 *
 * A turn writes events to its response's log and knows no socket: who watches, and whether anybody does, is not its business.
 */

import { asSluiceError, SluiceError } from '../domain/errors.js';
import { type ResponseEvent, serialize } from '../domain/event.js';
import { type Principal } from '../domain/principal.js';
import { type ResponseRequest } from '../domain/request.js';
import { type ResponseObject, ZERO_USAGE } from '../domain/response.js';
import { sleep, systemTime, type Time } from '../domain/time.js';
import { type ConversationClaim, SURE_OF_PLACE_MS } from '../state/conversation-claim.js';
import { type EventLog, type Reservation, type TurnLease } from '../state/event-log.js';
import { type Tracing } from '../observability/tracing.js';
import { untilLeft } from '../provider/handed-stream.js';
import { type CallGate, type CallPlace } from '../provider/call-gate.js';
import { type Provider, type ProviderPart } from '../provider/provider.js';
import { type Admission, type TurnPlan } from './admission.js';
import { type FlushClock } from './batch.js';
import { type DrainState } from './drain-state.js';
import { type TurnGuards } from './guards.js';
import { Journal } from './journal.js';
import { type ToldLimits, type TurnLimits, type TurnPermit } from './limits.js';
import { providerRequest, type TurnMemory } from './memory.js';
import { type IdempotencyUse, type Once } from './once.js';
import { keepLease } from './keep-lease.js';
import { CANCELLED, finished, LOST, outcomeOf, type TurnOutcome, TurnStopped } from './outcome.js';
import { OutputWriter } from './output-writer.js';
import { patiently } from './patience.js';
import { type TurnReport } from './report.js';
import { type ResponseReader } from './response-reader.js';
import { type Settlement } from './settlement.js';
import { requestBytes } from './input-size.js';
import { type TurnRoom } from './turn-room.js';
import { newFacts, newResponse, type Turn, type TurnOrigin } from './turn.js';
import { TurnTrace } from './turn-trace.js';

export interface TurnParts {
  readonly admission: Admission;
  readonly room: TurnRoom;
  readonly limits: TurnLimits;
  readonly log: EventLog;
  readonly lease: TurnLease;
  readonly claim: ConversationClaim;
  readonly reader: ResponseReader;
  readonly once: Once;
  readonly memory: TurnMemory;
  readonly guards: TurnGuards;
  readonly provider: Provider;
  /** Decides before a turn exists whether a provider can be asked. */
  readonly gate: Pick<CallGate, 'enter'>;
  readonly settlement: Settlement;
  readonly report: TurnReport;
  readonly tracing: Tracing;
  readonly clock: FlushClock;
  readonly drain: DrainState;
}

export interface TurnServiceOptions {
  /** How many turns may wait for one conversation; 0: a busy conversation refuses. */
  readonly maxWaiting: number;
  readonly time?: Time;
}

export interface CreateOptions {
  /** Told the response's id before anybody else can hear of it. */
  readonly onResponse?: (responseId: string) => void;
  readonly idempotency?: IdempotencyUse;
  /** Aborting it cancels the turn, even before it starts. */
  readonly signal?: AbortSignal;
}

export interface CreatedTurn {
  readonly responseId: string;
  /** What is left to the caller; empty where it has no limits, or the turn ran before. */
  readonly limits: ToldLimits;
}

/** How long turns that are ended by a drain may take to write their ends, in milliseconds: less than the drain waits. */
const END_WITHIN_MS = 1_500;

export class TurnService {
  readonly #parts: TurnParts;
  readonly #options: TurnServiceOptions;
  readonly #time: Time;
  readonly #starting = new Set<Promise<unknown>>();
  readonly #running = new Map<string, { readonly turn: Turn; readonly done: Promise<void> }>();
  /** Set when every turn is to end, those that are just being created too. */
  #ending: TurnStopped | undefined;

  constructor(parts: TurnParts, options: TurnServiceOptions) {
    this.#parts = parts;
    this.#options = options;
    this.#time = options.time ?? systemTime;
  }

  /** Turns that this replica runs now, waiting ones included. */
  get count(): number {
    return this.#running.size;
  }

  /**
   * Admits a request and starts its turn; resolves when `response.created` stands in the log.
   * @throws SluiceError whatever is refused before there is a response
   */
  async create(
    caller: Principal,
    request: ResponseRequest,
    origin: TurnOrigin,
    options: CreateOptions = {},
  ): Promise<CreatedTurn> {
    this.#refuseWhileDraining();
    const leaveRoom = this.#parts.room.enter(requestBytes(request));
    try {
      return await this.#create(caller, request, origin, options, leaveRoom);
    } catch (error) {
      leaveRoom();
      // Another request with the same key began its turn meanwhile.
      if (error instanceof TooLate) return this.create(caller, request, origin, options);
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
    const plan = await trace.admitting((rendering) => this.#parts.admission.admit(caller, request, rendering));
    const response = newResponse(plan, this.#time);
    const known = await this.#parts.once.claim(caller, response.id, options.idempotency);
    options.onResponse?.(known ?? response.id);
    if (known !== null) {
      await this.#refuseIfGone(caller, known).catch((error: unknown) => {
        trace.refused(error);
        throw error;
      });
      trace.joined();
      leaveRoom();
      return this.#joined(caller, known, options.signal);
    }
    let place: CallPlace | undefined;
    try {
      place = await this.#parts.gate.enter();
      this.#refuseWhileDraining();
      const starting = this.#start({ ...plan, place }, response, origin, trace, options, leaveRoom).finally(() =>
        this.#starting.delete(starting),
      );
      this.#starting.add(starting);
      return { responseId: response.id, limits: await starting };
    } catch (error) {
      await place?.giveBack().catch(() => undefined);
      trace.refused(error);
      if (error instanceof TooLate) throw error;
      await this.#parts.once.release(caller, response.id, options.idempotency);
      throw error;
    }
  }

  /**
   * Asks that a turn be cancelled, wherever it runs; durable and idempotent. `ended`: there is nothing left to cancel.
   * @throws SluiceError `response_not_found`
   */
  async cancel(caller: Principal, responseId: string): Promise<'asked' | 'ended'> {
    const { reader, log, report } = this.#parts;
    if ((await reader.status(caller, responseId)) === 'ended') return 'ended';
    report.cancelAsked(responseId, caller);
    return (await log.requestCancel(responseId)) ? 'asked' : 'ended';
  }

  /** Resolves when no turn runs here or is being created. */
  async whenIdle(): Promise<void> {
    while (this.#starting.size + this.#running.size > 0) {
      await Promise.allSettled([...this.#starting, ...[...this.#running.values()].map(({ done }) => done)]);
    }
  }

  /**
   * Ends every turn as failed with `error`, at the end of a drain's grace. Resolves when each turn has its terminal event, or its lease was given up
   * because it could not end in time: another replica ends it then.
   */
  async abortAll(error: SluiceError): Promise<void> {
    this.#ending = new TurnStopped({ end: 'failed', error });
    for (const { turn } of this.#running.values()) turn.stop.abort(this.#ending);
    await Promise.race([this.whenIdle(), sleep(this.#time, END_WITHIN_MS)]);
    await Promise.all([...this.#running.values()].map(({ turn }) => this.#handOver(turn)));
  }

  #refuseWhileDraining(): void {
    if (this.#parts.drain.draining) throw draining();
  }

  /** A key stands for its response for as long as the key is kept: a response that is gone is not made, and paid, a second time. */
  async #refuseIfGone(caller: Principal, responseId: string): Promise<void> {
    try {
      await this.#parts.reader.status(caller, responseId);
    } catch (error) {
      throw error instanceof SluiceError && error.code === 'response_not_found' ? repeatedResponseGone() : error;
    }
  }

  /** The same request started this response before; who cancels this one means that one. */
  #joined(caller: Principal, responseId: string, signal: AbortSignal | undefined): CreatedTurn {
    onAbort(signal, () => void this.cancel(caller, responseId).catch(() => undefined));
    return { responseId, limits: {} };
  }

  /** Resolves when `response.created` stands in the log, to what the caller may still use. */
  async #start(
    plan: TurnPlan,
    response: ResponseObject,
    origin: TurnOrigin,
    trace: TurnTrace,
    { signal, idempotency }: CreateOptions,
    leaveRoom: () => void,
  ): Promise<ToldLimits> {
    const permit = await this.#parts.limits.take(plan);
    const { turn, waits } = await this.#open(plan, response, origin, trace, idempotency, permit.reserved).catch(
      async (error: unknown) => {
        await permit.giveBack().catch(() => undefined);
        throw error;
      },
    );
    if (this.#ending !== undefined) turn.stop.abort(this.#ending);
    onAbort(signal, () => turn.stop.abort(CANCELLED));
    const announced = this.#announce(turn);
    const done = this.#run(turn, waits, permit, leaveRoom)
      .then(() => announced)
      .finally(() => this.#running.delete(turn.responseId));
    this.#running.set(turn.responseId, { turn, done });
    return permit.told;
  }

  /** Tells whoever watches its conversation of the turn, which runs whether or not that can be done just now. */
  async #announce({ plan: { source }, responseId }: Turn): Promise<void> {
    if (source.kind !== 'conversation') return;
    await patiently(() => this.#parts.claim.announce(source.id, responseId), {
      wanted: () => this.#ending === undefined,
      time: this.#time,
    }).catch(() => undefined);
  }

  /** Takes the conversation's next place in line, then opens the log: a refusal comes before there is a response. */
  async #open(
    plan: TurnPlan,
    response: ResponseObject,
    origin: TurnOrigin,
    trace: TurnTrace,
    idempotency: IdempotencyUse | undefined,
    reserved: Reservation | undefined,
  ): Promise<{ turn: Turn; waits: boolean }> {
    const { log, claim, clock, report, once } = this.#parts;
    const { maxWaiting } = this.#options;
    const conversationId = response.conversation?.id ?? null;
    const input = plan.request.input.map((item) => ({ item, responseId: response.id, withheld: false }));
    const stop = new AbortController();
    try {
      const askedAt = this.#time.now();
      let waits = conversationId !== null && !(await claim.join(conversationId, response.id, maxWaiting)).first;
      const head = {
        responseId: response.id,
        owner: plan.caller.owner,
        conversationId,
        store: plan.request.store,
        input,
        ...(reserved === undefined ? {} : { reserved }),
      };
      const first: ResponseObject = waits || plan.request.background ? { ...response, status: 'queued' } : response;
      const opening: ResponseEvent[] = [{ type: 'response.created', response: first }];
      if (waits) opening.push({ type: 'response.queued', response: first });
      const fence = await log.begin(head, opening.map(serialize));
      // Until its log began, other replicas could put this turn out of the queue as dead. If this process or the store stood still, one may have done
      // so and run its own turn, or be about to. A turn that is late takes a new place, which only its end can take from it, and waits there.
      if (conversationId !== null && this.#time.now() - askedAt > SURE_OF_PLACE_MS) {
        waits = !(await this.#rejoin(conversationId, response.id)).first;
      }
      if (!(await once.confirm(plan.caller, response.id, idempotency))) {
        await log.delete(response.id).catch(() => undefined);
        throw new TooLate();
      }
      const journal = new Journal({
        log,
        clock,
        responseId: response.id,
        fence,
        response,
        opening,
        onCancel: () => stop.abort(CANCELLED),
        onLost: () => stop.abort(LOST),
        onAppend: trace.appending(report.appended),
        time: this.#time,
      });
      if (waits && opening.length === 1) {
        journal.emit({ type: 'response.queued', response: { ...response, status: 'queued' } });
      }
      const turn: Turn = {
        responseId: response.id,
        plan,
        origin,
        stop,
        fence,
        journal,
        writer: new OutputWriter(journal, this.#time),
        input,
        facts: newFacts(plan.model),
        trace,
        time: this.#time,
        startedAt: this.#time.now(),
      };
      report.started(turn);
      return { turn, waits };
    } catch (error) {
      // Also where joining failed: its reply may have been lost.
      if (conversationId !== null) await claim.leave(conversationId, response.id).catch(() => undefined);
      throw error;
    }
  }

  /** Takes a new place in the queue for a turn whose log has begun; the log is removed where there is no room. */
  async #rejoin(conversationId: string, responseId: string): Promise<{ readonly first: boolean }> {
    const { claim, log } = this.#parts;
    try {
      return await claim.rejoin(conversationId, responseId, this.#options.maxWaiting);
    } catch (error) {
      await log.delete(responseId).catch(() => undefined);
      throw error;
    }
  }

  async #run(turn: Turn, waits: boolean, permit: TurnPermit, leaveRoom: () => void): Promise<void> {
    const { settlement, report, clock } = this.#parts;
    const stopKeeping = keepLease(this.#parts.lease, turn, this.#time);
    clock.turns += 1;
    let end: TurnOutcome | 'lost' | SluiceError;
    try {
      const outcome = await this.#outcome(turn, waits);
      // Before the terminal: a caller that sees it may ask again at once.
      permit.leave();
      leaveRoom();
      end = outcome === 'lost' ? 'lost' : await settlement.settle(turn, outcome, () => this.#yield(turn));
    } catch (bug) {
      end = asSluiceError(bug);
    } finally {
      clock.turns -= 1;
      stopKeeping();
    }
    const gone = !turn.journal.ended && (await this.#isGone(turn));
    if (!turn.journal.ended && !gone) {
      // The replica that ends this turn settles what was reserved. Settling it here too would give it back twice.
      permit.handOver();
      await this.#handOver(turn);
    }
    try {
      if (end === 'lost') report.lost(turn, turn.journal.lost, gone);
      else if (end instanceof SluiceError) report.broken(turn, end, gone);
      else report.ended(turn, end);
    } finally {
      if (!turn.facts.providerCalled) await turn.plan.place?.giveBack().catch(() => undefined);
      await Promise.all([permit.settle(turn.facts).catch(() => undefined), this.#leave(turn)]);
    }
  }

  async #outcome(turn: Turn, waits: boolean): Promise<TurnOutcome | 'lost'> {
    try {
      return await this.#answer(turn, waits);
    } catch (thrown) {
      return outcomeOf(thrown, turn.stop.signal);
    }
  }

  /**
   * Stops writing to a log that has no terminal, and gives its lease up, so that the next sweep ends the turn (this replica's or another's). Without
   * effect if another replica owns the turn already.
   */
  async #handOver({ responseId, fence, journal }: Turn): Promise<void> {
    journal.leaseLost();
    await this.#parts.lease.release(responseId, fence).catch(() => undefined);
  }

  /** Lets the next turn of the conversation begin before the terminal is told: whoever sees that may ask again at once. */
  async #yield({ plan: { source }, responseId }: Turn): Promise<void> {
    if (source.kind === 'conversation') await this.#parts.claim.leave(source.id, responseId).catch(() => undefined);
  }

  /** The same where the turn did not get so far. A turn that ended elsewhere, or will, is left by whoever commits what it said. */
  async #leave({ plan, responseId, journal }: Turn): Promise<void> {
    const { claim, log } = this.#parts;
    const { source } = plan;
    if (source.kind !== 'conversation') return;
    if (!journal.ended) {
      const open = await log.read(responseId, -1, 0).then(
        (page) => page !== undefined && !page.ended,
        () => true,
      );
      if (open) return;
    }
    await patiently(() => claim.leave(source.id, responseId), { time: this.#time }).catch(() => undefined);
  }

  /** Is its log no more? Then nobody else will tell its end either. */
  #isGone({ responseId }: Turn): Promise<boolean> {
    return this.#parts.log.read(responseId, -1, 0).then(
      (page) => page === undefined,
      () => false,
    );
  }

  /** The turn itself. Returns how it ended or throws; what it showed on the way is in the journal. */
  async #answer(turn: Turn, waits: boolean): Promise<TurnOutcome> {
    const { memory, guards, provider } = this.#parts;
    const { plan, journal, writer, facts, stop, trace } = turn;

    if (waits && plan.source.kind === 'conversation') await this.#waitFor(turn, plan.source.id);
    stop.signal.throwIfAborted();
    journal.emit({
      type: 'response.in_progress',
      response: { ...journal.accumulator.response(), status: 'in_progress' },
    });

    // Judged in the same step as it begins: what stands in the log as begun has passed, or says by its refusal that it has not.
    const verdict = trace.guardingInput(() => guards.checkInput(plan.prompt, plan.request.input));
    facts.begun = true;
    facts.findings.push(...verdict.notes);
    if (verdict.deny !== undefined) {
      facts.findings.push(verdict.deny.finding);
      facts.inputRefused = true;
      facts.usage = ZERO_USAGE;
      writer.refusal(verdict.deny.message);
      return { end: 'completed' };
    }

    facts.context = await patiently(() => memory.contextOf(plan, turn.input), {
      wanted: () => !stop.signal.aborted,
      time: this.#time,
    });
    const guard = guards.forOutput(plan.prompt, trace.guardingOutput);
    facts.providerCalled = true;
    const asked = providerRequest(plan, facts.context.items);
    const parts = trace.calling(asked, (request) => provider.stream(request, stop.signal));
    // How the provider takes being left changes nothing that was decided.
    for await (const part of untilLeft(parts)) {
      stop.signal.throwIfAborted();
      const outcome = this.#take(turn, guard, part);
      if (outcome !== undefined) return outcome;
    }
    throw new SluiceError(
      'provider_stream_interrupted',
      'unable to finish the answer; the provider stopped without saying so',
    );
  }

  async #waitFor(turn: Turn, conversationId: string): Promise<void> {
    const { claim, report } = this.#parts;
    report.waiting(1);
    try {
      await claim.wait(conversationId, turn.responseId, turn.stop.signal);
    } finally {
      report.waiting(-1);
    }
  }

  /** One part of the provider's stream. An outcome ends the turn; leaving the loop aborts the provider's stream. */
  #take(turn: Turn, guard: ReturnType<TurnGuards['forOutput']>, part: ProviderPart): TurnOutcome | undefined {
    const { writer, facts } = turn;
    switch (part.type) {
      case 'start':
        facts.provider = part.provider;
        facts.model = part.model;
        return undefined;
      case 'text':
      case 'refusal':
        facts.produced += part.text;
        return guard.push(turn, part.type, part.text);
      case 'reasoning':
        facts.produced += part.text;
        return undefined;
      case 'function_call': {
        const stopped = guard.flush(turn);
        if (stopped === undefined) writer.functionCall(part.index, part.callId, part.name);
        return stopped;
      }
      case 'function_arguments':
        facts.produced += part.delta;
        writer.functionArguments(part.index, part.delta);
        return undefined;
      case 'usage':
        facts.usage = part.usage;
        facts.usageEstimated = part.estimated;
        return undefined;
      case 'finish':
        return guard.flush(turn) ?? finished(part.reason);
    }
  }
}

/** Another replica took the idempotency key over while this one stood still: its response is the one, and this one never was. */
class TooLate extends Error {}

function onAbort(signal: AbortSignal | undefined, listener: () => void): void {
  if (signal?.aborted === true) listener();
  else signal?.addEventListener('abort', listener, { once: true });
}

function draining(): SluiceError {
  return new SluiceError(
    'draining',
    'unable to start a turn; this replica is shutting down; connect again and send it there',
    {
      retryAfterMs: 1_000,
    },
  );
}

function repeatedResponseGone(): SluiceError {
  return new SluiceError(
    'response_expired',
    'unable to repeat this response; it was deleted, not stored, or has expired; send the request with a new key',
  );
}

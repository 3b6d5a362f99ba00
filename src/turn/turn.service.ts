/*
 * ONE TURN, START TO END. Read this first.
 *
 * create():  admission → the response's log is opened with `response.created` → the turn runs by itself
 * #run():    claim the conversation → context → input guard → provider → output guard → journal → commit → one terminal event
 *
 * A turn writes events to its response's log and knows no socket: who watches, and whether anybody does, is not its business.
 */

import { asSluiceError, SluiceError } from '../domain/errors.js';
import { type Principal } from '../domain/principal.js';
import { type ResponseRequest } from '../domain/request.js';
import { type ResponseObject, ZERO_USAGE } from '../domain/response.js';
import { type ConversationClaim } from '../state/conversation-claim.js';
import { type EventLog, LOG_TIMES, type TurnLease } from '../state/event-log.js';
import { type Provider, type ProviderPart } from '../provider/provider.js';
import { type Admission, type TurnPlan } from './admission.js';
import { type FlushClock } from './batch.js';
import { type DrainState } from './drain-state.js';
import { type TurnGuards } from './guards.js';
import { Journal } from './journal.js';
import { providerRequest, type TurnMemory } from './memory.js';
import { type IdempotencyUse, type Once } from './once.js';
import { CANCELLED, LOST, type TurnOutcome, TurnStopped } from './outcome.js';
import { OutputWriter } from './output-writer.js';
import { type TurnReport } from './report.js';
import { type ResponseReader } from './response-reader.js';
import { type Settlement } from './settlement.js';
import { newFacts, newResponse, type Turn, type TurnOrigin } from './turn.js';

export interface TurnParts {
  readonly admission: Admission;
  readonly log: EventLog;
  readonly lease: TurnLease;
  readonly claim: ConversationClaim;
  readonly reader: ResponseReader;
  readonly once: Once;
  readonly memory: TurnMemory;
  readonly guards: TurnGuards;
  readonly provider: Provider;
  readonly settlement: Settlement;
  readonly report: TurnReport;
  readonly clock: FlushClock;
  readonly drain: DrainState;
}

export interface TurnServiceOptions {
  /** How many turns may wait for one conversation; 0: a busy conversation refuses. */
  readonly maxWaiting: number;
}

export interface CreateOptions {
  /** Told the response's id before anybody else can hear of it. */
  readonly onResponse?: (responseId: string) => void;
  readonly idempotency?: IdempotencyUse;
  /** Aborting it cancels the turn, even before it starts. */
  readonly signal?: AbortSignal;
}

export class TurnService {
  readonly #parts: TurnParts;
  readonly #options: TurnServiceOptions;
  readonly #running = new Map<string, { readonly turn: Turn; readonly done: Promise<void> }>();

  constructor(parts: TurnParts, options: TurnServiceOptions) {
    this.#parts = parts;
    this.#options = options;
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
  ): Promise<{ readonly responseId: string }> {
    if (this.#parts.drain.draining) throw draining();
    const plan = await this.#parts.admission.admit(caller, request);
    const response = newResponse(plan, Date.now());
    const known = await this.#parts.once.claim(caller, response.id, options.idempotency);
    options.onResponse?.(known ?? response.id);
    if (known !== null) return { responseId: known };
    const { turn, waits } = await this.#open(plan, response, origin).catch(async (error: unknown) => {
      await this.#parts.once.release(caller, response.id, options.idempotency);
      throw error;
    });
    const done = this.#run(turn, waits).finally(() => this.#running.delete(turn.responseId));
    this.#running.set(turn.responseId, { turn, done });
    options.signal?.addEventListener('abort', () => turn.stop.abort(CANCELLED), { once: true });
    if (options.signal?.aborted === true) turn.stop.abort(CANCELLED);
    await turn.journal.flushed();
    if (plan.source.kind === 'conversation') await this.#parts.claim.announce(plan.source.id, turn.responseId);
    return { responseId: turn.responseId };
  }

  /**
   * Asks that a turn be cancelled, wherever it runs; durable and idempotent. `ended`: there is nothing left to cancel.
   * @throws SluiceError `response_not_found`
   */
  async cancel(caller: Principal, responseId: string): Promise<'asked' | 'ended'> {
    const { reader, log } = this.#parts;
    if ((await reader.status(caller, responseId)) === 'ended') return 'ended';
    return (await log.requestCancel(responseId)) ? 'asked' : 'ended';
  }

  /** Resolves when no turn runs here. */
  async whenIdle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all([...this.#running.values()].map(({ done }) => done));
  }

  /** Ends every running turn as failed with `error` and resolves when each has its terminal event: the end of a drain's patience. */
  async abortAll(error: SluiceError): Promise<void> {
    for (const { turn } of this.#running.values()) turn.stop.abort(new TurnStopped({ end: 'failed', error }));
    await this.whenIdle();
  }

  /** Takes the conversation's next place in line, then opens the log: a refusal comes before there is a response. */
  async #open(plan: TurnPlan, response: ResponseObject, origin: TurnOrigin): Promise<{ turn: Turn; waits: boolean }> {
    const { log, claim, clock, report } = this.#parts;
    const conversationId = response.conversation?.id ?? null;
    const waits =
      conversationId !== null && !(await claim.join(conversationId, response.id, this.#options.maxWaiting)).first;
    const input = plan.request.input.map((item) => ({ item, responseId: response.id, withheld: false }));
    const stop = new AbortController();
    try {
      const head = {
        responseId: response.id,
        owner: plan.caller.owner,
        conversationId,
        store: plan.request.store,
        input,
      };
      const fence = await log.create(head);
      const journal = new Journal({
        log,
        clock,
        responseId: response.id,
        fence,
        response,
        onCancel: () => stop.abort(CANCELLED),
        onLost: () => stop.abort(LOST),
        onAppend: report.appended,
      });
      const turn: Turn = {
        responseId: response.id,
        plan,
        origin,
        stop,
        fence,
        journal,
        writer: new OutputWriter(journal),
        input,
        facts: newFacts(plan.model),
        startedAt: performance.now(),
      };
      report.started(turn);
      const first: ResponseObject = waits || plan.request.background ? { ...response, status: 'queued' } : response;
      journal.emit({ type: 'response.created', response: first });
      if (waits) journal.emit({ type: 'response.queued', response: first });
      return { turn, waits };
    } catch (error) {
      if (conversationId !== null) await claim.leave(conversationId, response.id);
      throw error;
    }
  }

  async #run(turn: Turn, waits: boolean): Promise<void> {
    const { settlement, claim, report, clock } = this.#parts;
    const conversationId = turn.plan.source.kind === 'conversation' ? turn.plan.source.id : null;
    const stopKeeping = await this.#keepLease(turn);
    clock.turns += 1;
    try {
      const outcome = await this.#answer(turn, waits).catch((thrown: unknown) => outcomeOf(thrown, turn));
      if (outcome === 'lost') report.lost(turn);
      else report.ended(turn, await settlement.settle(turn, outcome));
    } catch (error) {
      report.broken(turn, asSluiceError(error));
    } finally {
      clock.turns -= 1;
      stopKeeping();
      if (conversationId !== null) await claim.leave(conversationId, turn.responseId).catch(() => undefined);
    }
  }

  /** The turn itself. Returns how it ended or throws; what it showed on the way is in the journal. */
  async #answer(turn: Turn, waits: boolean): Promise<TurnOutcome> {
    const { memory, guards, provider } = this.#parts;
    const { plan, journal, writer, facts, stop } = turn;

    if (waits && plan.source.kind === 'conversation') await this.#waitFor(turn, plan.source.id);
    stop.signal.throwIfAborted();
    journal.emit({
      type: 'response.in_progress',
      response: { ...journal.accumulator.response(), status: 'in_progress' },
    });

    facts.context = await memory.contextOf(plan);
    const verdict = guards.checkInput(plan.prompt, plan.request.input);
    facts.findings.push(...verdict.notes);
    if (verdict.deny !== undefined) {
      facts.findings.push(verdict.deny.finding);
      facts.inputRefused = true;
      facts.usage = ZERO_USAGE;
      writer.refusal(verdict.deny.message);
      return { end: 'completed' };
    }

    const guard = guards.forOutput(plan.prompt);
    facts.providerCalled = true;
    for await (const part of provider.stream(providerRequest(plan, facts.context.items), stop.signal)) {
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

  /** Renews the lease while the turn is silent, and hears of cancels. */
  async #keepLease(turn: Turn): Promise<() => void> {
    const { lease } = this.#parts;
    const unwatch = await lease
      .watchCancel(turn.responseId, () => turn.journal.cancelAsked())
      .catch(() => () => undefined);
    const renew = async (): Promise<void> => {
      if (Date.now() - turn.journal.appendedAt < LOG_TIMES.renewEveryMs) return;
      const { held, cancelRequested } = await lease.renew(turn.responseId, turn.fence);
      if (!held) turn.journal.leaseLost();
      else if (cancelRequested) turn.journal.cancelAsked();
    };
    const timer = setInterval(() => void renew().catch(() => undefined), LOG_TIMES.renewEveryMs);
    return () => {
      clearInterval(timer);
      unwatch();
    };
  }
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

function finished(reason: Extract<ProviderPart, { type: 'finish' }>['reason']): TurnOutcome {
  switch (reason) {
    case 'stop':
    case 'tool_calls':
      return { end: 'completed' };
    case 'length':
      return { end: 'incomplete', reason: 'max_output_tokens' };
    case 'content_filter':
      return { end: 'incomplete', reason: 'content_filter' };
  }
}

function outcomeOf(thrown: unknown, turn: Turn): TurnOutcome | 'lost' {
  const { signal } = turn.stop;
  if (signal.aborted && signal.reason instanceof TurnStopped) return signal.reason.outcome;
  return { end: 'failed', error: asSluiceError(thrown) };
}

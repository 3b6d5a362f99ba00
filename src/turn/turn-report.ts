/*
 * Reports turns to operators, as log lines and metrics. Contains ids, counts and durations only,
 * never message text.
 */

import { type ErrorCode, type SluiceError } from '../domain/errors.js';
import { shownAddress } from '../domain/network.js';
import { type Principal } from '../domain/principal.js';
import { type Finding, type ResponseObject, type Usage } from '../domain/response.js';
import { systemTime, type Time } from '../domain/time.js';
import { ProvidersPaused } from '../provider/call-gate.js';
import { type Log } from '../observability/log.js';
import { type Metrics } from '../observability/metrics.js';
import { reportCompaction } from './compaction-report.js';
import { isRefusal, type TurnOutcome } from './outcome.js';
import { countPromptTurn, type PromptTurn, promptOutcomeOf, type ShadowSkip } from './prompt-report.js';
import { type Turn, type TurnFacts } from './turn.js';

export interface RefusedTurn {
  readonly requestId: string;
  readonly method: string;
  /** The route's template, or `ws`. */
  readonly endpoint: string;
  /** The caller, or undefined if the request was refused before authentication. */
  readonly caller: Principal | undefined;
  readonly durationMs: number;
  /** Address of the client, as far as the proxies in front are trusted. Null if unknown. */
  readonly address: string | null;
  /** The caller's own id of the request. */
  readonly clientRequestId?: string | undefined;
  readonly error: SluiceError;
}

/** Codes from 500 on that are no failure of the gateway. */
const NOT_ERRORS: ReadonlySet<ErrorCode> = new Set(['auth_unavailable', 'draining', 'overloaded']);
const PAUSED_LOG_EVERY_MS = 10_000;

export class TurnReport {
  readonly #logger: Log;
  readonly #metrics: Metrics;
  readonly #time: Time;
  #pausedLoggedAt = -Infinity;
  /** Refusals since the last log line. */
  #pausedRefusals = 0;

  constructor(logger: Log, metrics: Metrics, time: Time = systemTime) {
    this.#logger = logger;
    this.#metrics = metrics;
    this.#time = time;
  }

  /** Counts an append, with its duration in milliseconds and the number of deltas in it. */
  readonly appended = (durationMs: number, deltas: number): void => {
    this.#metrics.of.append_duration_seconds.observe(durationMs / 1_000);
    if (deltas > 0) this.#metrics.of.response_deltas_total.inc(deltas);
  };

  started(turn: Turn): void {
    this.#metrics.of.turns_in_flight.inc();
    const { method, path } = turn.origin;
    this.#logger.info({ ...idsOf(turn), method, path }, 'request received');
  }

  /**
   * Reports a request that was refused before its turn began, for example by a limit or a drain.
   */
  refused(request: RefusedTurn): void {
    const { caller, error, durationMs, ...origin } = request;
    const paused = error instanceof ProvidersPaused;
    const expected = paused || NOT_ERRORS.has(error.code);
    const status = error.status >= 500 && !expected ? 'error' : 'refused';
    this.#metrics.of.requests_total.inc({ status });
    if (status === 'error') this.#metrics.of.failures_total.inc({ code: error.code });
    this.#metrics.of.refusals_total.inc({ code: error.code });
    const { endpoint: path, method, requestId } = origin;
    const user = caller === undefined ? null : nameOf(caller);
    const fields = {
      request_id: requestId,
      ...clientIdOf(request),
      method,
      path,
      user_id: user,
      address: shownAddress(request.address),
      duration: durationMs,
      error: error.code,
    };
    if (status === 'error') this.#logger.error({ ...fields, err: error }, 'request failed');
    else if (paused) this.#logPaused(fields);
    else this.#logger.warn(fields, 'request failed');
  }

  /**
   * Logs one line for many refusals: clients that retry at once would fill the log while a provider
   * is paused.
   */
  #logPaused(fields: Readonly<Record<string, unknown>>): void {
    const now = this.#time.now();
    this.#pausedRefusals += 1;
    if (now - this.#pausedLoggedAt < PAUSED_LOG_EVERY_MS) return;
    this.#logger.warn({ ...fields, refusals: this.#pausedRefusals }, 'requests refused while the provider is paused');
    this.#pausedLoggedAt = now;
    this.#pausedRefusals = 0;
  }

  /**
   * Logs that a caller opened a response for reading after event `after`. The response may run on
   * another replica.
   */
  readonly followed = (responseId: string, after: number, caller: Principal): void => {
    this.#logger.debug(
      { response_id: responseId, user_id: nameOf(caller), starting_after: after },
      'response opened for reading',
    );
  };

  cancelRequested(responseId: string, caller: Principal): void {
    this.#logger.debug({ response_id: responseId, user_id: nameOf(caller) }, 'cancel requested');
  }

  waiting(waits: 1 | -1): void {
    if (waits > 0) this.#metrics.of.turns_waiting.inc();
    else this.#metrics.of.turns_waiting.dec();
  }

  /** Reports a turn whose terminal event is in the log. */
  ended(turn: Turn, outcome: TurnOutcome): void {
    const { facts } = turn;
    const status = statusOf(turn, outcome);
    const durationMs = this.#finish(turn, status, outcome.end === 'failed' ? outcome.error.code : null);
    turn.trace.ended(turn, outcome);
    const { of } = this.#metrics;
    const { firstDeltaMs } = facts;
    if (firstDeltaMs !== null)
      of.time_to_first_delta_seconds.observe(turn.origin, firstDeltaMs / 1_000, turn.trace.exportedTraceId);
    for (const { guardrail, stage, decision } of facts.findings)
      of.guardrail_findings_total.inc({ guardrail, stage, decision });
    this.#count(facts.model, facts.providerCalled ? facts.usage : null, facts.costUsd);
    const { prompt } = turn.plan;
    if (prompt !== null) {
      const { costUsd, findings } = facts;
      const ended = { prompt, source: 'live', outcome: promptOutcomeOf(facts, outcome) } as const;
      countPromptTurn(this.#metrics, { ...ended, firstDeltaMs, costUsd, findings });
    }
    reportCompaction({ logger: this.#logger, metrics: this.#metrics }, turn, outcome, idsOf(turn));
    const fields = {
      ...idsOf(turn),
      duration: durationMs,
      input_tokens: facts.usage?.input_tokens ?? null,
      output_tokens: facts.usage?.output_tokens ?? null,
      cost: facts.costUsd,
      model: facts.model,
      provider: facts.provider,
      provider_request_id: facts.providerRequestId,
      time_to_first_text: firstDeltaMs === null ? null : Math.round(firstDeltaMs),
      retries: facts.retries,
      fallback: facts.fallback,
      outcome: outcome.end === 'incomplete' ? outcome.reason : outcome.end,
      ...(facts.findings.length === 0 ? {} : { findings: facts.findings.map(named) }),
    };
    if (facts.unstored !== null) {
      this.#logger.error({ ...idsOf(turn), error: facts.unstored.code, err: facts.unstored }, 'response not stored');
    }
    if (outcome.end !== 'failed') this.#logger.info(fields, 'request completed');
    else {
      const failed = { ...fields, error: outcome.error.code, err: outcome.error };
      if (isRefusal(outcome.error)) this.#logger.warn(failed, 'request failed');
      else this.#logger.error(failed, 'request failed');
    }
  }

  /**
   * Reports a turn that this replica has lost: another one owns it, or its log cannot be written.
   * The replica that ends the turn counts it.
   * @param gone whether the log is gone, so that no replica will end the turn
   */
  lost(turn: Turn, why: SluiceError | undefined, gone: boolean): void {
    this.#metrics.of.fenced_writes_total.inc();
    const code = why?.code ?? 'replica_lost';
    const durationMs = this.#finish(turn, gone ? 'error' : 'reported elsewhere', code);
    turn.trace.ended(turn, undefined, why);
    this.#logger.error({ ...idsOf(turn), duration: durationMs, error: code, err: why }, 'request failed');
  }

  /** Counts the turn of a lost replica, which has counted nothing of it. */
  adopted(response: ResponseObject): void {
    this.#metrics.of.orphans_ended_total.inc();
    this.endedUnrun(response);
  }

  /** Counts a turn that did not run here, or not at all: its creation was not answered. */
  endedUnrun(response: ResponseObject): void {
    const { of } = this.#metrics;
    const status = statusOfResponse(response);
    of.requests_total.inc({ status });
    if (status === 'error' && response.error !== null) of.failures_total.inc({ code: response.error.code });
    this.#count(response.model, response.usage, response.sluice.cost_usd);
  }

  /**
   * Reports a turn that could not be ended because of a bug.
   * @param gone whether the log is gone. Otherwise the replica that ends the turn counts it.
   */
  broken(turn: Turn, error: SluiceError, gone: boolean): void {
    const durationMs = this.#finish(turn, gone ? 'error' : 'reported elsewhere', error.code);
    turn.trace.ended(turn, undefined, error);
    this.#logger.error({ ...idsOf(turn), duration: durationMs, error: error.code, err: error }, 'request failed');
  }

  /**
   * Counts a run of a candidate version. It is no turn of a caller, but its provider charges for
   * it.
   */
  shadowed(prompt: PromptTurn['prompt'], facts: TurnFacts, outcome: TurnOutcome): void {
    this.#count(facts.model, facts.providerCalled ? facts.usage : null, facts.costUsd);
    const ended = { prompt, source: 'shadow', outcome: promptOutcomeOf(facts, outcome) } as const;
    countPromptTurn(this.#metrics, { ...ended, ...facts });
    if (outcome.end !== 'failed') return;
    const { pack, name, version } = prompt;
    this.#logger.debug({ prompt: `${pack}/${name}`, version, error: outcome.error.code }, 'shadow run failed');
  }

  /** Counts a turn that was chosen for a candidate version and not tried. */
  shadowSkipped(prompt: string, reason: ShadowSkip): void {
    this.#metrics.of.prompt_shadows_skipped_total.inc({ prompt, reason });
  }

  /** Counts the usage of a turn. */
  #count(model: string, usage: Usage | null, costUsd: number | null): void {
    const { tokens_total: tokens, llm_cost_usd: cost } = this.#metrics.of;
    if (usage !== null) {
      tokens.inc({ direction: 'input', model }, countable(usage.input_tokens));
      tokens.inc({ direction: 'output', model }, countable(usage.output_tokens));
    }
    if (costUsd !== null) cost.inc({ model }, countable(costUsd));
  }

  /** Counts the end of a turn. @param code code of its error, if there is one */
  #finish(turn: Turn, status: Status | 'reported elsewhere', code: ErrorCode | null): number {
    const durationMs = Math.round(turn.time.now() - turn.startedAt);
    this.#metrics.of.turns_in_flight.dec();
    if (status !== 'reported elsewhere') this.#metrics.of.requests_total.inc({ status });
    if (status === 'error' && code !== null) this.#metrics.of.failures_total.inc({ code });
    this.#metrics.of.request_duration_seconds.observe(turn.origin, durationMs / 1_000, turn.trace.exportedTraceId);
    return durationMs;
  }
}

type Status = 'success' | 'error' | 'refused' | 'cancelled';

function statusOf(turn: Turn, outcome: TurnOutcome): Status {
  switch (outcome.end) {
    case 'failed':
      return isRefusal(outcome.error) ? 'refused' : 'error';
    case 'completed':
      return turn.facts.inputRefused ? 'refused' : 'success';
    case 'incomplete':
      return outcome.reason === 'cancelled' ? 'cancelled' : 'success';
  }
}

/** Returns the status of a turn from its response alone. */
function statusOfResponse({ status, sluice }: ResponseObject): Status {
  if (status === 'failed') return 'error';
  if (status === 'cancelled') return 'cancelled';
  return sluice.kept === 'display_only' ? 'refused' : 'success';
}

/**
 * Makes a provider's count safe for a counter, which accepts no negative and no infinite amounts.
 */
function countable(amount: number): number {
  return amount > 0 && amount < Infinity ? amount : 0;
}

/** Returns the user, or the name of the server key if it acts for no user. */
function nameOf({ user, credential }: Principal): string {
  return user ?? credential;
}

/** A finding in one word: `pii/output/redact/email@12`. */
function named({ guardrail, stage, decision, reason, position }: Finding): string {
  return `${guardrail}/${stage}/${decision}/${reason}${position === undefined ? '' : `@${position}`}`;
}

function clientIdOf({ clientRequestId }: Pick<RefusedTurn, 'clientRequestId'>): { client_request_id?: string } {
  return clientRequestId === undefined ? {} : { client_request_id: clientRequestId };
}

function idsOf(turn: Turn): Readonly<Record<string, unknown>> {
  const { plan, origin, responseId, trace } = turn;
  return {
    request_id: origin.requestId,
    ...clientIdOf(origin),
    response_id: responseId,
    conversation_id: plan.source.kind === 'conversation' ? plan.source.id : null,
    user_id: nameOf(plan.caller),
    ...(trace.traceId === null ? {} : { trace_id: trace.traceId }),
  };
}

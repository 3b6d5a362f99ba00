/*
 * Tries a candidate version of a prompt on the input of turns that have ended. A run has no log, no
 * viewers and no place among its caller's turns, and stores nothing: only its metrics remain. It
 * begins after the end of the turn, so that no live answer waits for it.
 */

import { type Principal } from '../domain/principal.js';
import { systemTime, type Time } from '../domain/time.js';
import { NO_TRACING } from '../observability/tracing.js';
import { type CallGate, type CallPlace } from '../provider/call-gate.js';
import { compareVersions } from '../templating/pack-version.js';
import { account, type Accounting } from './accounting.js';
import { type Admission, type TurnPlan } from './admission.js';
import { answer, type AnswerParts } from './answer.js';
import { type DrainState } from './drain-state.js';
import { FlushClock } from './flush-clock.js';
import { Journal } from './journal.js';
import { CANCELLED, outcomeOf, type TurnOutcome } from './outcome.js';
import { OutputWriter } from './output-writer.js';
import { ShadowBudget } from './shadow-budget.js';
import { type Context } from './turn-context.js';
import { type TurnReport } from './turn-report.js';
import { TurnTrace } from './turn-trace.js';
import { newFacts, newResponse, type Turn, type TurnOrigin } from './turn.js';

export interface ShadowPolicy {
  /** The candidate. */
  readonly version: string;
  /** Share of the turns, from 0 to 1. */
  readonly sample: number;
  /** Most runs an hour. */
  readonly maxPerHour: number;
  /** In US dollars. The run that passes it is the last of its hour. */
  readonly costPerHourUsd: number;
}

export interface ShadowParts extends Pick<AnswerParts, 'guards' | 'provider'> {
  readonly admission: Pick<Admission, 'withVersion'>;
  readonly gate: Pick<CallGate, 'enter'>;
  readonly accounting: Accounting;
  readonly report: Pick<TurnReport, 'shadowed' | 'shadowSkipped'>;
  readonly drain: Pick<DrainState, 'draining' | 'onDraining'>;
  /** Whether the event loop lags, so that no run may start. */
  readonly lagging: () => boolean;
}

/** The parts of an ended turn that a run needs. */
interface Ended {
  readonly plan: TurnPlan;
  readonly input: Turn['input'];
  readonly context: Context;
  readonly origin: TurnOrigin;
}

interface Candidate {
  readonly policy: ShadowPolicy;
  readonly budget: ShadowBudget;
}

/** Runs at once on this replica. Further turns are skipped and counted, never queued. */
const AT_ONCE = 2;

export class ShadowRuns {
  readonly #candidates: ReadonlyMap<string, Candidate>;
  readonly #parts: ShadowParts;
  readonly #time: Time;
  readonly #running = new Set<AbortController>();

  /** @param policies by `pack/prompt`, or by the prompt's name */
  constructor(policies: Readonly<Record<string, ShadowPolicy>>, parts: ShadowParts, time: Time = systemTime) {
    this.#candidates = new Map(
      Object.entries(policies).map(([id, policy]) => [id, { policy, budget: new ShadowBudget(policy, time) }]),
    );
    this.#parts = parts;
    this.#time = time;
    parts.drain.onDraining(() => {
      for (const stop of this.#running) stop.abort(CANCELLED);
    });
  }

  /** Takes an ended turn and returns at once. Never throws. */
  after({ plan, facts, input, origin }: Turn, outcome: TurnOutcome): void {
    const { prompt } = plan;
    const { context } = facts;
    if (prompt === null || context === null || this.#candidates.size === 0) return;
    const name = `${prompt.pack}/${prompt.name}`;
    const candidate = this.#candidates.get(name) ?? this.#candidates.get(prompt.name);
    if (candidate === undefined || !mayTry(plan, outcome) || !facts.providerCalled) return;
    const { policy, budget } = candidate;
    if (compareVersions(policy.version, prompt.version) === 0) return;
    if (this.#parts.drain.draining || this.#time.random() >= policy.sample) return;
    const { report } = this.#parts;
    if (this.#running.size >= AT_ONCE || this.#parts.lagging()) report.shadowSkipped(name, 'busy');
    else if (!budget.take()) report.shadowSkipped(name, 'budget');
    else
      this.#begin({ plan, input, context, origin }, { ...prompt, version: policy.version.replace(/^v/, '') }, budget);
  }

  /** Begins a run in a later round of the event loop, after the end of the live answer. */
  #begin(ended: Ended, prompt: NonNullable<TurnPlan['prompt']>, budget: ShadowBudget): void {
    const stop = new AbortController();
    this.#running.add(stop);
    this.#time.soon(() => {
      void this.#run(ended, prompt, budget, stop)
        .catch(() => undefined)
        .finally(() => this.#running.delete(stop));
    });
  }

  async #run(
    ended: Ended,
    prompt: NonNullable<TurnPlan['prompt']>,
    budget: ShadowBudget,
    stop: AbortController,
  ): Promise<void> {
    const { admission, gate, report, accounting } = this.#parts;
    let plan: TurnPlan;
    try {
      plan = admission.withVersion(ended.plan, prompt);
    } catch (thrown) {
      const outcome = outcomeOf(thrown, stop.signal);
      if (outcome !== 'lost') report.shadowed(prompt, newFacts(ended.plan.model), outcome);
      return;
    }
    let place: CallPlace;
    try {
      place = await gate.enter();
    } catch {
      report.shadowSkipped(`${prompt.pack}/${prompt.name}`, 'provider');
      return;
    }
    const turn = this.#turnOf({ ...ended, plan: { ...plan, place } }, stop);
    const outcome = await this.#outcomeOf(turn, ended.context);
    if (!turn.facts.providerCalled) await place.giveBack().catch(() => undefined);
    await account(turn, accounting).catch(() => undefined);
    budget.spend(turn.facts.costUsd ?? 0);
    if (outcome !== 'lost') report.shadowed(prompt, turn.facts, outcome);
  }

  async #outcomeOf(turn: Turn, context: Context): Promise<TurnOutcome | 'lost'> {
    const { guards, provider } = this.#parts;
    // Use the context of the live turn: it is compacted already, and the store is not read again.
    const contexts = { contextOf: () => Promise.resolve(context) };
    const compaction = { apply: () => Promise.resolve(context) };
    try {
      return await answer(turn, { contexts, compaction, guards, provider });
    } catch (thrown) {
      return outcomeOf(thrown, turn.stop.signal);
    }
  }

  /** Builds a turn whose events are discarded. */
  #turnOf({ plan, input, origin }: Ended, stop: AbortController): Turn {
    const time = this.#time;
    const response = newResponse(plan, time);
    const discarded = () => Promise.resolve({ outcome: 'appended', cancelRequested: false } as const);
    const journal = new Journal({
      events: { append: discarded, end: discarded },
      clock: new FlushClock({ maxWindowMs: 0, time }),
      responseId: response.id,
      fence: 0,
      response,
      onCancel: () => undefined,
      onLost: () => undefined,
      time,
    });
    return {
      responseId: response.id,
      plan,
      origin,
      stop,
      fence: 0,
      journal,
      writer: new OutputWriter(journal),
      input,
      recent: undefined,
      facts: newFacts(plan.model),
      trace: TurnTrace.begin(NO_TRACING, origin, time),
      time,
      startedAt: time.now(),
    };
  }
}

/**
 * Whether a turn may be tried again: it was answered, its response is stored, and neither its
 * request nor its caller's credential chose the version.
 */
function mayTry({ request, caller }: TurnPlan, outcome: TurnOutcome): boolean {
  if (outcome.end === 'failed' || (outcome.end === 'incomplete' && outcome.reason === 'cancelled')) return false;
  return request.store && request.prompt?.version === undefined && !fixesVersion(caller);
}

function fixesVersion({ binding }: Principal): boolean {
  return binding?.prompt?.version !== undefined;
}

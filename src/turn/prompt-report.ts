/* Counts the outcome, latency, cost and findings of turns by version of their prompt. */

import { type Finding } from '../domain/response.js';
import { type Metrics } from '../observability/metrics.js';
import { type RenderedPrompt } from '../templating/prompt.js';
import { isRefusal, type TurnOutcome } from './outcome.js';
import { type TurnFacts } from './turn.js';

/** `live`: viewers saw the answer. `shadow`: a candidate version was tried without viewers. */
type PromptSource = 'live' | 'shadow';

type PromptOutcome = 'completed' | 'incomplete' | 'blocked' | 'refused' | 'cancelled' | 'failed';

/** Why a turn was not tried with a candidate version. */
export type ShadowSkip = 'busy' | 'budget' | 'provider';

export interface PromptTurn {
  readonly prompt: Pick<RenderedPrompt, 'pack' | 'name' | 'version'>;
  readonly source: PromptSource;
  readonly outcome: PromptOutcome;
  readonly firstDeltaMs: number | null;
  /** In US dollars. Null: unknown. */
  readonly costUsd: number | null;
  readonly findings: readonly Pick<Finding, 'decision'>[];
}

export function countPromptTurn({ of }: Metrics, turn: PromptTurn): void {
  const { pack, name, version } = turn.prompt;
  const labels = { prompt: `${pack}/${name}`, version, source: turn.source };
  of.prompt_turns_total.inc({ ...labels, outcome: turn.outcome });
  if (turn.firstDeltaMs !== null) of.prompt_first_delta_seconds.observe(labels, turn.firstDeltaMs / 1_000);
  if (turn.costUsd !== null && turn.costUsd >= 0 && turn.costUsd < Infinity) {
    of.prompt_cost_usd.observe(labels, turn.costUsd);
  }
  for (const { decision } of turn.findings) of.prompt_findings_total.inc({ ...labels, decision });
}

/** Returns the outcome of a turn as a fact about its prompt. */
export function promptOutcomeOf(facts: Pick<TurnFacts, 'inputRefused'>, outcome: TurnOutcome): PromptOutcome {
  switch (outcome.end) {
    case 'failed':
      return isRefusal(outcome.error) ? 'refused' : 'failed';
    case 'completed':
      return facts.inputRefused ? 'refused' : 'completed';
    case 'incomplete':
      if (outcome.reason === 'content_filter') return 'blocked';
      return outcome.reason === 'cancelled' ? 'cancelled' : 'incomplete';
  }
}

/* Counts the outcome, latency, cost and findings of turns by version of their prompt. */

import { type Finding } from '../domain/response.js';
import { type Metrics } from '../observability/metrics.js';
import { type RenderedPrompt } from '../templating/prompt.js';

/** Whether viewers saw the answer, or a candidate version was tried beside it. */
type PromptSource = 'live' | 'shadow';

export type PromptOutcome = 'completed' | 'incomplete' | 'blocked' | 'refused' | 'cancelled' | 'failed';

interface PromptTurn {
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

/* Reports the verdicts that guardrails requested: counts each, and logs failures once a minute. */

import { systemTime, type Time } from '../domain/time.js';
import { type Log } from './log.js';
import { type Metrics } from './metrics.js';
import { RareLine } from './rare-line.js';

const LINE_EVERY_MS = 60_000;

type JudgeName = 'moderation' | 'model';

/** @returns a function that takes one verdict, with the error if there is none */
export function reportVerdicts(
  logger: Pick<Log, 'warn'>,
  metrics: Pick<Metrics, 'of'>,
  time: Time = systemTime,
): (judge: JudgeName, error?: unknown) => void {
  const lines = { moderation: new RareLine(LINE_EVERY_MS, time), model: new RareLine(LINE_EVERY_MS, time) };
  return (judge, error) => {
    metrics.of.guardrail_verdicts_total.inc({ judge, outcome: error === undefined ? 'given' : 'failed' });
    if (error === undefined) return;
    const verdicts = lines[judge].count();
    if (verdicts !== undefined) logger.warn({ judge, verdicts, err: error }, 'verdicts of guardrails failed');
  };
}

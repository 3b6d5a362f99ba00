/* Reports lost spans: each one to the metric, and a line a minute to the log. */

import { systemTime, type Time } from '../domain/time.js';
import { type Log } from './log.js';
import { type Metrics } from './metrics.js';
import { RareLine } from './rare-line.js';

const LINE_EVERY_MS = 60_000;

/**
 * Returns a function that reports newly lost spans. Its argument is their number.
 * @param endpoint URL of the collector, of which the log shows the host only
 */
export function droppedSpans(
  endpoint: string,
  logger: Pick<Log, 'warn'>,
  metrics: Pick<Metrics, 'of'>,
  time: Time = systemTime,
): (spans: number) => void {
  const line = new RareLine(LINE_EVERY_MS, time);
  const { host } = new URL(endpoint);
  return (spans) => {
    metrics.of.spans_dropped_total.inc(spans);
    const unreported = line.count(spans);
    if (unreported === undefined) return;
    logger.warn({ spans: unreported, collector: host }, 'spans dropped, the collector does not take them');
  };
}

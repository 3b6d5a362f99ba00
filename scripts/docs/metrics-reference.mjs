/*
 * Writes docs/metrics.md from the one table of metrics (after a build); `--check` reports whether
 * the page is up to date and writes nothing.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import process from 'node:process';
import { LABEL_VALUES_MAX, METRICS } from '../../dist/observability/metric-table.js';

const PAGE = new URL('../../docs/metrics.md', import.meta.url);

const INTRO = `# Metrics

<!-- Written by scripts/docs/metrics-reference.mjs from src/observability/metric-table.ts: change the table, then run it after a build. -->

\`GET /metrics\` on the operations port (9090), in Prometheus' text format. Every name below starts with the deployment's own:
\`app.name\` with underscores for hyphens, so \`support-bot\` has \`support_bot_requests_total\`. The runtime's metrics (CPU, memory, event-loop
lag, garbage collection) have the same prefix, and the names of [prom-client](https://github.com/siimon/prom-client):
\`support_bot_nodejs_eventloop_lag_seconds\`, \`support_bot_process_cpu_seconds_total\`, …

A client that asks for \`application/openmetrics-text\`, as Prometheus does, gets OpenMetrics with the same names. There the buckets of
\`request_duration_seconds\` and \`time_to_first_delta_seconds\` have exemplars: the \`trace_id\` of the newest turn, while tracing is on.
Prometheus stores them with \`--enable-feature=exemplar-storage\`.

No label holds message text, a user's name or an id. A label without a list of values has few values (models, codes); above
${LABEL_VALUES_MAX} the rest counts as \`other\`.

| metric | kind | labels | meaning |
|---|---|---|---|`;

const labelsOf = (labels = {}) =>
  Object.entries(labels)
    .map(([name, values]) =>
      values === 'bounded' ? `\`${name}\`` : `\`${name}\`: ${values.map((value) => `\`${value}\``).join(', ')}`,
    )
    .join('; ');

function page() {
  const rows = Object.entries(METRICS).map(([name, { kind, help, labels }]) => {
    return `| \`${name}\` | ${kind} | ${labelsOf(labels)} | ${help} |`;
  });
  const buckets = Object.entries(METRICS)
    .filter(([, row]) => 'buckets' in row)
    .map(([name, row]) => `- \`${name}\`: ${row.buckets.join(', ')}`);
  return `${[INTRO, ...rows, '\nUpper bounds of the histograms, in seconds:\n', ...buckets].join('\n')}\n`;
}

const wanted = page();
if (!process.argv.includes('--check')) {
  writeFileSync(PAGE, wanted);
} else if (readFileSync(PAGE, 'utf8') !== wanted) {
  console.error('docs/metrics.md is out of date; run: npm run build && node scripts/docs/metrics-reference.mjs');
  process.exitCode = 1;
}

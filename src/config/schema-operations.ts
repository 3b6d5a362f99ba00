/* Keys of metrics, logs, traces and alert thresholds. */

import { count, duration, flag, key, number, oneOf, optionalKey, pattern, port, section, text, url } from './keys.js';

export const monitoring = section('Metrics, logs and traces.', {
  metrics: section('The operations listener.', {
    enabled: key(flag, true, 'False removes `/metrics` only; `/health` and `/ready` stay.'),
    host: key(text, '127.0.0.1', 'Address of the operations listener, under the same rule as `app.host`.'),
    port: key(port, 9090, 'Port of `/health`, `/ready` and `/metrics`.'),
    path: key(pattern(/^\/[\w./-]+$/, 'a path that starts with `/`'), '/metrics', 'Where Prometheus scrapes.'),
  }),
  logging: section('Log lines.', {
    level: key(
      oneOf(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']),
      'info',
      'Lowest level that is written.',
    ),
    format: key(oneOf(['json', 'pretty']), 'json', '`json`: one object a line. `pretty`: for people.'),
    output: key(oneOf(['stdout', 'stderr']), 'stdout', 'Destination of log lines.'),
  }),
  audit: section('The audit log: who did what, from where, when, with which outcome.', {
    output: optionalKey(
      text,
      'no audit log',
      'Where its lines of JSON go: `stdout`, `stderr`, or a file; a relative one is looked for beside this file. SIGHUP opens the file again after a rotation.',
    ),
    refusals_per_minute: key(
      count(1),
      600,
      'Lines about refused operations that one replica writes in a minute for all callers without a valid credential together, and for each other caller. Beyond it, one line in ten seconds counts them.',
    ),
  }),
  tracing: section('OpenTelemetry traces.', {
    enabled: key(flag, false, 'Whether spans are exported.'),
    endpoint: optionalKey(
      url(['http', 'https']),
      'none; needed when enabled',
      "OTLP/HTTP endpoint. An old Jaeger collector URL (`...:14268/api/traces`) is taken as the same host's OTLP/HTTP endpoint.",
    ),
    sample_ratio: key(
      number(0, 1),
      1,
      'Share of the traces that begin here and are recorded. For a request with a `traceparent` the decision of the caller applies.',
    ),
  }),
});

export const alerts = section('Thresholds that the alert rules are rendered from.', {
  error_rate_threshold: key(number(0, 1), 0.05, 'Share of turns that fail.'),
  latency_p99_threshold: key(duration('1ms', '1h'), '5s', '99th percentile of the time to the first text of a stream.'),
  json_latency_p99_threshold: key(
    duration('1ms', '1h'),
    '30s',
    '99th percentile of the time to a whole answer as JSON, which grows with `max_tokens`.',
  ),
  cost_per_hour_threshold: key(number(0), 10, 'US dollars an hour.'),
  runbook_url: key(
    text,
    'docs/operations/runbook.md',
    'Where the runbook is published; every alert links to its entry there. The default is its place in this repository.',
  ),
});

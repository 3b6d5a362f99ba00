/*
 * All metrics of Sluice: name (without the prefix), kind, help, labels. A label lists its values or
 * is `bounded`. A bounded label has few values by nature (models, codes); values beyond
 * LABEL_VALUES_MAX count as `other`. User input is never a label.
 */

import { ERROR_CODES, type ErrorCode } from '../domain/errors.js';
import { CLOSE_CODES } from '../protocol/socket/close-codes.js';
import { APPEND_SECONDS, COST_USD, DURATION_SECONDS, FIRST_DELTA_SECONDS } from './metric-buckets.js';

export const LABEL_VALUES_MAX = 100;

/** Labels of metrics by version of a prompt. */
const PROMPT_LABELS = { prompt: 'bounded', version: 'bounded', source: ['live', 'shadow'] } as const;

/** Error codes of failures of the provider and of the gateway. */
const PROVIDER_CODES = [
  'rate_limit_exceeded',
  'server_error',
  'provider_error',
  'provider_refused',
  'provider_unavailable',
  'provider_stream_interrupted',
  'provider_timeout',
] as const satisfies readonly ErrorCode[];
/**
 * Error codes of provider calls whose turn counts as refused, because the caller can correct the
 * request.
 */
const CALL_CODES = [
  ...PROVIDER_CODES,
  'context_length_exceeded',
  'content_policy_violation',
] as const satisfies readonly ErrorCode[];
export const FAILURE_CODES: readonly ErrorCode[] = [...PROVIDER_CODES, 'state_unavailable', 'replica_lost'];
/** Close codes. 1001: the page was left. 1005, 1006: the client sent no code, or no close frame. */
const CLOSES = [...Object.values(CLOSE_CODES), 1001, 1005, 1006].map(String);
const STATE_REASONS = [
  ...['auth', 'readonly', 'out_of_memory', 'loading', 'master_down', 'refuses_writes'],
  ...['busy', 'cluster_down', 'wrong_mode', 'timeout', 'unreachable', 'failed'],
];

interface MetricRow {
  readonly kind: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  readonly labels?: Readonly<Record<string, readonly string[] | 'bounded'>>;
  readonly buckets?: readonly number[];
  /**
   * Values of `bounded` labels that a counter has from the start. A rate shows no increase at the
   * start of a series, so the first error of a kind would trigger no alert.
   */
  readonly begins?: Readonly<Record<string, readonly string[]>>;
}

export const METRICS = {
  requests_total: {
    kind: 'counter',
    help: 'Turns by outcome, counted by the replica that ended them. A mistake of the caller counts as refused, not as error.',
    labels: { status: ['success', 'error', 'refused', 'cancelled'] },
  },
  failures_total: {
    kind: 'counter',
    help: 'Turns with status error, by error code.',
    labels: { code: 'bounded' },
    begins: { code: FAILURE_CODES },
  },
  request_duration_seconds: {
    kind: 'histogram',
    help: 'Time from a request to its end, measured by the replica that ran it. The endpoint is the route template, or ws.',
    labels: { endpoint: 'bounded', delivery: ['stream', 'json', 'background'] },
    buckets: DURATION_SECONDS,
  },
  time_to_first_delta_seconds: {
    kind: 'histogram',
    help: 'Time from admission to the first visible delta, by how the caller receives the answer.',
    labels: { delivery: ['stream', 'json', 'background'] },
    buckets: FIRST_DELTA_SECONDS,
  },
  response_deltas_total: { kind: 'counter', help: 'Text deltas appended to response logs.' },
  tokens_total: {
    kind: 'counter',
    help: 'Tokens by direction and model.',
    labels: { direction: ['input', 'output'], model: 'bounded' },
  },
  llm_cost_usd: {
    kind: 'counter',
    help: 'Cost in US dollars by model. Models without a known price count nothing.',
    labels: { model: 'bounded' },
  },
  provider_errors_total: {
    kind: 'counter',
    help: 'Failed provider calls by error code. Each attempt counts.',
    labels: { code: 'bounded' },
    begins: { code: CALL_CODES },
  },
  provider_failovers_total: {
    kind: 'counter',
    help: 'Calls to the next provider, after a failure or in parallel with a silent provider.',
    labels: { cause: ['failure', 'silence'] },
  },
  unpriced_calls_total: {
    kind: 'counter',
    help: 'Provider calls of unknown cost, because the model has no price.',
    labels: { model: 'bounded' },
  },
  provider_retries_total: { kind: 'counter', help: 'Retries of provider calls.' },
  breaker_state: {
    kind: 'gauge',
    help: 'Circuit breaker of a provider: 0 closed, 1 half open, 2 open.',
    labels: { provider: 'bounded' },
  },
  prompt_turns_total: {
    kind: 'counter',
    help: 'Turns by prompt, version and outcome. Source shadow: a candidate version that ran without viewers.',
    labels: {
      ...PROMPT_LABELS,
      outcome: ['completed', 'incomplete', 'blocked', 'refused', 'cancelled', 'failed'],
    },
  },
  prompt_first_delta_seconds: {
    kind: 'histogram',
    help: 'Time to the first visible delta by prompt and version.',
    labels: PROMPT_LABELS,
    buckets: FIRST_DELTA_SECONDS,
  },
  prompt_cost_usd: {
    kind: 'histogram',
    help: 'Cost of a turn in US dollars by prompt and version, where the price is known.',
    labels: PROMPT_LABELS,
    buckets: COST_USD,
  },
  prompt_findings_total: {
    kind: 'counter',
    help: 'Findings of guardrails by prompt and version.',
    labels: { ...PROMPT_LABELS, decision: ['deny', 'note', 'redact'] },
  },
  prompt_shadows_skipped_total: {
    kind: 'counter',
    help: 'Turns that were chosen for a candidate version and not tried: too many at once, no budget, no provider.',
    labels: { prompt: 'bounded', reason: ['busy', 'budget', 'provider'] },
  },
  prompt_reloads_total: {
    kind: 'counter',
    help: 'Reloads of the prompt packs. Refused: a file has a mistake, and the former packs stay.',
    labels: { result: ['loaded', 'refused'] },
  },
  prompts_stale: {
    kind: 'gauge',
    help: '1 while the loaded prompt packs are not those of the files, because the last reload was refused.',
  },
  guardrail_findings_total: {
    kind: 'counter',
    help: 'Findings of guardrails, by guardrail, stage and decision.',
    labels: { guardrail: 'bounded', stage: ['input', 'output'], decision: ['deny', 'redact', 'note'] },
    begins: {
      guardrail: [
        'banned_words',
        'content_excludes',
        'max_length',
        'min_length',
        'length',
        'max_sentences',
        'sentence_count',
        'regex',
        'pii',
        'contains',
        'contains_any',
        'required_fields',
        'json_valid',
        'json_schema',
        'moderation',
        'topic',
      ],
    },
  },
  guardrail_verdicts_total: {
    kind: 'counter',
    help: 'Verdicts that guardrails requested from a moderation endpoint or a model. A failed one counts as the rule says in `on_error`.',
    labels: { judge: ['moderation', 'model'], outcome: ['given', 'failed'] },
  },
  compactions_total: {
    kind: 'counter',
    help: 'Summaries in place of context. Source turn: by `context_management`; request: by /v1/responses/compact.',
    labels: { source: ['turn', 'request'], outcome: ['compacted', 'refused', 'failed'] },
  },
  connections: { kind: 'gauge', help: 'Open WebSocket connections.' },
  http_connections: {
    kind: 'gauge',
    help: 'Open connections of the main listener: sockets, SSE streams, requests and idle HTTP connections.',
  },
  http_receiving_bytes: { kind: 'gauge', help: 'Bytes of request bodies that are being received, as announced.' },
  viewers: { kind: 'gauge', help: 'Viewers that follow a response: cursors of sockets and SSE streams.' },
  turns_in_flight: { kind: 'gauge', help: 'Running turns.' },
  turns_waiting: { kind: 'gauge', help: 'Turns that wait for their conversation or lane.' },
  slow_readers_total: { kind: 'counter', help: 'Connections closed because the client did not read.' },
  snapshots_total: { kind: 'counter', help: 'Snapshots sent instead of events.' },
  resumes_total: {
    kind: 'counter',
    help: 'Resumes by mode: replayed from the log, moved on by a snapshot, read from the stored response, replaced by a later resume of the same response, or refused.',
    labels: { mode: ['replay', 'snapshot', 'stored', 'replaced', 'refused'] },
  },
  refusals_total: {
    kind: 'counter',
    help: 'Requests refused before a response existed, by error code.',
    labels: { code: 'bounded' },
    begins: { code: Object.keys(ERROR_CODES) },
  },
  connections_refused_total: {
    kind: 'counter',
    help: 'Sockets, streams and connections refused by limits.connections_per_user or limits.connections_per_address, by limit.',
    labels: { limit: ['user', 'address'] },
  },
  tokens_refused_total: {
    kind: 'counter',
    help: "Users' tokens (JWT) that were refused, by reason. `keys_unavailable`: the key is unknown and the issuer's keys cannot be fetched.",
    labels: { reason: ['expired', 'malformed', 'signature', 'algorithm', 'unknown_key', 'claim', 'keys_unavailable'] },
  },
  issuer_key_fetches_total: {
    kind: 'counter',
    help: "Fetches of the token issuer's keys (`auth.jwt.jwks_url`), by outcome. Known keys stay in use after a failure.",
    labels: { outcome: ['ok', 'failed'] },
  },
  operations_refused_total: {
    kind: 'counter',
    help: 'Operations that are not turns, refused by limits.per_user.operations_per_minute.',
  },
  websocket_closes_total: {
    kind: 'counter',
    help: 'Closed WebSocket connections by close code.',
    labels: { code: 'bounded' },
    begins: { code: CLOSES },
  },
  gaps_healed_total: {
    kind: 'counter',
    help: 'Gaps in the sequence numbers of live events that were filled from the log.',
  },
  tail_finds_total: { kind: 'counter', help: 'Events found by the tail check because their message was lost.' },
  fenced_writes_total: { kind: 'counter', help: 'Turns that another replica took over, or whose log was lost.' },
  orphans_ended_total: { kind: 'counter', help: 'Turns of lost replicas that this replica ended.' },
  append_duration_seconds: {
    kind: 'histogram',
    help: 'Time from sending events to the log until its confirmation, including retries.',
    buckets: APPEND_SECONDS,
  },
  state_up: { kind: 'gauge', help: '1 while the state store answers, otherwise 0.' },
  state_commands_total: { kind: 'counter', help: 'Commands sent to the state store. 0 with state in memory.' },
  state_errors_total: {
    kind: 'counter',
    help: 'Failed commands to the state store, by reason.',
    labels: { reason: 'bounded' },
    begins: { reason: STATE_REASONS },
  },
  tail_repairs_total: { kind: 'counter', help: 'Logs whose newest events the state store lost, rewritten.' },
  state_memory_bytes: {
    kind: 'gauge',
    help: 'Bytes of state in memory, without running turns: conversations, responses, events of ended responses, idempotency keys. 0 with Redis.',
  },
  state_evictions_total: {
    kind: 'counter',
    help: 'Entries that state in memory dropped early because `state.memory_max_bytes` was reached.',
    labels: { kind: ['conversation', 'response', 'deletion', 'idempotency_key', 'log'] },
  },
  state_unreadable_total: {
    kind: 'counter',
    help: 'Unreadable entries in the state store that were skipped: a log that lacks an event, or another entry that does not parse.',
    labels: { what: ['log', 'item', 'response', 'metadata', 'idempotency_key', 'secret'] },
  },
  state_not_decrypted_total: {
    kind: 'counter',
    help: 'Values in the state store that were refused because they could not be decrypted. `altered`: changed, moved or damaged.',
    labels: { reason: ['altered', 'no_data_key', 'unknown_master_key', 'no_encryption'] },
  },
  subscriber_resets_total: { kind: 'counter', help: 'Times the connection that receives new events was replaced.' },
  limiter_local: {
    kind: 'gauge',
    help: '1 while this replica counts limits alone because the state store is unavailable.',
  },
  state_used_bytes: {
    kind: 'gauge',
    help: 'Memory that Redis uses, of the fullest server, as it said within the last 15 s. 0 with state in memory, or if its user may not read INFO.',
  },
  state_max_bytes: { kind: 'gauge', help: 'The maxmemory of that server. 0: no limit, or unknown.' },
  spans_dropped_total: {
    kind: 'counter',
    help: 'Spans that were lost because the collector did not take them or because too many waited.',
  },
  audit_lines_dropped_total: { kind: 'counter', help: 'Lines of the audit log that could not be written.' },
  ready: {
    kind: 'gauge',
    help: '1 while this replica takes new work, as /ready says, otherwise 0. Determined at each scrape.',
  },
  draining_seconds: { kind: 'gauge', help: 'Seconds since the drain of this replica began. 0 while it serves.' },
  build_info: {
    kind: 'gauge',
    help: 'Always 1. Version and revision of the software, and `app.version` as deployment.',
    labels: { version: 'bounded', revision: 'bounded', deployment: 'bounded' },
  },
} as const satisfies Record<string, MetricRow>;

export type MetricName = keyof typeof METRICS;

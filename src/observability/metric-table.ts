/*
 * Every metric of Sluice's own, once: name (without the prefix), kind, help, labels. A label lists its values, or says `bounded`: few values
 * by nature (models, codes), and past LABEL_VALUES_MAX of them `other`. What a user typed is never a label.
 */

import { ERROR_CODES, type ErrorCode } from '../domain/errors.js';
import { CLOSE_CODES } from '../protocol/close-codes.js';

/** Fits streams: from a warm small model to a slow reasoning one. 5 s, the default alert threshold, is a bound. */
const FIRST_DELTA_SECONDS = [0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1, 1.5, 2, 3, 5, 7.5, 10, 15, 20, 30] as const;
const APPEND_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30] as const;
const DURATION_SECONDS = [0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 7.5, 10, 15, 20, 30, 45, 60, 90, 120] as const;

export const LABEL_VALUES_MAX = 100;

/** Codes of what is the provider's fault, and of what is ours too. */
const PROVIDER_CODES = [
  'rate_limit_exceeded',
  'server_error',
  'provider_error',
  'provider_refused',
  'provider_unavailable',
  'provider_stream_interrupted',
  'provider_timeout',
] as const satisfies readonly ErrorCode[];
/** Of calls; a turn that fails so is refused, because its caller can mend it. */
const CALL_CODES = [
  ...PROVIDER_CODES,
  'context_length_exceeded',
  'content_policy_violation',
] as const satisfies readonly ErrorCode[];
export const FAILURE_CODES: readonly ErrorCode[] = [...PROVIDER_CODES, 'state_unavailable', 'replica_lost'];
/** 1005, 1006: the other side said no code, or nothing at all. */
const CLOSES = [...Object.values(CLOSE_CODES), 1005, 1006].map(String);
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
   * Values of `bounded` labels that a counter has from the start: a rate sees no increase where a series begins, so the first error of a kind
   * would be seen by nobody.
   */
  readonly begins?: Readonly<Record<string, readonly string[]>>;
}

export const METRICS = {
  requests_total: {
    kind: 'counter',
    help: "Turns by outcome, counted by the replica that ended them. A caller's own mistakes are refused, never error.",
    labels: { status: ['success', 'error', 'refused', 'cancelled'] },
  },
  failures_total: {
    kind: 'counter',
    help: 'Turns of status error by their error code: whose fault it was, and what to do.',
    labels: { code: 'bounded' },
    begins: { code: FAILURE_CODES },
  },
  request_duration_seconds: {
    kind: 'histogram',
    help: 'Time from a request to its end, measured by the replica that took it; endpoint is the template of the route, or ws.',
    labels: { endpoint: 'bounded', delivery: ['stream', 'json', 'background'] },
    buckets: DURATION_SECONDS,
  },
  time_to_first_delta_seconds: {
    kind: 'histogram',
    help: 'Time from admission to the first delta that viewers see, by how the caller waits for it.',
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
    help: 'Cost in US dollars by model; models without a known price count nothing.',
    labels: { model: 'bounded' },
  },
  provider_errors_total: {
    kind: 'counter',
    help: 'Failed provider calls by error code, each try counted.',
    labels: { code: 'bounded' },
    begins: { code: CALL_CODES },
  },
  provider_failovers_total: {
    kind: 'counter',
    help: 'Calls for which the next provider was asked: after a failure, or beside a silent one.',
    labels: { cause: ['failure', 'silence'] },
  },
  unpriced_calls_total: {
    kind: 'counter',
    help: 'Provider calls whose cost is not known, because their model has no price.',
    labels: { model: 'bounded' },
  },
  provider_retries_total: { kind: 'counter', help: 'Provider calls that were tried again.' },
  breaker_state: {
    kind: 'gauge',
    help: 'Circuit breaker of a provider: 0 closed, 1 half open, 2 open.',
    labels: { provider: 'bounded' },
  },
  guardrail_findings_total: {
    kind: 'counter',
    help: 'What guardrails found, by guardrail, stage and decision.',
    labels: { guardrail: 'bounded', stage: ['input', 'output'], decision: ['deny', 'note'] },
    begins: { guardrail: ['banned_words', 'max_length'] },
  },
  connections: { kind: 'gauge', help: 'Open WebSocket connections.' },
  http_connections: {
    kind: 'gauge',
    help: 'Open connections of the main listener: sockets, SSE streams, requests and idle HTTP connections.',
  },
  http_receiving_bytes: { kind: 'gauge', help: 'Bytes of request bodies that are being received, as announced.' },
  viewers: { kind: 'gauge', help: "Readers that follow a response now: sockets' cursors and SSE streams." },
  turns_in_flight: { kind: 'gauge', help: 'Turns that run now.' },
  turns_waiting: { kind: 'gauge', help: 'Turns that wait for their conversation or lane.' },
  slow_readers_total: { kind: 'counter', help: 'Connections closed because they did not read.' },
  snapshots_total: { kind: 'counter', help: 'Snapshots sent instead of events.' },
  resumes_total: {
    kind: 'counter',
    help: 'Resumes by mode: replayed from the log, moved on by a snapshot, read from the stored response, replaced by a later resume of the same response, or refused.',
    labels: { mode: ['replay', 'snapshot', 'stored', 'replaced', 'refused'] },
  },
  refusals_total: {
    kind: 'counter',
    help: 'Errors sent to clients before there was a response, by code.',
    labels: { code: 'bounded' },
    begins: { code: Object.keys(ERROR_CODES) },
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
    help: 'Live events that came with a hole in their numbers, which the log filled.',
  },
  tail_finds_total: { kind: 'counter', help: 'Events found by the tail check that no message had announced.' },
  fenced_writes_total: {
    kind: 'counter',
    help: 'Turns of this replica that another one took over, or whose log was lost: it wrote nothing more.',
  },
  orphans_ended_total: { kind: 'counter', help: 'Turns of lost replicas that this one ended.' },
  append_duration_seconds: {
    kind: 'histogram',
    help: 'Time from handing events to the log to its confirmation; retries while the log is away included.',
    buckets: APPEND_SECONDS,
  },
  state_up: { kind: 'gauge', help: '1 while the state store answers, else 0.' },
  state_commands_total: { kind: 'counter', help: 'Commands sent to the state store; none with memory state.' },
  state_errors_total: {
    kind: 'counter',
    help: 'Commands to the state store that failed, by reason.',
    labels: { reason: 'bounded' },
    begins: { reason: STATE_REASONS },
  },
  tail_repairs_total: {
    kind: 'counter',
    help: 'Times the state store had lost the newest events of a log and this replica wrote them again.',
  },
  state_memory_bytes: {
    kind: 'gauge',
    help: 'Bytes that state in memory keeps beside what runs: conversations, responses, events of ended responses, idempotency keys. 0 with Redis.',
  },
  state_evictions_total: {
    kind: 'counter',
    help: 'Things that state in memory dropped before their time, because `state.memory_max_bytes` was reached.',
    labels: { kind: ['conversation', 'response', 'deletion', 'idempotency_key', 'log'] },
  },
  state_unreadable_total: {
    kind: 'counter',
    help: 'Unreadable entries in the state store that were skipped: a log that lacks an event, or another entry that does not parse.',
    labels: { what: ['log', 'item', 'response', 'metadata', 'idempotency_key'] },
  },
  subscriber_resets_total: { kind: 'counter', help: 'Times the connection that receives new events was replaced.' },
  limiter_local: {
    kind: 'gauge',
    help: '1 while limits are counted by this replica alone, because the state store is away.',
  },
  draining_seconds: { kind: 'gauge', help: 'How long this replica has been leaving; 0 while it serves.' },
  build_info: {
    kind: 'gauge',
    help: 'Always 1; the version of the gateway is its label.',
    labels: { version: 'bounded' },
  },
} as const satisfies Record<string, MetricRow>;

export type MetricName = keyof typeof METRICS;

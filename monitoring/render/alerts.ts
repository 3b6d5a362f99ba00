/*
 * The alert rules, rendered from a configuration's thresholds and names. Every rule is evaluated
 * for each environment. Ratios need a minimum of events, because one failure of five turns says
 * nothing. Every rule has its meaning, its impact, and a link to the runbook's entry.
 */

import type { AppConfig } from '../../src/config/schema.ts';

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly for: string;
  /**
   * How long it stays when its condition has ended: as long as what it inhibits still shows the
   * failure.
   */
  readonly keep_firing_for?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: { readonly summary: string; readonly description: string; readonly runbook_url: string };
}

export interface RuleFile {
  readonly groups: readonly { readonly name: string; readonly rules: readonly Rule[] }[];
}

/** The windows of rates and the time that a condition must last. Only tests shorten them. */
export interface Windows {
  readonly rate: string;
  readonly pending: string;
  readonly availability: string;
  readonly cost: string;
  /** For what happens seldom and must be seen: an increase in this window. */
  readonly event: string;
  /** For what may last a while: a replica that is being replaced, an autoscaler at its maximum. */
  readonly patience: string;
  /** How long no turn must come, and when it was otherwise. */
  readonly traffic: readonly [window: string, before: string];
  /** How long two versions may run side by side. */
  readonly upgrade: string;
  /** Longer than a breaker's trial, so that one which hangs does not look closed. */
  readonly trial: string;
  /** Long and short window of the fast and the slow burn. */
  readonly burn: { readonly fast: readonly [string, string]; readonly slow: readonly [string, string] };
}

const WINDOWS: Windows = {
  rate: '5m',
  pending: '5m',
  availability: '1m',
  cost: '10m',
  event: '15m',
  patience: '15m',
  traffic: ['30m', '1d'],
  upgrade: '2h',
  trial: '2m',
  burn: { fast: ['1h', '5m'], slow: ['6h', '30m'] },
};

/** The share of turns that may fail in 30 days: the budget of the burn-rate alerts. */
const ERROR_BUDGET = 0.01;
/** Shares at which the budget is used up in two days, and in five. */
const BURN = { fast: Number((14.4 * ERROR_BUDGET).toFixed(4)), slow: Number((6 * ERROR_BUDGET).toFixed(4)) } as const;
/** Fewer failures in a window are no ratio. */
const MIN_FAILURES = { rate: 3, burn: 6 } as const;
const MIN_TURNS_FOR_LATENCY = 20;
/** Refusals that a client can do nothing about, and their share of all requests. */
const REFUSED_SHARE = 0.1;
const MIN_REFUSALS = 10;
/** Turns in the window of yesterday below which a silence means nothing. */
const MIN_TRAFFIC = 50;
const MEMORY_SHARE = 0.8;

/**
 * No drain takes longer; a pod's own grace is longer, so that a drain that hangs is seen
 * (k8s/base/deployment.yaml).
 */
export function drainLimitSeconds({ app }: AppConfig): number {
  return (app.shutdown_timeout + 20_000) / 1_000;
}

/** The thresholds that the dashboard draws, by alert. */
export function thresholds(config: AppConfig) {
  const { error_rate_threshold, latency_p99_threshold, json_latency_p99_threshold, cost_per_hour_threshold } =
    config.alerts;
  return {
    HighErrorRate: error_rate_threshold,
    HighLatency: latency_p99_threshold / 1_000,
    HighJsonLatency: json_latency_p99_threshold / 1_000,
    HighCost: cost_per_hour_threshold,
    DrainStuck: drainLimitSeconds(config),
    AppendSlow: 0.25,
    StateMemoryHigh: MEMORY_SHARE,
    ProviderBreakerOpen: 2,
  } as const;
}

export function alertRules(config: AppConfig, windows: Windows = WINDOWS): RuleFile {
  const { runbook_url } = config.alerts;
  const { name, environment } = config.app;
  const limit = thresholds(config);
  const prefix = `${name.replaceAll('-', '_')}_`;
  const m = (metric: string): string => `${prefix}${metric}`;
  const { rate, burn, event } = windows;
  const up = `up{job="${name}"}`;
  const BY = 'by (environment)';
  const errors = (window: string): string =>
    `sum ${BY} (rate(${m('requests_total')}{status="error"}[${window}])) / sum ${BY} (rate(${m('requests_total')}[${window}]))`;
  const failures = (window: string, least: number): string =>
    `sum ${BY} (increase(${m('requests_total')}{status="error"}[${window}])) >= ${least}`;
  const p99 = (metric: string, selector = ''): string =>
    `histogram_quantile(0.99, sum by (environment, le) (rate(${m(metric)}_bucket${selector}[${rate}])))`;
  const observed = (metric: string, selector: string): string =>
    `sum ${BY} (increase(${m(metric)}_count${selector}[${rate}])) >= ${MIN_TURNS_FOR_LATENCY}`;
  const happened = (metric: string): string => `sum ${BY} (increase(${m(metric)}[${event}])) > 0`;
  const stream = '{delivery="stream"}';
  const json = '{delivery="json"}';
  /** Reasons that many clients have at once only if the configuration or the issuer changed. */
  const foreign = '{reason=~"signature|algorithm|unknown_key|claim|keys_unavailable"}';
  const refused = '{code=~"overloaded|state_unavailable|draining"}';
  const rule = (
    alert: string,
    severity: 'critical' | 'warning',
    expr: string,
    pending: string,
    summary: string,
    description: string,
    more: { readonly keep?: string; readonly labels?: Readonly<Record<string, string>> } = {},
  ): Rule => ({
    alert,
    expr,
    for: pending,
    ...(more.keep === undefined ? {} : { keep_firing_for: more.keep }),
    labels: { severity, app: name, ...more.labels },
    annotations: { summary, description, runbook_url: `${runbook_url}#${alert.toLowerCase()}` },
  });
  const { pending, availability, patience } = windows;
  const turns = [
    rule(
      'HighErrorRate',
      'critical',
      `${errors(rate)} > ${limit.HighErrorRate} and ${failures(rate, MIN_FAILURES.rate)}`,
      pending,
      `More than ${percent(limit.HighErrorRate)} of turns fail in {{ $labels.environment }}`,
      '{{ $value | humanizePercentage }} of all turns ended in an error of ours or of the provider. A caller’s own mistakes are not counted.',
    ),
    rule(
      'HighLatency',
      'warning',
      `${p99('time_to_first_delta_seconds', stream)} > ${limit.HighLatency} and ${observed('time_to_first_delta_seconds', stream)}`,
      pending,
      `Users wait more than ${limit.HighLatency} s for the first text (99th percentile)`,
      'The 99th percentile is {{ $value | humanizeDuration }}, from admission to the first visible text of a stream.',
    ),
    rule(
      'HighJsonLatency',
      'warning',
      `${p99('request_duration_seconds', json)} > ${limit.HighJsonLatency} and ${observed('request_duration_seconds', json)}`,
      pending,
      `Whole answers take more than ${limit.HighJsonLatency} s (99th percentile)`,
      'The 99th percentile is {{ $value | humanizeDuration }}, for JSON answers: it lasts as long as max_tokens allows.',
    ),
    rule(
      'HighCost',
      'warning',
      `sum ${BY} (rate(${m('llm_cost_usd')}[${rate}])) * 3600 > ${limit.HighCost}`,
      windows.cost,
      `The model costs more than $${limit.HighCost.toFixed(2)} an hour`,
      'At this pace an hour costs ${{ $value | printf "%.2f" }}. Models without a known price are not in it.',
    ),
    rule(
      'UnpricedCalls',
      'warning',
      `sum by (environment, model) (increase(${m('unpriced_calls_total')}[${event}])) > 0`,
      availability,
      'The model {{ $labels.model }} has no price',
      'Its calls count nothing: HighCost cannot fire for it, and limits.per_user.cost_per_day_usd does not bound it.',
    ),
    rule(
      'NoTraffic',
      'critical',
      `sum ${BY} (increase(${m('requests_total')}[${windows.traffic[0]}])) == 0 and sum ${BY} (increase(${m('requests_total')}[${windows.traffic[0]}] offset ${windows.traffic[1]})) > ${MIN_TRAFFIC}`,
      availability,
      `No turn for ${windows.traffic[0]} in {{ $labels.environment }}, where yesterday there were some`,
      'The replicas may be well and unreachable: DNS, certificate, Ingress, or a Service that selects no pod.',
    ),
    rule(
      'RequestsRefused',
      'critical',
      `sum ${BY} (rate(${m('refusals_total')}${refused}[${rate}])) > ${REFUSED_SHARE} * sum ${BY} (rate(${m('requests_total')}[${rate}])) and sum ${BY} (increase(${m('refusals_total')}${refused}[${rate}])) >= ${MIN_REFUSALS}`,
      pending,
      'Replicas turn requests and sockets away in {{ $labels.environment }}',
      '{{ $value | printf "%.1f" }} a second are refused as overloaded, draining or without state. They are in no error rate, because no turn began.',
    ),
  ];
  const replicas = [
    rule(
      'LowAvailability',
      'critical',
      `sum ${BY} (${up}) / count ${BY} (${up}) <= 0.5`,
      availability,
      'Half of the replicas, or more, are gone in {{ $labels.environment }}',
      'Prometheus reaches {{ $value | humanizePercentage }} of the replicas that it knows.',
    ),
    rule(
      'TargetsAbsent',
      'critical',
      `absent(up{job="${name}", environment="${environment}"})`,
      availability,
      `Prometheus knows no replica in ${environment}`,
      'Every other alert is blind: there are no pods, or Prometheus does not find them.',
      { labels: { environment } },
    ),
    rule(
      'ReplicaDown',
      'warning',
      `count ${BY} (${up} == 0) > 0`,
      patience,
      '{{ $value }} of the replicas cannot be scraped in {{ $labels.environment }}',
      'The others carry its load. It is being restarted without success, or Prometheus does not reach it.',
    ),
    rule(
      'PromptsStale',
      'warning',
      `max ${BY} (${m('prompts_stale')}) > 0`,
      pending,
      'Replicas serve older prompt packs than the files in {{ $labels.environment }}',
      'A changed pack file has a mistake, so every former pack stays. `/ready` names the mistake.',
    ),
    rule(
      'NoReplicaReady',
      'critical',
      `max ${BY} (${m('ready')}) == 0`,
      availability,
      'No replica takes new work in {{ $labels.environment }}',
      'Every replica answers /ready with 503: the reason is in the answer.',
    ),
    rule(
      'ReplicaNotReady',
      'warning',
      `count ${BY} (${m('ready')} == 0) > 0`,
      pending,
      '{{ $value }} of the replicas take no new work in {{ $labels.environment }}',
      'They answer /ready with 503, longer than a drain takes: the reason is in the answer.',
    ),
    rule(
      'ReplicaRestarts',
      'warning',
      `max by (environment, instance) (changes(${m('process_start_time_seconds')}[${event}])) > 1`,
      availability,
      'The replica {{ $labels.instance }} restarts again and again',
      'It has restarted {{ $value }} times: out of memory, a failing start, or a liveness probe that fails.',
    ),
    rule(
      'DrainStuck',
      'warning',
      // The maximum over a window: the replica is killed before an alert on its current value could
      // fire.
      `max ${BY} (max_over_time(${m('draining_seconds')}[${rate}])) > ${limit.DrainStuck}`,
      availability,
      'A replica has been leaving for too long in {{ $labels.environment }}',
      'It has been draining for {{ $value | humanizeDuration }}, longer than app.shutdown_timeout and its end together.',
    ),
    rule(
      'ReplicasLost',
      'warning',
      happened('orphans_ended_total'),
      availability,
      'Turns of lost replicas were ended in {{ $labels.environment }}',
      'About {{ $value | printf "%.0f" }} turns ended as replica_lost: a replica died or was paused for longer than its lease.',
    ),
    rule(
      'TwoVersions',
      'warning',
      `count ${BY} (count by (environment, version) (${m('build_info')})) > 1`,
      windows.upgrade,
      'Two versions run side by side in {{ $labels.environment }}',
      'A rollout, a canary or blue and green is under way for longer than it should be.',
    ),
    rule(
      'AutoscalerAtMaximum',
      'warning',
      `max by (namespace) (kube_horizontalpodautoscaler_status_current_replicas{horizontalpodautoscaler="${name}"}) >= max by (namespace) (kube_horizontalpodautoscaler_spec_max_replicas{horizontalpodautoscaler="${name}"})`,
      patience,
      'The autoscaler has reached its maximum in {{ $labels.namespace }}',
      'There are {{ $value }} replicas, and more load will not bring more of them.',
    ),
  ];
  const dependencies = [
    rule(
      'ProviderBreakerOpen',
      'critical',
      // The maximum over a window: while a provider hangs, its breaker is half open for every other
      // half minute.
      `max by (environment, provider) (max_over_time(${m('breaker_state')}[${windows.trial}])) == 2`,
      availability,
      'The provider {{ $labels.provider }} is not being called',
      'Its last calls failed one after the other, or hang, so the circuit breaker is open: turns fail at once, or go to a fallback.',
      // Until the rates over five minutes have forgotten the failures.
      { keep: rate },
    ),
    rule(
      'StateStoreAway',
      'critical',
      `min ${BY} (${m('state_up')}) == 0`,
      availability,
      'A replica cannot reach Redis in {{ $labels.environment }}',
      'Running turns buffer for 30 s; after that they end, sockets are closed with 1013 and the replica is unready.',
      { keep: rate },
    ),
    rule(
      'StateMemoryHigh',
      'warning',
      `max ${BY} (${m('state_used_bytes')} / (${m('state_max_bytes')} > 0)) > ${MEMORY_SHARE}`,
      pending,
      'Redis is {{ $value | humanizePercentage }} full in {{ $labels.environment }}',
      'At its maxmemory it refuses writes: every replica becomes unready, and all clients are turned away.',
    ),
    rule(
      'TailRepaired',
      'warning',
      happened('tail_repairs_total'),
      availability,
      'Redis lost writes in {{ $labels.environment }}',
      'Replicas wrote the newest events of their running turns again; what had ended meanwhile may be lost.',
    ),
    rule(
      'DataNotDecrypted',
      'critical',
      happened('state_not_decrypted_total'),
      availability,
      'Stored data cannot be decrypted in {{ $labels.environment }}',
      'Turns, conversations and responses whose text is refused end with `server_error`; a master key is missing, or data was altered.',
    ),
    rule(
      'AppendSlow',
      'warning',
      `${p99('append_duration_seconds')} > ${limit.AppendSlow}`,
      pending,
      'Writing to the event log is slow in {{ $labels.environment }}',
      'The 99th percentile of an append is {{ $value | humanizeDuration }}; every viewer waits that long for every piece of text.',
    ),
    rule(
      'TokensRefused',
      'warning',
      `sum ${BY} (rate(${m('tokens_refused_total')}${foreign}[${rate}])) > ${REFUSED_SHARE} * sum ${BY} (rate(${m('requests_total')}[${rate}])) and sum ${BY} (increase(${m('tokens_refused_total')}${foreign}[${rate}])) >= ${MIN_REFUSALS}`,
      pending,
      'Tokens of users are refused in {{ $labels.environment }}',
      '{{ $value | printf "%.1f" }} a second have a key, signature or claim that is not accepted: users cannot sign in.',
    ),
    rule(
      'IssuerKeysAway',
      'warning',
      `sum ${BY} (increase(${m('issuer_key_fetches_total')}{outcome="failed"}[${event}])) > 0 and sum ${BY} (increase(${m('issuer_key_fetches_total')}{outcome="ok"}[${event}])) == 0`,
      pending,
      'The keys of the token issuer cannot be fetched in {{ $labels.environment }}',
      'Tokens with known keys stay valid; after a rotation of keys, or on a new replica, users cannot sign in.',
    ),
    rule(
      'VerdictsFailed',
      'critical',
      `sum by (environment, judge) (rate(${m('guardrail_verdicts_total')}{outcome="failed"}[${rate}])) > ${REFUSED_SHARE} * sum by (environment, judge) (rate(${m('guardrail_verdicts_total')}[${rate}])) and sum by (environment, judge) (increase(${m('guardrail_verdicts_total')}{outcome="failed"}[${rate}])) >= ${MIN_REFUSALS}`,
      pending,
      'Guardrails get no verdicts from {{ $labels.judge }} in {{ $labels.environment }}',
      '{{ $value | printf "%.1f" }} a second fail. Each rule refuses the text then, or lets it pass with `on_error: allow`; neither is in an error rate.',
    ),
    rule(
      'SpansDropped',
      'warning',
      happened('spans_dropped_total'),
      pending,
      'Traces are lost in {{ $labels.environment }}',
      'The collector does not take the spans. Nothing else is affected.',
    ),
    rule(
      'AuditLinesDropped',
      'warning',
      happened('audit_lines_dropped_total'),
      pending,
      'Lines of the audit log are lost in {{ $labels.environment }}',
      'The audit log cannot be written: a full disk, a closed pipe, or too many lines. Turns are not affected.',
    ),
  ];
  const budget = (kind: 'Fast' | 'Slow', severity: 'critical' | 'warning', time: string, days: string): Rule => {
    const which = kind === 'Fast' ? 'fast' : 'slow';
    const [long, short] = burn[which];
    return rule(
      `ErrorBudgetBurn${kind}`,
      severity,
      `${errors(long)} > ${BURN[which]} and ${errors(short)} > ${BURN[which]} and ${failures(long, MIN_FAILURES.burn)}`,
      time,
      `The month’s error budget will be gone in ${days} days`,
      '{{ $value | humanizePercentage }} of turns failed over the long window; 1% is the budget.',
    );
  };
  const budgets = [budget('Fast', 'critical', availability, 'two'), budget('Slow', 'warning', pending, 'five')];
  return { groups: [{ name, rules: [...turns, ...replicas, ...dependencies, ...budgets] }] };
}

function percent(share: number): string {
  return `${Number((share * 100).toFixed(2))}%`;
}

/*
 * The alert rules, rendered from a configuration's thresholds and names. Ratios and rates only: an absolute count says nothing about
 * severity. Every rule has its meaning, its impact, and a link to the runbook's entry.
 */

import type { AppConfig } from '../../src/config/schema.ts';

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly for: string;
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
  /** Long and short window of the fast and the slow burn. */
  readonly burn: { readonly fast: readonly [string, string]; readonly slow: readonly [string, string] };
}

const WINDOWS: Windows = {
  rate: '5m',
  pending: '5m',
  availability: '1m',
  cost: '10m',
  burn: { fast: ['1h', '5m'], slow: ['6h', '30m'] },
};

/** The share of turns that may fail in 30 days: the budget of the burn-rate alerts. */
const ERROR_BUDGET = 0.01;
/** Shares at which the budget is used up in two days, and in five. */
const BURN = { fast: Number((14.4 * ERROR_BUDGET).toFixed(4)), slow: Number((6 * ERROR_BUDGET).toFixed(4)) } as const;

/** No drain takes longer; a pod's own grace is longer, so that a drain that hangs is seen (k8s/base/deployment.yaml). */
export function drainLimitSeconds({ app }: AppConfig): number {
  return (app.shutdown_timeout + 20_000) / 1_000;
}

export function alertRules(config: AppConfig, windows: Windows = WINDOWS): RuleFile {
  const { error_rate_threshold, latency_p99_threshold, cost_per_hour_threshold, runbook_url } = config.alerts;
  const { name } = config.app;
  const prefix = `${name.replaceAll('-', '_')}_`;
  const m = (metric: string): string => `${prefix}${metric}`;
  const { rate, burn } = windows;
  const errors = (window: string): string =>
    `sum(rate(${m('requests_total')}{status="error"}[${window}])) / sum(rate(${m('requests_total')}[${window}]))`;
  const p99 = (metric: string, selector = ''): string =>
    `histogram_quantile(0.99, sum by (le) (rate(${m(metric)}_bucket${selector}[${rate}])))`;
  const latency = latency_p99_threshold / 1_000;
  const rule = (
    alert: string,
    severity: 'critical' | 'warning',
    expr: string,
    pending: string,
    summary: string,
    description: string,
  ): Rule => ({
    alert,
    expr,
    for: pending,
    labels: { severity, app: name },
    annotations: { summary, description, runbook_url: `${runbook_url}#${alert.toLowerCase()}` },
  });
  return {
    groups: [
      {
        name,
        rules: [
          rule(
            'HighErrorRate',
            'critical',
            `${errors(rate)} > ${error_rate_threshold}`,
            windows.pending,
            `More than ${percent(error_rate_threshold)} of turns fail`,
            '{{ $value | humanizePercentage }} of all turns ended in an error of ours or of the provider. A caller’s own mistakes are not counted.',
          ),
          rule(
            'HighLatency',
            'warning',
            `${p99('time_to_first_delta_seconds', '{delivery="stream"}')} > ${latency} or ${p99('request_duration_seconds', '{delivery="json"}')} > ${latency}`,
            windows.pending,
            `Users wait more than ${latency} s (99th percentile)`,
            'The 99th percentile is {{ $value | humanizeDuration }}: to the first visible text of a stream, or to the whole answer where JSON was asked for.',
          ),
          rule(
            'HighCost',
            'warning',
            `sum(rate(${m('llm_cost_usd')}[${rate}])) * 3600 > ${cost_per_hour_threshold}`,
            windows.cost,
            `The model costs more than $${cost_per_hour_threshold.toFixed(2)} an hour`,
            'At this pace an hour costs ${{ $value | printf "%.2f" }}. Models without a known price are not in it.',
          ),
          rule(
            'LowAvailability',
            'critical',
            `(sum(up{job="${name}"}) / count(up{job="${name}"}) < 0.5) or absent(up{job="${name}"})`,
            windows.availability,
            'Half of the replicas, or all, are gone',
            'Prometheus reaches {{ $value | humanizePercentage }} of the replicas (100% here with no series at all means that it knows none).',
          ),
          rule(
            'ProviderBreakerOpen',
            'critical',
            `max by (provider) (${m('breaker_state')}) == 2`,
            windows.availability,
            'The provider {{ $labels.provider }} is not being called',
            'Its last calls failed one after the other, so the circuit breaker is open: turns fail at once, or go to a fallback.',
          ),
          rule(
            'StateStoreAway',
            'critical',
            `min(${m('state_up')}) == 0`,
            windows.availability,
            'A replica cannot reach Redis',
            'Running turns buffer for 30 s; after that they end, sockets are closed with 1013 and the replica is unready.',
          ),
          rule(
            'DrainStuck',
            'warning',
            // The maximum over a window: the replica is killed before an alert on its current value could fire.
            `max(max_over_time(${m('draining_seconds')}[${rate}])) > ${drainLimitSeconds(config)}`,
            windows.availability,
            'A replica has been leaving for too long',
            'It has been draining for {{ $value | humanizeDuration }}, longer than app.shutdown_timeout and its end together.',
          ),
          rule(
            'AppendSlow',
            'warning',
            `${p99('append_duration_seconds')} > 0.25`,
            windows.pending,
            'Writing to the event log is slow',
            'The 99th percentile of an append is {{ $value | humanizeDuration }}; every viewer waits that long for every piece of text.',
          ),
          rule(
            'ErrorBudgetBurnFast',
            'critical',
            `${errors(burn.fast[0])} > ${BURN.fast} and ${errors(burn.fast[1])} > ${BURN.fast}`,
            windows.availability,
            'The month’s error budget will be gone in two days',
            '{{ $value | humanizePercentage }} of turns failed over the long window; 1% is the budget.',
          ),
          rule(
            'ErrorBudgetBurnSlow',
            'warning',
            `${errors(burn.slow[0])} > ${BURN.slow} and ${errors(burn.slow[1])} > ${BURN.slow}`,
            windows.pending,
            'The month’s error budget will be gone in five days',
            '{{ $value | humanizePercentage }} of turns failed over the long window; 1% is the budget.',
          ),
        ],
      },
    ],
  };
}

function percent(share: number): string {
  return `${Number((share * 100).toFixed(2))}%`;
}

/*
 * The dashboard, built with Grafana's own builder. The panels that an operator needs first come
 * first; every query is a rate, a ratio or a quantile of rates.
 */

import {
  AnnotationQueryBuilder,
  DashboardBuilder,
  DashboardLinkBuilder,
  DashboardLinkType,
  DatasourceVariableBuilder,
  QueryVariableBuilder,
  RowBuilder,
  ThresholdsConfigBuilder,
  ThresholdsMode,
  VariableRefresh,
  type Dashboard,
} from '@grafana/grafana-foundation-sdk/dashboard';
import { DataqueryBuilder, PromQueryFormat } from '@grafana/grafana-foundation-sdk/prometheus';
import { PanelBuilder as TablePanelBuilder } from '@grafana/grafana-foundation-sdk/table';
import { PanelBuilder } from '@grafana/grafana-foundation-sdk/timeseries';
import { GraphThresholdsStyleConfigBuilder, GraphThresholdsStyleMode } from '@grafana/grafana-foundation-sdk/common';
import { thresholds } from './alerts.ts';
import type { AppConfig } from '../../src/config/schema.ts';

interface Panel {
  readonly title: string;
  readonly description: string;
  /** Grafana's unit id. */
  readonly unit: string;
  readonly queries: readonly (readonly [legend: string, expr: string])[];
  /** The alert whose threshold is drawn, if it has one. */
  readonly alert?: keyof ReturnType<typeof thresholds>;
  /** Whether points of single turns are drawn that link to their traces. */
  readonly exemplars?: true;
  /** Whether the present values are shown as a table of their labels. */
  readonly table?: true;
}

const RATE = '[$__rate_interval]';
/**
 * Chosen at the top of the dashboard, since the name of the Prometheus data source differs between
 * Grafanas.
 */
const DATASOURCE = { type: 'prometheus', uid: '${datasource}' } as const;
/** The chosen environments as a regular expression, in a link. */
const ENVIRONMENT = '${environment:regex}';
/** Chosen at the top of the dashboard; `.*` by default. */
const SELECTED = 'instance=~"$replica"';

/**
 * Rows of panels, in reading order. `m` names a metric of this deployment, with the chosen replicas
 * and further labels selected.
 */
function rows(m: (metric: string, labels?: string) => string): readonly (readonly [string, readonly Panel[]])[] {
  const rate = (metric: string, labels?: string): string => `sum(rate(${m(metric, labels)}${RATE}))`;
  const by = (label: string, metric: string, labels?: string): string =>
    `sum by (${label}) (rate(${m(metric, labels)}${RATE}))`;
  const quantile = (q: number, metric: string, labels?: string): string =>
    `histogram_quantile(${q}, sum by (le) (rate(${m(`${metric}_bucket`, labels)}${RATE})))`;
  const quantiles = (metric: string, labels?: string): [string, string][] =>
    [0.5, 0.9, 0.99].map((q) => [`p${q * 100}`, quantile(q, metric, labels)]);
  return [
    [
      'First looks',
      [
        {
          title: 'Request Rate',
          description: 'Turns a second by outcome.',
          unit: 'reqps',
          queries: [['{{status}}', by('status', 'requests_total')]],
        },
        {
          title: 'Response Time P99',
          alert: 'HighLatency',
          exemplars: true,
          description: 'Streams: to the first visible text. JSON: to the whole answer.',
          unit: 's',
          queries: [
            ['first text (streams)', quantile(0.99, 'time_to_first_delta_seconds', 'delivery="stream"')],
            ['whole answer (JSON)', quantile(0.99, 'request_duration_seconds', 'delivery="json"')],
          ],
        },
        {
          title: 'LLM Cost',
          alert: 'HighCost',
          description: 'US dollars an hour at the present pace, by model. Models without a known price are not in it.',
          unit: 'currencyUSD',
          queries: [['{{model}}', `${by('model', 'llm_cost_usd')} * 3600`]],
        },
        {
          title: 'Error Rate',
          alert: 'HighErrorRate',
          description: 'Share of turns that failed by our or the provider’s fault.',
          unit: 'percentunit',
          queries: [['errors', `${rate('requests_total', 'status="error"')} / ${rate('requests_total')}`]],
        },
      ],
    ],
    [
      'Turns',
      [
        {
          title: 'Errors by cause',
          description:
            'Turns that failed by our or the provider’s fault, by error code. What to do about each: docs/operations/runbook.md.',
          unit: 'reqps',
          queries: [['{{code}}', by('code', 'failures_total')]],
        },
        {
          title: 'Time to first delta',
          exemplars: true,
          description: 'Streams: from admission to the first text that viewers see.',
          unit: 's',
          queries: quantiles('time_to_first_delta_seconds', 'delivery="stream"'),
        },
        {
          title: 'Duration by endpoint (p99)',
          description: 'Whole turns.',
          exemplars: true,
          unit: 's',
          queries: [
            [
              '{{endpoint}} {{delivery}}',
              `histogram_quantile(0.99, sum by (le, endpoint, delivery) (rate(${m('request_duration_seconds_bucket')}${RATE})))`,
            ],
          ],
        },
        {
          title: 'Deltas a second',
          description: 'Text events appended to logs.',
          unit: 'ops',
          queries: [['deltas', rate('response_deltas_total')]],
        },
        {
          title: 'Turns in flight',
          description: 'Running, and waiting for their conversation.',
          unit: 'short',
          queries: [
            ['running', `sum(${m('turns_in_flight')})`],
            ['waiting', `sum(${m('turns_waiting')})`],
          ],
        },
        {
          title: 'Tokens a second',
          description: 'By direction and model.',
          unit: 'short',
          queries: [['{{direction}} {{model}}', by('direction, model', 'tokens_total')]],
        },
        {
          title: 'Cost in the last hour',
          description: 'US dollars spent in the hour before, by model: what HighCost warns of, as it was.',
          unit: 'currencyUSD',
          queries: [['{{model}}', `sum by (model) (increase(${m('llm_cost_usd')}[1h]))`]],
        },
        {
          title: 'Refusals',
          description: 'Errors sent before there was a response, by code; connections over a limit, by limit.',
          unit: 'reqps',
          queries: [
            ['{{code}}', by('code', 'refusals_total')],
            ['over the limit: {{limit}}', by('limit', 'connections_refused_total')],
          ],
        },
        {
          title: 'Guardrail findings',
          description: 'By guardrail, stage and decision.',
          unit: 'ops',
          queries: [
            ['{{guardrail}} {{stage}} {{decision}}', by('guardrail, stage, decision', 'guardrail_findings_total')],
          ],
        },
        {
          title: 'Compactions',
          description:
            'Summaries in place of context, within turns and by request. After a failed one a turn sends all.',
          unit: 'ops',
          queries: [['{{source}} {{outcome}}', by('source, outcome', 'compactions_total')]],
        },
        {
          title: 'Guardrail verdicts',
          description:
            'Requested from a moderation endpoint or a model. A failed one counts as the rule says in `on_error`.',
          unit: 'ops',
          queries: [['{{judge}} {{outcome}}', by('judge, outcome', 'guardrail_verdicts_total')]],
        },
      ],
    ],
    [
      'Prompts',
      [
        {
          title: 'Turns by prompt',
          description: 'By version, source (shadow: a candidate that no viewer sees) and outcome.',
          unit: 'reqps',
          queries: [
            [
              '{{prompt}} {{version}} {{source}} {{outcome}}',
              by('prompt, version, source, outcome', 'prompt_turns_total'),
            ],
          ],
        },
        {
          title: 'First text by prompt (p90)',
          description: 'From admission to the first visible text.',
          unit: 's',
          queries: [
            [
              '{{prompt}} {{version}} {{source}}',
              `histogram_quantile(0.9, sum by (le, prompt, version, source) (rate(${m('prompt_first_delta_seconds_bucket')}${RATE})))`,
            ],
          ],
        },
        {
          title: 'Cost of a turn by prompt',
          description: 'Mean, in US dollars, where the price is known.',
          unit: 'currencyUSD',
          queries: [
            [
              '{{prompt}} {{version}} {{source}}',
              `${by('prompt, version, source', 'prompt_cost_usd_sum')} / ${by('prompt, version, source', 'prompt_cost_usd_count')}`,
            ],
          ],
        },
        {
          title: 'Findings by prompt',
          description: 'Findings of guardrails by version, source and decision.',
          unit: 'ops',
          queries: [
            [
              '{{prompt}} {{version}} {{source}} {{decision}}',
              by('prompt, version, source, decision', 'prompt_findings_total'),
            ],
          ],
        },
        {
          title: 'Prompt packs',
          description: 'Replicas that serve former packs because a file has a mistake, and reloads by result.',
          unit: 'short',
          queries: [
            ['stale {{instance}}', `max by (instance) (${m('prompts_stale')})`],
            ['{{result}}', `sum by (result) (increase(${m('prompt_reloads_total')}${RATE}))`],
          ],
        },
      ],
    ],
    [
      'Sign-in',
      [
        {
          title: 'Refused tokens',
          description: 'Tokens of users (JWT) by the reason of their refusal.',
          unit: 'ops',
          queries: [['{{reason}}', by('reason', 'tokens_refused_total')]],
        },
        {
          title: 'Fetches of issuer keys',
          description: 'From auth.jwt.jwks_url, by outcome. Known keys stay in use after a failure.',
          unit: 'ops',
          queries: [['{{outcome}}', by('outcome', 'issuer_key_fetches_total')]],
        },
      ],
    ],
    [
      'Provider',
      [
        {
          title: 'Provider errors',
          description: 'Failed calls by code, each try counted.',
          unit: 'ops',
          queries: [['{{code}}', by('code', 'provider_errors_total')]],
        },
        {
          title: 'Retries',
          description: 'Calls tried again.',
          unit: 'ops',
          queries: [['retries', rate('provider_retries_total')]],
        },
        {
          title: 'Circuit breaker',
          alert: 'ProviderBreakerOpen',
          description: '0 closed, 1 half open, 2 open.',
          unit: 'short',
          queries: [['{{provider}} {{instance}}', `max by (provider, instance) (${m('breaker_state')})`]],
        },
      ],
    ],
    [
      'Connections',
      [
        {
          title: 'Open sockets and viewers',
          description: 'By replica.',
          unit: 'short',
          queries: [
            ['sockets {{instance}}', `sum by (instance) (${m('connections')})`],
            ['viewers {{instance}}', `sum by (instance) (${m('viewers')})`],
          ],
        },
        {
          title: 'Closes',
          description: 'Closed sockets by close code.',
          unit: 'ops',
          queries: [['{{code}}', by('code', 'websocket_closes_total')]],
        },
        {
          title: 'Resumes',
          description: 'How clients went on after a gap.',
          unit: 'ops',
          queries: [
            ['{{mode}}', by('mode', 'resumes_total')],
            ['snapshots', rate('snapshots_total')],
          ],
        },
        {
          title: 'Slow readers',
          description: 'Connections closed because they did not read.',
          unit: 'ops',
          queries: [['closed', rate('slow_readers_total')]],
        },
        {
          title: 'Drains',
          alert: 'DrainStuck',
          description: 'How long each replica has been leaving.',
          unit: 's',
          queries: [['{{instance}}', `max by (instance) (${m('draining_seconds')})`]],
        },
      ],
    ],
    [
      'State store',
      [
        {
          title: 'State store reachable',
          description: '1 while it answers.',
          unit: 'short',
          queries: [['{{instance}}', `min by (instance) (${m('state_up')})`]],
        },
        {
          title: 'Append latency',
          alert: 'AppendSlow',
          description: 'From events to their place in the log.',
          unit: 's',
          queries: quantiles('append_duration_seconds'),
        },
        {
          title: 'Commands a delta',
          description: 'What a text event costs the store. No data with memory state.',
          unit: 'short',
          queries: [['commands / delta', `${rate('state_commands_total')} / ${rate('response_deltas_total')}`]],
        },
        {
          title: 'Healing',
          description: 'Gaps filled, tails found, turns of lost replicas ended, former owners shut out.',
          unit: 'ops',
          queries: [
            ['gaps', rate('gaps_healed_total')],
            ['tails', rate('tail_finds_total')],
            ['orphans ended', rate('orphans_ended_total')],
            ['fenced', rate('fenced_writes_total')],
          ],
        },
        {
          title: 'Memory of Redis',
          description:
            'Used by the fullest server, and its maxmemory (0: no limit). StateMemoryHigh warns at four fifths.',
          unit: 'bytes',
          queries: [
            ['used', `max(${m('state_used_bytes')})`],
            ['maxmemory', `max(${m('state_max_bytes')})`],
          ],
        },
        {
          title: 'Losses',
          description:
            'Logs whose lost end was written again, subscriber connections replaced, replicas that count limits alone, and values that could not be decrypted.',
          unit: 'short',
          queries: [
            ['tail repairs', rate('tail_repairs_total')],
            ['subscriber resets', rate('subscriber_resets_total')],
            ['limits alone', `sum(${m('limiter_local')})`],
            ['not decrypted', rate('state_not_decrypted_total')],
          ],
        },
        {
          title: 'Store errors',
          description: 'Failed commands by reason.',
          unit: 'ops',
          queries: [['{{reason}}', by('reason', 'state_errors_total')]],
        },
      ],
    ],
    [
      'Process',
      [
        {
          title: 'Event loop lag (p99)',
          description:
            'Includes the 100 ms from one sample to the next. A replica that lags by 500 ms on average is overloaded.',
          unit: 's',
          queries: [['{{instance}}', `max by (instance) (${m('nodejs_eventloop_lag_p99_seconds')})`]],
        },
        {
          title: 'Ready',
          description: '1 while a replica takes new work.',
          unit: 'short',
          queries: [['{{instance}}', `min by (instance) (${m('ready')})`]],
        },
        {
          title: 'Versions',
          description: 'Replicas by version and revision of the software, and by version of the deployment.',
          unit: 'short',
          queries: [
            [
              '{{version}} {{revision}} {{deployment}}',
              `count by (version, revision, deployment) (${m('build_info')})`,
            ],
          ],
        },
        {
          title: 'Replicas now',
          description: 'Version and revision of the software, and version of the deployment, of each replica.',
          unit: 'short',
          table: true,
          queries: [['', `max by (environment, instance, version, revision, deployment) (${m('build_info')})`]],
        },
        {
          title: 'Spans dropped',
          description: 'Traces that no collector took.',
          unit: 'ops',
          queries: [['spans', rate('spans_dropped_total')]],
        },
        {
          title: 'Audit lines dropped',
          description: 'Lines of the audit log that could not be written.',
          unit: 'ops',
          queries: [['lines', rate('audit_lines_dropped_total')]],
        },
        {
          title: 'Heap',
          description: 'Used by JavaScript; the limit is in NODE_OPTIONS.',
          unit: 'bytes',
          queries: [['{{instance}}', `sum by (instance) (${m('nodejs_heap_size_used_bytes')})`]],
        },
        {
          title: 'CPU',
          description: 'Cores used.',
          unit: 'short',
          queries: [['{{instance}}', `sum by (instance) (rate(${m('process_cpu_seconds_total')}${RATE}))`]],
        },
        {
          title: 'Memory',
          description: 'Resident.',
          unit: 'bytes',
          queries: [['{{instance}}', `sum by (instance) (${m('process_resident_memory_bytes')})`]],
        },
      ],
    ],
  ];
}

export function dashboard(config: AppConfig): Dashboard {
  const { app } = config;
  const limits = thresholds(config);
  const prefix = `${app.name.replaceAll('-', '_')}_`;
  const environment = `environment=~"$environment"`;
  const m = (metric: string, labels = ''): string =>
    `${prefix}${metric}{${[environment, SELECTED, labels].filter((part) => part !== '').join(', ')}}`;
  let builder = new DashboardBuilder(app.name)
    .uid(app.name)
    .tags(['sluice', 'generated'])
    .refresh('30s')
    .time({ from: 'now-1h', to: 'now' })
    .timezone('browser')
    .link(
      new DashboardLinkBuilder('Runbook').type(DashboardLinkType.Link).url(config.alerts.runbook_url).targetBlank(true),
    )
    .link(exploreLink('Logs', 'logs', { expr: `{app="${app.name}"} | json | environment=~"${ENVIRONMENT}"` }))
    .link(
      exploreLink('Traces', 'traces', {
        queryType: 'traceql',
        query: `{ resource.service.name = "${app.name}" }`,
      }),
    )
    .annotation(
      new AnnotationQueryBuilder()
        .name('Starts')
        .datasource(DATASOURCE)
        .enable(true)
        .iconColor('blue')
        .expr(`changes(${m('process_start_time_seconds')}[2m]) > 0`),
    )
    .withVariable(new DatasourceVariableBuilder('datasource').label('data source').type(DATASOURCE.type))
    .withVariable(new DatasourceVariableBuilder('logs').label('logs').type('loki'))
    .withVariable(new DatasourceVariableBuilder('traces').label('traces').type('tempo'))
    .withVariable(variable('environment', `label_values(${prefix}build_info, environment)`))
    .withVariable(variable('replica', `label_values(${prefix}build_info, instance)`));
  for (const [title, panels] of rows(m)) {
    builder = builder.withRow(new RowBuilder(title));
    for (const panel of panels)
      builder = builder.withPanel(
        panel.table === true
          ? tableOf(panel)
          : panelOf(panel, panel.alert === undefined ? undefined : limits[panel.alert]),
      );
  }
  return builder.build();
}

/** Every query of the dashboard with its panel, for tests with a real Prometheus. */
export function queriesOf(board: Dashboard): { readonly panel: string; readonly expr: string }[] {
  return (board.panels ?? []).flatMap((panel) => {
    const targets = 'targets' in panel ? (panel.targets ?? []) : [];
    return targets.flatMap((target) =>
      'expr' in target && typeof target.expr === 'string' ? [{ panel: panel.title ?? '', expr: target.expr }] : [],
    );
  });
}

function variable(name: string, query: string): QueryVariableBuilder {
  return new QueryVariableBuilder(name)
    .label(name)
    .datasource(DATASOURCE)
    .query(query)
    .current({ text: 'All', value: '$__all', selected: true })
    .refresh(VariableRefresh.OnTimeRangeChanged)
    .includeAll(true)
    .allValue('.*')
    .multi(true);
}

/** @param limit the threshold to draw */
function panelOf({ title, description, unit, queries, exemplars }: Panel, limit: number | undefined): PanelBuilder {
  let panel = new PanelBuilder()
    .title(title)
    .description(description)
    .datasource(DATASOURCE)
    .unit(unit)
    .min(0)
    .height(8)
    .span(6);
  if (limit !== undefined) {
    const steps = [
      { color: 'green', value: null },
      { color: 'red', value: limit },
    ];
    panel = panel
      .thresholds(new ThresholdsConfigBuilder().mode(ThresholdsMode.Absolute).steps(steps))
      .thresholdsStyle(new GraphThresholdsStyleConfigBuilder().mode(GraphThresholdsStyleMode.Line));
  }
  for (const [legend, expr] of queries) {
    const query = new DataqueryBuilder().expr(expr).legendFormat(legend);
    panel = panel.withTarget(exemplars === true ? query.exemplar(true) : query);
  }
  return panel;
}

function tableOf({ title, description, queries }: Panel): TablePanelBuilder {
  let panel = new TablePanelBuilder().title(title).description(description).datasource(DATASOURCE).height(8).span(12);
  for (const [, expr] of queries) {
    panel = panel.withTarget(new DataqueryBuilder().expr(expr).format(PromQueryFormat.Table).instant());
  }
  return panel;
}

/**
 * A link to Grafana's Explore with a query for the chosen time.
 * @param source the variable of the dashboard that holds the data source
 */
function exploreLink(title: string, source: string, query: Readonly<Record<string, string>>): DashboardLinkBuilder {
  const pane = {
    datasource: `\${${source}}`,
    queries: [{ refId: 'A', datasource: { uid: `\${${source}}` }, ...query }],
    range: { from: '${__from}', to: '${__to}' },
  };
  // Grafana replaces variables only where their braces are not encoded.
  const panes = encodeURIComponent(JSON.stringify({ a: pane })).replaceAll(
    /%24%7B([\w%]+?)%7D/g,
    (_all, name: string) => `\${${decodeURIComponent(name)}}`,
  );
  return new DashboardLinkBuilder(title)
    .type(DashboardLinkType.Link)
    .url(`/explore?schemaVersion=1&orgId=1&panes=${panes}`)
    .targetBlank(true);
}

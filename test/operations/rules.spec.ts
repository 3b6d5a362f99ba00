/*
 * The alert rules and the examples beside them, by Prometheus' and Alertmanager's own tools; each
 * alert's link leads to its entry.
 */

import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, describe, expect, it } from '@jest/globals';
import { parse, stringify } from 'yaml';
import { alertRules, thresholds } from '../../monitoring/render/alerts.js';
import { dashboard } from '../../monitoring/render/dashboard.js';
import { Alertmanager } from './support/alertmanager.js';
import { loadConfig } from '../../src/config/load.js';
import { PROVIDER_TYPES } from '../../src/provider/registry.js';

const { config } = loadConfig({
  types: PROVIDER_TYPES,
  path: 'config/production.yaml',
  env: {},
  missingSecrets: 'warning',
});
const rules = alertRules(config);
const alerts = rules.groups.flatMap((group) => group.rules);
const TESTS = ['monitoring/tests/alerts.test.yaml', 'monitoring/tests/alerts-over-hours.test.yaml'];

function ran(command: string, ...args: string[]): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  return { status, output: stdout + stderr };
}

it.each([
  ['promtool', 'check', 'rules', 'monitoring/alerts.yaml'],
  ['promtool', 'check', 'config', 'monitoring/prometheus.yaml'],
  ['promtool', 'test', 'rules', ...TESTS],
  ['amtool', 'check-config', 'monitoring/alertmanager.yaml'],
])('runs promtool and amtool: %s %s %s', (command, ...args) => {
  const { status, output } = ran(command, ...args);
  expect(output).not.toContain('FAILED');
  expect(status).toBe(0);
});

describe('the tests of the alert rules', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-rules-'));
  mkdirSync(join(folder, 'tests'));
  const copies = TESTS.map((file) => join(folder, 'tests', basename(file)));
  TESTS.forEach((file, i) => cpSync(file, copies[i] ?? ''));
  afterAll(() => rmSync(folder, { recursive: true }));

  it.each([
    ['never fires', 'vector(0) > 1'],
    ['always fires', 'vector(1)'],
  ])('fail if an alert %s', (_how, expr) => {
    const groups = rules.groups.map((group) => ({ ...group, rules: group.rules.map((rule) => ({ ...rule, expr })) }));
    writeFileSync(join(folder, 'alerts.yaml'), stringify({ groups }));
    const { status, output } = ran('promtool', 'test', 'rules', ...copies);
    for (const { alert } of alerts) expect(output).toContain(alert);
    expect(status).toBe(1);
  });
});

it.each([
  ['critical', 'on-call'],
  ['warning', 'daytime'],
])('routes %s to %s', (severity, receiver) => {
  const args = ['config', 'routes', 'test', '--config.file=monitoring/alertmanager.yaml', `severity=${severity}`];
  expect(spawnSync('amtool', args, { encoding: 'utf8' }).stdout.trim()).toBe(receiver);
});

it('finds the job and labels of rules and dashboard in the example of Prometheus', () => {
  const example = parse(readFileSync('monitoring/prometheus.yaml', 'utf8')) as {
    readonly scrape_configs: readonly { readonly job_name: string; readonly relabel_configs: readonly object[] }[];
  };
  expect(example.scrape_configs[0]).toMatchObject({
    job_name: config.app.name,
    metrics_path: config.monitoring.metrics.path,
    relabel_configs: [{ target_label: 'environment', replacement: config.app.environment }],
  });
});

it('covers every condition that an operator must be notified of', () => {
  expect(Object.fromEntries(alerts.map(({ alert, for: pending }) => [alert, pending]))).toEqual({
    HighErrorRate: '5m',
    HighLatency: '5m',
    HighJsonLatency: '5m',
    HighCost: '10m',
    UnpricedCalls: '1m',
    NoTraffic: '1m',
    RequestsRefused: '5m',
    LowAvailability: '1m',
    TargetsAbsent: '1m',
    ReplicaDown: '15m',
    NoReplicaReady: '1m',
    PromptsStale: '5m',
    ReplicaNotReady: '5m',
    ReplicaRestarts: '1m',
    DataNotDecrypted: '1m',
    DrainStuck: '1m',
    ReplicasLost: '1m',
    TwoVersions: '2h',
    AutoscalerAtMaximum: '15m',
    ProviderBreakerOpen: '1m',
    StateStoreAway: '1m',
    StateMemoryHigh: '5m',
    TailRepaired: '1m',
    AppendSlow: '5m',
    TokensRefused: '5m',
    IssuerKeysAway: '5m',
    VerdictsFailed: '5m',
    SpansDropped: '5m',
    AuditLinesDropped: '5m',
    ErrorBudgetBurnFast: '1m',
    ErrorBudgetBurnSlow: '5m',
  });
});

it('evaluates every rule for each environment, except those whose series have none', () => {
  for (const { alert, expr } of alerts)
    if (alert !== 'AutoscalerAtMaximum') expect([alert, expr]).toEqual([alert, expect.stringContaining('environment')]);
});

it('draws the threshold of each alert that has one on a panel of the dashboard', () => {
  const panels = (dashboard(config).panels ?? []).flatMap((panel) =>
    'fieldConfig' in panel ? [[panel.title, panel.fieldConfig?.defaults.thresholds?.steps.at(-1)?.value]] : [],
  );
  const { HighErrorRate, HighLatency, HighCost, DrainStuck, AppendSlow } = thresholds(config);
  expect(panels).toEqual(
    expect.arrayContaining([
      ['Error Rate', HighErrorRate],
      ['Response Time P99', HighLatency],
      ['LLM Cost', HighCost],
      ['Drains', DrainStuck],
      ['Append latency', AppendSlow],
    ]),
  );
});

describe('the links of the dashboard', () => {
  const { links = [], templating } = dashboard(config);
  const pane = (title: string) => {
    const url = links.find((link) => link.title === title)?.url ?? '';
    const chosen = {
      logs: 'loki-1',
      traces: 'tempo-1',
      __from: '1000',
      __to: '2000',
      'environment:regex': 'production',
    };
    // What Grafana does with a link: it replaces the variables and opens the address.
    const filled = url.replaceAll(/\$\{([\w:]+)\}/g, (all, name: string) =>
      encodeURIComponent((chosen as Record<string, string>)[name] ?? all),
    );
    const panes = new URL(filled, 'http://grafana').searchParams.get('panes') ?? '{}';
    return (JSON.parse(panes) as { readonly a: unknown }).a;
  };

  it('links the dashboard to the logs of the chosen environment and time', () => {
    expect(pane('Logs')).toEqual({
      datasource: 'loki-1',
      queries: [
        { refId: 'A', datasource: { uid: 'loki-1' }, expr: '{app="support-bot"} | json | environment=~"production"' },
      ],
      range: { from: '1000', to: '2000' },
    });
  });

  it('links the dashboard to the traces of the chosen time', () => {
    expect(pane('Traces')).toMatchObject({
      datasource: 'tempo-1',
      queries: [{ queryType: 'traceql', query: '{ resource.service.name = "support-bot" }' }],
      range: { from: '1000', to: '2000' },
    });
  });

  it('links the dashboard with data sources that it offers', () => {
    const offered = (templating?.list ?? []).filter(({ type }) => type === 'datasource');
    expect(offered.map(({ name, query }) => [name, query])).toEqual([
      ['datasource', 'prometheus'],
      ['logs', 'loki'],
      ['traces', 'tempo'],
    ]);
  });
});

describe('one alert for one cause', () => {
  const active = (alertname: string, environment = 'production') => ({
    labels: { alertname, environment, app: config.app.name, severity: severityOf(alertname) },
  });
  const severityOf = (name: string) => alerts.find(({ alert }) => alert === name)?.labels['severity'] ?? '';

  it.each([
    ['StateStoreAway', ['HighErrorRate', 'ErrorBudgetBurnFast', 'NoReplicaReady', 'RequestsRefused', 'NoTraffic']],
    ['ProviderBreakerOpen', ['HighErrorRate', 'ErrorBudgetBurnFast', 'HighLatency', 'VerdictsFailed']],
    ['LowAvailability', ['NoReplicaReady', 'RequestsRefused', 'NoTraffic', 'ReplicaDown']],
    ['TargetsAbsent', ['NoTraffic']],
    ['NoReplicaReady', ['RequestsRefused', 'NoTraffic', 'ReplicaNotReady']],
    ['HighErrorRate', ['ErrorBudgetBurnFast', 'ErrorBudgetBurnSlow']],
  ])('silences the consequences of %s, in its environment only', async (cause, consequences) => {
    const alertmanager = await Alertmanager.start();
    try {
      await alertmanager.post([active(cause), ...consequences.flatMap((one) => [active(one), active(one, 'staging')])]);
      const loud = await alertmanager.loud();
      expect(loud.filter(({ environment }) => environment === 'production').map(({ alertname }) => alertname)).toEqual([
        cause,
      ]);
      // Consequences of each other are silenced there too, but each cause in production leaves
      // staging alone.
      expect(loud.some(({ environment }) => environment === 'staging')).toBe(true);
    } finally {
      await alertmanager.close();
    }
  });
});

describe('the annotations of an alert', () => {
  it.each(alerts.map((rule) => [rule.alert, rule] as const))(
    'annotates an alert with what happens, how bad it is and what to do: %s',
    (alert, rule) => {
      expect(rule.labels['severity']).toMatch(/^(critical|warning)$/);
      expect(rule.annotations.summary).not.toBe('');
      expect(rule.annotations.description).not.toBe('');
      const [page = '', anchor] = rule.annotations.runbook_url.split('#');
      const headings = [...readFileSync(page, 'utf8').matchAll(/^#+ (.+)$/gm)].map(([, title = '']) => title);
      expect(anchor).toBe(alert.toLowerCase());
      expect(headings).toContain(alert);
    },
  );
});

/*
 * compose.yaml without an engine: what it mounts is there, its load balancer is a real haproxy
 * before real replicas, its Prometheus takes its file, and Grafana is given a dashboard whose
 * queries find their data source. What only an engine or a Grafana can say is tested nowhere.
 */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { loadConfig } from '../../src/config/load.js';
import { DRAIN_TIMES, longestDrainMs } from '../../src/lifecycle/drain.js';
import { PROVIDER_TYPES } from '../../src/provider/registry.js';
import { freePort } from '../../scripts/development/cluster/free-port.js';
import { LocalCluster } from '../../scripts/development/cluster/local-cluster.js';
import { isTerminalFrame, TestSocket } from '../support/socket.js';

interface Service {
  readonly image: string;
  readonly profiles?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly volumes?: readonly string[];
  readonly configs?: readonly { readonly source: string; readonly target: string }[];
  readonly depends_on?: readonly string[] | Readonly<Record<string, unknown>>;
  readonly ports?: readonly string[];
  readonly stop_grace_period?: string;
  readonly [key: string]: unknown;
}
// An engine would judge the rest.
const compose = parse(readFileSync('compose.yaml', 'utf8'), { merge: true }) as {
  readonly services: Readonly<Record<string, Service>>;
  readonly configs: Readonly<Record<string, { readonly content: string }>>;
  readonly volumes: Readonly<Record<string, unknown>>;
};
const services = Object.entries(compose.services);
const folder = mkdtempSync(join(tmpdir(), 'sluice-compose-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function service(name: string): Service {
  const found = compose.services[name];
  if (found === undefined) throw new Error(`there is no ${name}`);
  return found;
}

function config(name: string, file: string): string {
  const path = join(folder, file);
  writeFileSync(path, compose.configs[name]?.content ?? '');
  return path;
}

/** `[what is mounted, where]` of a service's own files. */
const mountsOf = ({ volumes = [] }: Service) =>
  volumes.map((volume) => volume.split(':')).filter(([source = '']) => source.startsWith('./')) as [string, string][];

describe.each(services)('%s', (_name, one) => {
  it('runs an image of a named version and refers only to files that exist', () => {
    expect(one.image).toMatch(/:(local|v?\d+\.\d+\.\d+[\w.-]*)$/);
    expect(one.image).not.toMatch(/:latest$/);
    for (const [source] of mountsOf(one)) expect([source, existsSync(source)]).toEqual([source, true]);
    for (const { source } of one.configs ?? []) expect(compose.configs).toHaveProperty(source);
    const needs = Array.isArray(one.depends_on) ? one.depends_on : Object.keys(one.depends_on ?? {});
    for (const name of needs) expect(compose.services).toHaveProperty(name);
    for (const volume of one.volumes ?? [])
      if (!volume.startsWith('./')) expect(compose.volumes).toHaveProperty(volume.split(':')[0] ?? '');
  });

  it('publishes ports on the loopback address only', () => {
    for (const published of one.ports ?? []) expect(published).toMatch(/^127\.0\.0\.1:/);
  });
});

describe('a replica of compose.yaml', () => {
  it('reads a configuration of the image and is given the whole time of a drain', () => {
    const { environment, stop_grace_period: grace, read_only, cap_drop } = service('replica-1');
    const path = environment?.['CONFIG_PATH'] ?? '';
    const { config: read } = loadConfig({
      types: PROVIDER_TYPES,
      path: path.replace(/^\/app\//, ''),
      env: {},
      missingSecrets: 'warning',
    });
    expect([read.app.port, read.monitoring.metrics.port]).toEqual([8080, 9090]);
    const drainMs = longestDrainMs({ ...DRAIN_TIMES, sharedState: true, graceMs: read.app.shutdown_timeout });
    expect(Number.parseInt(grace ?? '', 10) * 1_000).toBeGreaterThan(drainMs);
    expect({ read_only, cap_drop }).toEqual({ read_only: true, cap_drop: ['ALL'] });
  });
});

describe('the load balancer of compose.yaml', () => {
  let cluster: LocalCluster;
  let haproxy: ChildProcess | undefined;
  let port: number;
  beforeAll(async () => {
    cluster = await LocalCluster.start({ replicas: 3 });
    port = await freePort();
    // Names and ports of this test in place of the network's own.
    const text = cluster.replicas
      .reduce(
        (all, replica, i) => all.replace(`replica-${i + 1}:8080`, `127.0.0.1:${replica.port} port ${replica.opsPort}`),
        compose.configs['haproxy']?.content ?? '',
      )
      .replace('bind :8080', `bind 127.0.0.1:${port}`);
    const file = join(folder, 'live.cfg');
    writeFileSync(file, text);
    haproxy = spawn('haproxy', ['-db', '-f', file], { stdio: 'ignore' });
    let problem: Error | undefined;
    haproxy.once('error', (error) => (problem = error));
    while ((await fetch(`http://127.0.0.1:${port}/`).catch(() => undefined))?.status !== 200)
      if (problem === undefined) await new Promise((resolve) => setTimeout(resolve, 100));
      else throw problem;
  });
  afterAll(async () => {
    haproxy?.kill('SIGKILL');
    await cluster.close();
  });

  it('accepts the configuration file of the compose file', () => {
    const { status, stderr } = spawnSync('haproxy', ['-c', '-f', config('haproxy', 'haproxy.cfg')], {
      encoding: 'utf8',
    });
    expect(stderr).not.toMatch(/ALERT/);
    expect(status).toBe(0);
  });

  it('forwards REST, streams and sockets to each replica in turn', async () => {
    const url = `http://127.0.0.1:${port}`;
    const body = JSON.stringify({ input: 'demo: deltas=40 interval=20ms', stream: true });
    const init = { method: 'POST', headers: { 'content-type': 'application/json', connection: 'close' }, body };
    const times: number[] = [];
    for await (const _chunk of (await fetch(`${url}/v1/responses`, init)).body ?? []) times.push(performance.now());
    // As they come, not at once at the end.
    expect((times.at(-1) ?? 0) - (times[0] ?? 0)).toBeGreaterThan(200);
    for (let i = 0; i < 3; i++) {
      const socket = await TestSocket.open(`ws://127.0.0.1:${port}/v1/responses`);
      socket.send({ type: 'response.create', input: 'Hello' });
      await socket.next(isTerminalFrame);
      socket.close();
    }
    for (const replica of cluster.replicas)
      expect(await replica.metric('requests_total{status="success"}')).toBeGreaterThan(0);
  });

  it('skips a dead replica and a draining one before it sends a client there', async () => {
    await cluster.replicas[0]?.kill();
    cluster.replicas[1]?.signal('SIGTERM');
    await cluster.replicas[1]?.ended;
    for (let i = 0; i < 6; i++) {
      const answer = await fetch(`http://127.0.0.1:${port}/v1/models`, { headers: { connection: 'close' } });
      expect(answer.status).toBe(200);
      await answer.arrayBuffer();
    }
  });
});

describe('the monitoring of compose.yaml', () => {
  interface Scraping {
    readonly rule_files: unknown;
    readonly alerting: unknown;
    readonly scrape_configs: readonly [Record<string, unknown> & { readonly dns_sd_configs: readonly object[] }];
  }
  // As Prometheus documents it; promtool judges it.
  const own = parse(compose.configs['prometheus']?.content ?? '') as Scraping;

  it('starts only with its profile', () => {
    const asked = services.filter(([, { profiles }]) => profiles?.includes('monitoring')).map(([name]) => name);
    expect(asked).toEqual(['prometheus', 'alertmanager', 'grafana']);
  });

  it('gives Prometheus a valid file: the example of monitoring/ with the names of this network', () => {
    const path = config('prometheus', 'prometheus.yml');
    writeFileSync(join(folder, 'alerts.yaml'), readFileSync('monitoring/alerts.yaml'));
    const { status, stdout, stderr } = spawnSync('promtool', ['check', 'config', path], { encoding: 'utf8' });
    expect(stdout + stderr).not.toContain('FAILED');
    expect(status).toBe(0);
    const example = parse(readFileSync('monitoring/prometheus.yaml', 'utf8')) as Scraping;
    const plain = ({ rule_files, alerting, scrape_configs: [{ job_name, metrics_path }] }: Scraping) => ({
      ...{ rule_files, alerting, job_name, metrics_path },
    });
    expect(plain(own)).toEqual(plain(example));
  });

  it('scrapes every replica and sends alerts to the Alertmanager service', () => {
    const replicas = services.map(([name]) => name).filter((name) => name.startsWith('replica-'));
    expect(own.scrape_configs[0].dns_sd_configs).toEqual([expect.objectContaining({ names: replicas, port: 9090 })]);
    expect(JSON.stringify(own.alerting)).toContain('alertmanager:9093');
    expect(mountsOf(service('prometheus'))).toEqual([
      ['./monitoring/alerts.yaml', '/etc/prometheus/alerts.yaml', 'ro'],
    ]);
    // The file that amtool has checked.
    expect(mountsOf(service('alertmanager'))[0]?.[0]).toBe('./monitoring/alertmanager.yaml');
  });
});

describe('the Grafana of compose.yaml', () => {
  const PROVISIONING = 'monitoring/grafana/provisioning';
  const mounts = mountsOf(service('grafana'));
  const target = (source: string) => mounts.find(([mounted]) => mounted === `./${source}`)?.[1] ?? '';
  const provisioned = <T>(kind: string) =>
    readdirSync(join(PROVISIONING, kind)).map(
      (name) => parse(readFileSync(join(PROVISIONING, kind, name), 'utf8')) as { readonly apiVersion: number } & T,
    );
  const board = JSON.parse(readFileSync('monitoring/dashboard.json', 'utf8')) as {
    readonly uid: string;
    readonly title: string;
    readonly panels: readonly {
      readonly type: string;
      readonly title: string;
      readonly datasource?: object;
      readonly targets?: object[];
    }[];
    readonly templating: {
      readonly list: readonly {
        readonly name: string;
        readonly type: string;
        readonly query: unknown;
        readonly datasource?: object;
      }[];
    };
  };
  const [sources] = provisioned<{ readonly datasources: readonly Record<string, unknown>[] }>('datasources');

  it('finds only known files in the folders that it reads', () => {
    expect(readdirSync(PROVISIONING).toSorted()).toEqual(['dashboards', 'datasources']);
    expect(target(PROVISIONING)).toBe('/etc/grafana/provisioning');
    for (const kind of ['dashboards', 'datasources'])
      for (const { apiVersion } of provisioned(kind)) expect(apiVersion).toBe(1);
  });

  it('finds the dashboard in the provisioned folder, which is read-only in the UI', () => {
    const [file] = provisioned<{ readonly providers: readonly Record<string, unknown>[] }>('dashboards');
    expect(file?.providers).toEqual([
      {
        name: 'support-bot',
        type: 'file',
        allowUiUpdates: false,
        options: { path: dirname(target('monitoring/dashboard.json')) },
      },
    ]);
    expect(target('monitoring/dashboard.json')).toMatch(/\.json$/);
  });

  it('queries the Prometheus of the same compose file', () => {
    expect(sources?.datasources).toEqual([
      {
        name: 'Prometheus',
        uid: 'prometheus',
        type: 'prometheus',
        access: 'proxy',
        url: 'http://prometheus:9090',
        isDefault: true,
      },
    ]);
    expect(compose.services).toHaveProperty('prometheus');
  });

  it('sends the query of every panel and variable to the chosen Prometheus', () => {
    const [chosen, ...others] = board.templating.list;
    expect(chosen).toMatchObject({ name: 'datasource', type: 'datasource', query: sources?.datasources[0]?.['type'] });
    const ref = { type: 'prometheus', uid: '${datasource}' };
    const isSource = ({ type }: { readonly type: string }): boolean => type === 'datasource';
    expect(others.filter(isSource).map(({ name, query }) => [name, query])).toEqual([
      ['logs', 'loki'],
      ['traces', 'tempo'],
    ]);
    expect(others.filter((one) => !isSource(one)).map(({ name, datasource }) => [name, datasource])).toEqual([
      ['environment', ref],
      ['replica', ref],
    ]);
    const panels = board.panels.filter(({ type }) => type !== 'row');
    expect(panels.length).toBeGreaterThan(25);
    for (const { title, datasource } of panels) expect([title, datasource]).toEqual([title, ref]);
  });

  it('shows the panels that operators need first at the top', () => {
    const titles = board.panels.filter(({ type }) => type !== 'row').map(({ title }) => title);
    expect(titles.slice(0, 4)).toEqual(['Request Rate', 'Response Time P99', 'LLM Cost', 'Error Rate']);
    expect(new Set(titles).size).toBe(titles.length);
    const asked =
      'Errors by cause, Time to first delta, Deltas a second, Tokens a second, Cost in the last hour, Guardrail findings, Provider errors, Circuit breaker, Open sockets and viewers, Resumes, Drains, Slow readers, State store reachable, Append latency, Event loop lag (p99)';
    expect(titles).toEqual(expect.arrayContaining(asked.split(', ')));
    expect(board).toMatchObject({ uid: 'support-bot', title: 'support-bot' });
  });
});

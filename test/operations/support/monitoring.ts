/*
 * A real Prometheus with a real Alertmanager for tests, on ports and folders of their own, from the
 * configuration files that are shipped; only addresses and times are a test's.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { type RuleFile } from '../../../monitoring/render/alerts.js';
import { freePort } from '../../../scripts/development/cluster/free-port.js';

/** A suite that dies must not leave servers behind. */
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Call {
  readonly receiver: string;
  readonly status: string;
  readonly alerts: readonly { readonly labels: Readonly<Record<string, string>>; readonly status: string }[];
}

export class Monitoring {
  /** The notifications that Alertmanager sent to its receivers. */
  readonly calls: Call[] = [];
  readonly #folder = mkdtempSync(join(tmpdir(), 'sluice-monitoring-'));
  readonly #processes: ChildProcess[] = [];
  readonly #webhook: Server;
  #url = '';
  #config: { scrape_configs: [Record<string, unknown>] } = { scrape_configs: [{}] };
  #prometheus: ChildProcess | undefined;

  private constructor() {
    this.#webhook = createServer((request, response) => {
      let body = '';
      request.on('data', (chunk) => (body += String(chunk)));
      request.on('end', () => {
        // Alertmanager's documented shape.
        this.calls.push(JSON.parse(body) as Call);
        response.end();
      });
    });
  }

  /** `targets`: `host:port` of operations listeners. Resolves when each of them was scraped. */
  static async start(targets: readonly string[], rules: RuleFile): Promise<Monitoring> {
    const monitoring = new Monitoring();
    const [prometheusPort, alertmanagerPort, webhookPort] = [await freePort(), await freePort(), await freePort()];
    monitoring.#webhook.listen(webhookPort, '127.0.0.1');
    await once(monitoring.#webhook, 'listening');
    const folder = monitoring.#folder;
    mkdirSync(join(folder, 'tsdb'));
    writeFileSync(join(folder, 'alerts.yaml'), stringify(rules));
    // The shipped examples, which promtool and amtool have checked.
    const prometheus = parse(readFileSync('monitoring/prometheus.yaml', 'utf8')) as Record<string, unknown> & {
      scrape_configs: [Record<string, unknown>];
    };
    delete prometheus.scrape_configs[0]['dns_sd_configs'];
    prometheus.scrape_configs[0]['static_configs'] = [{ targets }];
    prometheus['global'] = { scrape_interval: '1s', evaluation_interval: '1s' };
    prometheus['alerting'] = {
      alertmanagers: [{ static_configs: [{ targets: [`127.0.0.1:${alertmanagerPort}`] }] }],
    };
    monitoring.#config = prometheus;
    writeFileSync(join(folder, 'prometheus.yml'), stringify(prometheus));
    const alertmanager = readFileSync('monitoring/alertmanager.yaml', 'utf8')
      .replaceAll(/http:\/\/\w+\.example\.com/g, `http://127.0.0.1:${webhookPort}`)
      .replace(/group_wait: \w+/, 'group_wait: 0s')
      .replace(/group_interval: \w+/, 'group_interval: 1s');
    writeFileSync(join(folder, 'alertmanager.yml'), alertmanager);
    monitoring.#url = `http://127.0.0.1:${prometheusPort}`;
    monitoring.#run('prometheus-alertmanager', [
      `--config.file=${folder}/alertmanager.yml`,
      `--storage.path=${folder}/alertmanager`,
      `--web.listen-address=127.0.0.1:${alertmanagerPort}`,
      '--cluster.listen-address=',
    ]);
    monitoring.#prometheus = monitoring.#run('prometheus', [
      `--config.file=${folder}/prometheus.yml`,
      `--storage.tsdb.path=${folder}/tsdb`,
      `--web.listen-address=127.0.0.1:${prometheusPort}`,
      '--enable-feature=exemplar-storage',
    ]);
    await monitoring.until(`sum(up) == ${targets.length}`);
    return monitoring;
  }

  /** Scrapes other targets from now on, as after a change of the configuration file. */
  setTargets(targets: readonly string[]): void {
    this.#config.scrape_configs[0]['static_configs'] = [{ targets }];
    writeFileSync(join(this.#folder, 'prometheus.yml'), stringify(this.#config));
    this.#prometheus?.kill('SIGHUP');
  }

  /** What an expression gives now. @throws where Prometheus refuses it */
  async query(expr: string): Promise<Sample[]> {
    const answer = await fetch(`${this.#url}/api/v1/query?query=${encodeURIComponent(expr)}`);
    // Prometheus' documented shape.
    const body = (await answer.json()) as {
      readonly status: string;
      readonly error?: string;
      readonly data?: {
        readonly result: readonly { readonly metric: Record<string, string>; readonly value: [number, string] }[];
      };
    };
    if (body.data === undefined) throw new Error(`${expr}: ${body.error}`);
    return body.data.result.map(({ metric, value }) => ({
      labels: metric,
      value: Number(value[1].replace('Inf', 'Infinity')),
    }));
  }

  /** The one number that an expression gives; NaN where it gives none. */
  async number(expr: string): Promise<number> {
    const [sample] = await this.query(expr);
    return sample?.value ?? Number.NaN;
  }

  /** What Grafana's `label_values(metric, label)` asks. */
  async labelValues(metric: string, label: string): Promise<string[]> {
    const answer = await fetch(`${this.#url}/api/v1/label/${label}/values?match[]=${encodeURIComponent(metric)}`);
    // Prometheus' documented shape.
    const { data } = (await answer.json()) as { readonly data: string[] };
    return data;
  }

  /** The labels of the exemplars that Prometheus has stored for a series. */
  async exemplars(series: string): Promise<Readonly<Record<string, string>>[]> {
    const end = Date.now() / 1_000;
    const range = `start=${end - 3_600}&end=${end + 60}`;
    const answer = await fetch(`${this.#url}/api/v1/query_exemplars?query=${encodeURIComponent(series)}&${range}`);
    // Prometheus' documented shape.
    const { data } = (await answer.json()) as {
      readonly data: readonly { readonly exemplars: readonly { readonly labels: Record<string, string> }[] }[];
    };
    return data.flatMap(({ exemplars }) => exemplars.map(({ labels }) => labels));
  }

  /** Resolves when the expression gives anything: `x == 1` filters. */
  async until(expr: string): Promise<void> {
    for (;;) {
      const found = await this.query(expr).catch(() => []);
      if (found.length > 0) return;
      await pause();
    }
  }

  /** Resolves when a receiver got a notification of that alert. */
  async called(alert: string, receiver: string, status: string): Promise<void> {
    const fits = (call: Call) =>
      call.receiver === receiver &&
      call.alerts.some(({ labels, status: is }) => labels['alertname'] === alert && is === status);
    while (!this.calls.some(fits)) await pause();
  }

  async close(): Promise<void> {
    for (const child of this.#processes) {
      const ended = once(child, 'exit');
      if (child.exitCode === null && child.kill('SIGKILL')) await ended;
    }
    this.#webhook.closeAllConnections();
    this.#webhook.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #run(command: string, args: readonly string[]): ChildProcess {
    const child = spawn(command, args, { stdio: 'ignore', cwd: this.#folder });
    running.add(child);
    child.once('exit', () => running.delete(child));
    this.#processes.push(child);
    return child;
  }
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 100));
}

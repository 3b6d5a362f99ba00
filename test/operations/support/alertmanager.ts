/* A real Alertmanager with the shipped configuration, which lists the alerts that it would send. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../../scripts/development/cluster/free-port.js';

type Labels = Readonly<Record<string, string>>;

export class Alertmanager {
  readonly #folder = mkdtempSync(join(tmpdir(), 'sluice-alertmanager-'));
  #process: ChildProcess | undefined;
  #url = '';

  static async start(): Promise<Alertmanager> {
    const started = new Alertmanager();
    // The shipped file; what takes time in operation takes none here.
    const file = readFileSync('monitoring/alertmanager.yaml', 'utf8').replace(/group_wait: \w+/, 'group_wait: 0s');
    writeFileSync(join(started.#folder, 'alertmanager.yml'), file);
    const port = await freePort();
    started.#url = `http://127.0.0.1:${port}`;
    started.#process = spawn(
      'prometheus-alertmanager',
      [
        `--config.file=${started.#folder}/alertmanager.yml`,
        `--storage.path=${started.#folder}`,
        `--web.listen-address=127.0.0.1:${port}`,
        '--cluster.listen-address=',
      ],
      { stdio: 'ignore' },
    );
    while (!(await started.#answers())) await pause();
    return started;
  }

  /** Makes the alerts active. */
  async post(alerts: readonly { readonly labels: Labels }[]): Promise<void> {
    const answer = await fetch(`${this.#url}/api/v2/alerts`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(alerts),
    });
    if (!answer.ok) throw new Error(await answer.text());
    // Known as soon as its groups were formed.
    while ((await this.#alerts()).length < alerts.length) await pause();
  }

  /** Labels of the alerts that no other one inhibits. */
  async loud(): Promise<Labels[]> {
    const alerts = await this.#alerts();
    return alerts.filter(({ status }) => status.inhibitedBy.length === 0).map(({ labels }) => labels);
  }

  async close(): Promise<void> {
    const ended = this.#process === undefined ? undefined : once(this.#process, 'exit');
    this.#process?.kill('SIGKILL');
    await ended;
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #answers(): Promise<boolean> {
    return fetch(`${this.#url}/-/ready`).then(
      ({ ok }) => ok,
      () => false,
    );
  }

  async #alerts() {
    const answer = await fetch(`${this.#url}/api/v2/alerts`);
    // Alertmanager's documented shape; an alert that was not processed yet has the state
    // `unprocessed`.
    const all = (await answer.json()) as {
      readonly labels: Labels;
      readonly status: { readonly state: string; readonly inhibitedBy: readonly string[] };
    }[];
    return all.filter(({ status }) => status.state !== 'unprocessed');
  }
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 50));
}

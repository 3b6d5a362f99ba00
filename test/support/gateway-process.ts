/*
 * The gateway as it runs in production: a process of its own, `node dist/main.js`, with a
 * configuration file and free ports.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, onFreePorts, PORT_TAKEN, PortTaken } from '../../scripts/development/cluster/free-port.js';
import { patient } from '../../scripts/development/cluster/patient-provider.js';

/** Sections of its file. */
type Config = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

export class GatewayProcess {
  /** All that it wrote, stdout and stderr. */
  output = '';
  /** Its exit code, or the signal that ended it. */
  readonly exited: Promise<number | string>;
  readonly #child: ChildProcess;
  readonly #directory: string;

  private constructor(
    child: ChildProcess,
    directory: string,
    readonly port: number,
    readonly opsPort: number,
  ) {
    this.#child = child;
    this.#directory = directory;
    child.stdout?.on('data', (chunk: Buffer) => (this.output += chunk.toString()));
    child.stderr?.on('data', (chunk: Buffer) => (this.output += chunk.toString()));
    // A process that ended has a code or a signal.
    this.exited = once(child, 'exit').then(([code, signal]) => (code ?? signal) as number | string);
  }

  /**
   * Resolves when it is ready. `config`: sections of its file, without the ports and metrics;
   * `env`: further variables.
   */
  static start(config: Config = {}, env: Readonly<Record<string, string>> = {}): Promise<GatewayProcess> {
    return onFreePorts(() => GatewayProcess.#start(config, env));
  }

  static async #start(config: Config, env: Readonly<Record<string, string>>): Promise<GatewayProcess> {
    const directory = mkdtempSync(join(tmpdir(), 'sluice-process-'));
    const [port, opsPort] = [await freePort(), await freePort()];
    const path = join(directory, 'config.json');
    const whole = {
      ...patient(config),
      app: { ...config['app'], port },
      monitoring: { ...config['monitoring'], metrics: { port: opsPort } },
    };
    writeFileSync(path, JSON.stringify(whole));
    const { PATH = '' } = process.env;
    const child = spawn(process.execPath, ['dist/main.js'], {
      env: { PATH, CONFIG_PATH: path, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const gateway = new GatewayProcess(child, directory, port, opsPort);
    const ended = gateway.exited.then((end) => {
      const problem = `the gateway ended with ${end}: ${gateway.output}`;
      throw gateway.output.includes(PORT_TAKEN) ? new PortTaken(problem) : new Error(problem);
    });
    try {
      await Promise.race([gateway.#ready(), ended]);
    } catch (error) {
      rmSync(directory, { recursive: true });
      throw error;
    }
    return gateway;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get socketUrl(): string {
    return `ws://127.0.0.1:${this.port}/v1/responses`;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** What the probe answers; undefined: the port is closed. */
  async probe(path: '/health' | '/ready'): Promise<{ status: number; body: unknown } | undefined> {
    try {
      const answer = await fetch(`http://127.0.0.1:${this.opsPort}${path}`);
      return { status: answer.status, body: await answer.json() };
    } catch {
      return undefined;
    }
  }

  /** Ends it whatever it does. */
  async stop(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.exited;
    rmSync(this.#directory, { recursive: true });
  }

  async #ready(): Promise<void> {
    const over = (): boolean => this.#child.exitCode !== null || this.#child.signalCode !== null;
    while (!over() && (await this.probe('/ready'))?.status !== 200)
      await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

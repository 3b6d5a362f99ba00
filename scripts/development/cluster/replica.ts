/*
 * One replica as operators run it: a process of its own with a configuration file of its own, which
 * a test can pause, kill, ask to leave and start again on the same ports. Knows nothing of its
 * requests.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { freePort, onFreePorts, PORT_TAKEN, PortTaken } from './free-port.js';
import { patient } from './patient-provider.js';

/** A suite that dies must not leave replicas behind. */
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

const NODE = resolve('node_modules/.bin/node');
/** `SLUICE_DIST`: another build than the one in dist/. */
const MAIN = resolve(process.env['SLUICE_DIST'] ?? 'dist', 'main.js');

/** Sections of the configuration file; those that a replica says itself (ports) are put in. */
export type ReplicaConfig = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

export interface ReplicaEnd {
  /** 128 + n if a signal ended it, as in a shell. */
  readonly code: number;
  /** Whether the test or the operator requested the end. */
  readonly expected: boolean;
}

const PORT_BACK_WITHIN_MS = 10_000;
/**
 * How long a starting replica may take for one answer, in milliseconds. Long, because each attempt
 * that is given up costs a busy machine another connection, and the end of the process ends the
 * wait.
 */
const START_ANSWER_MS = 60_000;

export class Replica {
  readonly name: string;
  readonly port: number;
  readonly opsPort: number;
  /** Every line that it wrote, over all its lives. */
  readonly lines: string[] = [];
  /** How each of its lives ended. */
  readonly ends: ReplicaEnd[] = [];
  readonly #folder = mkdtempSync(join(tmpdir(), 'sluice-replica-'));
  readonly #env: Record<string, string>;
  #served = false;
  #process: ChildProcess | undefined;
  #ended: Promise<ReplicaEnd> = Promise.resolve({ code: 0, expected: true });
  #expected = false;

  private constructor(name: string, ports: readonly [number, number], config: ReplicaConfig, env: NodeJS.ProcessEnv) {
    this.name = name;
    [this.port, this.opsPort] = ports;
    const monitoring = config['monitoring'] ?? {};
    const file = {
      ...patient(config),
      app: { shutdown_timeout: '20s', ...config['app'], port: this.port },
      monitoring: { logging: { level: 'warn' }, ...monitoring, metrics: { port: this.opsPort } },
    };
    writeFileSync(join(this.#folder, 'config.json'), JSON.stringify(file));
    this.#env = {
      ...Object.fromEntries(Object.entries(env).flatMap(([key, value]) => (value === undefined ? [] : [[key, value]]))),
      CONFIG_PATH: join(this.#folder, 'config.json'),
    };
  }

  /** Resolves when it is ready. */
  static start(name: string, config: ReplicaConfig, env: NodeJS.ProcessEnv = process.env): Promise<Replica> {
    return onFreePorts(async () => {
      const replica = new Replica(name, [await freePort(), await freePort()], config, env);
      try {
        await replica.start();
      } catch (error) {
        await replica.close();
        throw error;
      }
      return replica;
    });
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get socketUrl(): string {
    return `ws://127.0.0.1:${this.port}/v1/responses`;
  }

  get opsUrl(): string {
    return `http://127.0.0.1:${this.opsPort}`;
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  /** Variables that it has, or has no longer, from its next start on. */
  change(env: Readonly<Record<string, string | undefined>>): void {
    for (const [name, value] of Object.entries(env)) {
      if (value === undefined) delete this.#env[name];
      else this.#env[name] = value;
    }
  }

  /** Starts it, again after an end; resolves when it is ready. @throws where it ends instead */
  async start(): Promise<void> {
    // A restart keeps its ports, so it waits: a search for a free port in another process may hold
    // one for a moment.
    const mayTryUntil = this.#served ? performance.now() + PORT_BACK_WITHIN_MS : 0;
    for (;;) {
      try {
        await this.#launch();
        this.#served = true;
        return;
      } catch (error) {
        if (!(error instanceof PortTaken) || performance.now() > mayTryUntil) throw error;
        this.ends.pop();
        await pause(250);
      }
    }
  }

  async #launch(): Promise<void> {
    const from = this.lines.length;
    const child = spawn(NODE, [MAIN], { env: this.#env, stdio: ['ignore', 'pipe', 'pipe'] });
    running.add(child);
    this.#process = child;
    this.#expected = false;
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => this.lines.push(line));
    }
    this.#ended = new Promise((tell) => {
      child.once('exit', (code, signal) => {
        running.delete(child);
        const end = { code: code ?? SIGNALS[signal ?? ''] ?? 1, expected: this.#expected };
        this.ends.push(end);
        if (this.#process === child) this.#process = undefined;
        tell(end);
      });
    });
    while (!(await this.isReady(START_ANSWER_MS))) {
      if (child.exitCode !== null || child.signalCode !== null) {
        const said = this.lines.slice(from).slice(-20).join('\n');
        const problem = `${this.name} did not start:\n${said}`;
        throw said.includes(PORT_TAKEN) ? new PortTaken(problem) : new Error(problem);
      }
      await pause(50);
    }
  }

  async isReady(timeoutMs = 1_000): Promise<boolean> {
    return (await this.status('/ready', timeoutMs)) === 200;
  }

  /** Status of a path of the operations listener; undefined: no answer. */
  async status(path: string, timeoutMs = 1_000): Promise<number | undefined> {
    try {
      const answer = await fetch(`${this.opsUrl}${path}`, { signal: AbortSignal.timeout(timeoutMs) });
      await answer.arrayBuffer();
      return answer.status;
    } catch {
      return undefined;
    }
  }

  /** Every series and its value; names without the prefix. Empty where it does not answer. */
  async metrics(): Promise<ReadonlyMap<string, number>> {
    try {
      const answer = await fetch(`${this.opsUrl}/metrics`, { signal: AbortSignal.timeout(2_000) });
      const lines = (await answer.text()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
      return new Map(
        lines.map((line) => {
          const at = line.lastIndexOf(' ');
          return [line.slice(0, at).replace(/^sluice_/u, ''), Number(line.slice(at + 1))];
        }),
      );
    } catch {
      return new Map();
    }
  }

  async metric(series: string): Promise<number> {
    return (await this.metrics()).get(series) ?? 0;
  }

  /** Stops its clock, as a long pause of the machine or the collector does. */
  pause(): void {
    this.#process?.kill('SIGSTOP');
  }

  resume(): void {
    this.#process?.kill('SIGCONT');
  }

  /** Sets its wall clock this many milliseconds off the machine's. Needs test/chaos/trouble.mjs. */
  shiftClock(ms: number): void {
    writeFileSync(join(this.#folder, 'clock-shift'), String(ms));
  }

  /**
   * Lets it stop its own clock in the next turn, between joining a conversation's queue and writing
   * the log. Needs test/chaos/trouble.mjs.
   * @returns whether it has stopped; false if no such turn came within `withinMs`
   */
  async stopBeforeLog(withinMs: number): Promise<boolean> {
    const file = join(this.#folder, 'stop-before-log');
    writeFileSync(file, '');
    for (const until = performance.now() + withinMs; performance.now() < until; await pause(20)) {
      if (!existsSync(file)) return true;
    }
    try {
      rmSync(file);
      return false;
    } catch {
      // It has taken the file, and stopped, at the last moment.
      return true;
    }
  }

  /** Ends it at once, as a crash does. */
  kill(): Promise<ReplicaEnd> {
    return this.#end('SIGKILL');
  }

  /** Asks it to leave, as an operator does; resolves to its exit code. */
  async stop(): Promise<number> {
    return (await this.#end('SIGTERM')).code;
  }

  /** One more signal, without waiting. */
  signal(signal: 'SIGTERM' | 'SIGINT'): void {
    this.#expected = true;
    this.#process?.kill(signal);
  }

  /** Resolves when it has ended. */
  get ended(): Promise<ReplicaEnd> {
    return this.#ended;
  }

  async close(): Promise<void> {
    if (this.#process !== undefined) await this.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #end(signal: NodeJS.Signals): Promise<ReplicaEnd> {
    this.#expected = true;
    this.#process?.kill(signal);
    return this.#ended;
  }
}

const SIGNALS: Readonly<Record<string, number>> = {
  SIGINT: 130,
  SIGKILL: 137,
  SIGSEGV: 139,
  SIGABRT: 134,
  SIGTERM: 143,
};

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/* The stage of one scenario: provider, load generator, Redis and the systems, started once, measured in turn, round after round. */

import { type ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Answers, ask } from './ipc.js';
import { cpuMicrosOf, end, freePort, listening, startNode, startRedis } from './processes.js';
import { type RunningSystem, type Surroundings, type System } from './systems.js';

export interface Window {
  readonly seconds: number;
  /** Null where the system has no process. */
  readonly cpuMicros: number | null;
  /** What its Redis used beside it. */
  readonly redisCpuMicros: number | null;
  /** Deltas that the provider sent. */
  readonly provided: number;
  /** Of those, how many it sent more than 5 ms late: above a few in a hundred the machine was too busy to measure. */
  readonly providedLate: number;
  readonly tally: Answers['tally'];
}

const QUIET_WITHIN_MS = 15_000;

export class Stage {
  readonly load: ChildProcess;
  readonly upstream: ChildProcess;
  readonly redis: ChildProcess | undefined;
  readonly around: Surroundings;

  private constructor(
    load: ChildProcess,
    upstream: ChildProcess,
    redis: ChildProcess | undefined,
    around: Surroundings,
  ) {
    this.load = load;
    this.upstream = upstream;
    this.redis = redis;
    this.around = around;
  }

  static async open(withRedis: boolean): Promise<Stage> {
    const [port, redisPort] = [await freePort(), await freePort()];
    const upstream = startNode('upstream', { PORT: String(port) });
    const load = startNode('load');
    const redis = withRedis ? await startRedis(redisPort) : undefined;
    await listening(upstream, port);
    return new Stage(load, upstream, redis, {
      upstream: `http://127.0.0.1:${port}/v1`,
      redisUrl: redis === undefined ? null : `redis://127.0.0.1:${redisPort}`,
    });
  }

  async close(): Promise<void> {
    const children = [this.load, this.upstream, ...(this.redis === undefined ? [] : [this.redis])];
    await Promise.all(children.map((child) => end(child)));
  }

  /** Measures what runs now for so long. */
  async window(system: System, { child }: RunningSystem, seconds: number): Promise<Window> {
    const redis = system.needsRedis ? this.redis : undefined;
    const redisBefore = redis && cpuMicrosOf(redis);
    const [provided, cpu] = await Promise.all([
      ask(this.upstream, { ask: 'provided' }),
      child && ask(child, { ask: 'cpu' }),
      ask(this.load, { ask: 'reset' }),
    ]);
    const startedAt = performance.now();
    await sleep(seconds * 1_000);
    const elapsed = (performance.now() - startedAt) / 1_000;
    const [providedAfter, cpuAfter, tally] = await Promise.all([
      ask(this.upstream, { ask: 'provided' }),
      child && ask(child, { ask: 'cpu' }),
      ask(this.load, { ask: 'tally' }),
    ]);
    return {
      seconds: elapsed,
      cpuMicros: cpu === null || cpuAfter === null ? null : cpuAfter.micros - cpu.micros,
      redisCpuMicros: redis === undefined || redisBefore === undefined ? null : cpuMicrosOf(redis) - redisBefore,
      provided: providedAfter.sent - provided.sent,
      providedLate: providedAfter.late - provided.late,
      tally,
    };
  }

  /** Ends all clients and waits until the provider has nothing more to send. */
  async quiet(): Promise<void> {
    await ask(this.load, { ask: 'stop' });
    for (const giveUpAt = Date.now() + QUIET_WITHIN_MS; Date.now() < giveUpAt; await sleep(50)) {
      if ((await ask(this.upstream, { ask: 'provided' })).active === 0) return;
    }
    throw new Error('unable to go on; a system still reads from the provider although all its clients are gone');
  }
}

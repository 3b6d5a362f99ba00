/*
 * The stage of one scenario: provider, load generator, Redis and the systems, started once,
 * measured in turn, round after round.
 */

import { type ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Answers, ask } from './ipc.js';
import { cpuMicrosOf, end, freePort, listening, startNode, startRedis } from './processes.js';
import { type RunningSystem, type Surroundings, type System } from './systems.js';

export interface Window {
  readonly seconds: number;
  /** Of all its processes; null where the system has none. */
  readonly cpuMicros: number | null;
  /** Voluntary context switches of all its processes; null if a process has no probe. */
  readonly waits: number | null;
  /** What its Redis used beside it. */
  readonly redisCpuMicros: number | null;
  /** What a gateway sent to Redis. */
  readonly redisCommands: number | null;
  /** Deltas that the provider sent. */
  readonly provided: number;
  /**
   * Of those, how many it sent more than 5 ms late: above a few in a hundred the machine was too
   * busy to measure.
   */
  readonly providedLate: number;
  readonly tally: Answers['tally'];
}

/** A turn that was requested before its client left may reach the provider after it. */
const QUIET_LOOKS = 10;
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
  async window(system: System, { children, metricsUrls }: RunningSystem, seconds: number): Promise<Window> {
    const redis = system.needsRedis ? this.redis : undefined;
    const redisBefore = redis && cpuMicrosOf(redis);
    const commandsBefore = redis && metricsUrls && (await commandsOf(metricsUrls));
    const [provided, usage] = await Promise.all([
      ask(this.upstream, { ask: 'provided' }),
      usageOf(children),
      ask(this.load, { ask: 'reset' }),
    ]);
    const startedAt = performance.now();
    await sleep(seconds * 1_000);
    const elapsed = (performance.now() - startedAt) / 1_000;
    const [providedAfter, usageAfter, tally] = await Promise.all([
      ask(this.upstream, { ask: 'provided' }),
      usageOf(children),
      ask(this.load, { ask: 'tally' }),
    ]);
    const commandsAfter = redis && metricsUrls && (await commandsOf(metricsUrls));
    return {
      seconds: elapsed,
      cpuMicros: children.length === 0 ? null : usageAfter.micros - usage.micros,
      waits:
        children.length === 0 || usage.waits === null || usageAfter.waits === null
          ? null
          : usageAfter.waits - usage.waits,
      redisCpuMicros: redis === undefined || redisBefore === undefined ? null : cpuMicrosOf(redis) - redisBefore,
      redisCommands:
        commandsBefore === undefined || commandsAfter === undefined ? null : commandsAfter - commandsBefore,
      provided: providedAfter.sent - provided.sent,
      providedLate: providedAfter.late - provided.late,
      tally,
    };
  }

  /** Ends all clients and waits until the provider has nothing more to send. */
  async quiet(): Promise<void> {
    await ask(this.load, { ask: 'stop' });
    let looks = 0;
    for (const giveUpAt = Date.now() + QUIET_WITHIN_MS; Date.now() < giveUpAt; await sleep(50)) {
      looks = (await ask(this.upstream, { ask: 'provided' })).active === 0 ? looks + 1 : 0;
      if (looks === QUIET_LOOKS) return;
    }
    throw new Error('unable to continue; a system still reads from the provider although all its clients are gone');
  }
}

interface Usage {
  readonly micros: number;
  readonly waits: number | null;
}

async function usageOf(children: readonly ChildProcess[]): Promise<Usage> {
  const all = await Promise.all(
    children.map(async (child): Promise<Usage> =>
      child.connected ? await ask(child, { ask: 'cpu' }) : { micros: cpuMicrosOf(child), waits: null },
    ),
  );
  return {
    micros: all.reduce((sum, { micros }) => sum + micros, 0),
    waits: all.reduce<number | null>((sum, { waits }) => (sum === null || waits === null ? null : sum + waits), 0),
  };
}

async function commandsOf(metricsUrls: readonly string[]): Promise<number> {
  const pages = await Promise.all(metricsUrls.map(async (url) => (await fetch(url)).text()));
  return pages.reduce((sum, page) => sum + Number(/^\w+_state_commands_total (\S+)$/mu.exec(page)?.[1]), 0);
}

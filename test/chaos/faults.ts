/*
 * What goes wrong, by a seed: replicas that die, freeze and leave, a Redis that forgets, freezes,
 * dies and comes back, networks that are cut. Always leaves one replica that can serve. Knows
 * nothing of who watches.
 */

import { type LocalCluster } from '../../scripts/development/cluster/local-cluster.js';
import { type Replica } from '../../scripts/development/cluster/replica.js';
import { Counters } from './counters.js';

const FAULTS = [
  'replica killed',
  'replica paused beyond its lease',
  'replica restarted',
  'replica stopped between claim and log',
  'wall clock set forward or back',
  'subscribers cut off by Redis',
  'commands cut off by Redis',
  'scripts flushed',
  'Redis paused',
  'Redis killed and started again',
  'connections cut',
] as const;
export const FAULT_KINDS = FAULTS.length;
export type Fault = (typeof FAULTS)[number];

/** A lease lasts 8 s. */
const BEYOND_LEASE_MS = 9_500;
/** Turns in conversations come to every replica more often than this. */
const TURN_WITHIN_MS = 10_000;
const CLOCK_JUMP_MS = 3_600_000;

export class Faults {
  readonly counts = new Map<Fault, number>();
  /** What must not be, such as a replica that ended by itself. */
  readonly violations: string[] = [];
  readonly counters = new Counters();
  /** Exit codes of the replicas that received a signal to drain. */
  readonly exitCodes: number[] = [];
  /** Connections cut on the way. */
  cut = 0;
  readonly #out = new Set<Replica>();
  readonly #repairs = new Set<Promise<void>>();
  #redisBusy = false;

  constructor(
    readonly cluster: LocalCluster,
    readonly random: () => number,
    readonly say: (line: string) => void,
  ) {}

  /** Each fault once in an order of the seed's, then again in another, until `over`. */
  async run(over: () => boolean, everyMs: readonly [number, number]): Promise<void> {
    let waiting: Fault[] = [];
    while (!over()) {
      if (waiting.length === 0) waiting = this.#shuffled(FAULTS);
      const next = waiting.findIndex((fault) => this.#possible(fault));
      const [fault] = next < 0 ? [] : waiting.splice(next, 1);
      if (fault !== undefined) this.#do(fault);
      await pause(everyMs[0] + this.random() * (everyMs[1] - everyMs[0]));
    }
    await Promise.all(this.#repairs);
  }

  #possible(fault: Fault): boolean {
    if (fault.startsWith('replica')) return this.#out.size < this.cluster.replicas.length - 1;
    return fault === 'connections cut' || !this.#redisBusy;
  }

  #do(fault: Fault): void {
    const repair = this.#act(fault).then(
      (happened) => {
        if (happened !== false) this.counts.set(fault, (this.counts.get(fault) ?? 0) + 1);
      },
      (error: unknown) => void this.violations.push(`${fault}: ${String(error)}`),
    );
    this.#repairs.add(repair);
    void repair.finally(() => this.#repairs.delete(repair));
  }

  /** @returns false if the fault could not be caused now */
  async #act(fault: Fault): Promise<unknown> {
    const { redis, proxy } = this.cluster;
    switch (fault) {
      case 'replica killed':
        return this.#withReplica(fault, async (replica) => {
          await replica.kill();
          await pause(this.random() * 2_000);
          await replica.start();
        });
      case 'replica paused beyond its lease':
        return this.#withReplica(fault, async (replica) => {
          replica.pause();
          await pause(BEYOND_LEASE_MS + this.random() * 2_000);
          replica.resume();
        });
      case 'replica restarted':
        return this.#withReplica(fault, async (replica) => {
          const since = performance.now();
          const code = await replica.stop();
          this.exitCodes.push(code);
          this.say(`${replica.name} has left with ${code} after ${Math.round(performance.now() - since)} ms`);
          await replica.start();
        });
      case 'replica stopped between claim and log':
        return this.#withReplica(fault, async (replica) => {
          if (!(await replica.stopBeforeLog(TURN_WITHIN_MS))) return false;
          await pause(BEYOND_LEASE_MS + this.random() * 2_000);
          replica.resume();
          return true;
        });
      case 'wall clock set forward or back':
        return this.#jumpClock(fault);
      case 'subscribers cut off by Redis':
        this.say(fault);
        return void (await redis.admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub'));
      case 'commands cut off by Redis':
        this.say(fault);
        return void (await redis.admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes'));
      case 'scripts flushed':
        this.say(fault);
        return void (await redis.admin.script('FLUSH'));
      case 'Redis paused':
        return this.#withRedis(fault, async () => {
          redis.pause();
          await pause(1_000 + this.random() * 2_000);
          redis.resume();
        });
      case 'Redis killed and started again':
        return this.#withRedis(fault, async () => {
          await redis.kill();
          await pause(this.random() * 1_000);
          await redis.start();
        });
      case 'connections cut': {
        const cut = proxy.cut(() => this.random() < 0.4);
        this.cut += cut;
        this.say(`${fault}: ${cut}`);
        return true;
      }
    }
  }

  /** An hour forward or back, and after some seconds to the machine's time again: two jumps. */
  async #jumpClock(fault: Fault): Promise<void> {
    const { replicas } = this.cluster;
    const replica = replicas[Math.floor(this.random() * replicas.length)];
    const ms = this.random() < 0.5 ? CLOCK_JUMP_MS : -CLOCK_JUMP_MS;
    this.say(`${fault}: ${replica?.name} by ${ms} ms`);
    replica?.shiftClock(ms);
    await pause(2_000 + this.random() * 3_000);
    replica?.shiftClock(0);
  }

  async #withReplica(fault: Fault, act: (replica: Replica) => Promise<boolean | void>): Promise<boolean> {
    const up = this.cluster.replicas.filter((replica) => !this.#out.has(replica));
    const replica = up[Math.floor(this.random() * up.length)];
    if (replica === undefined) return false;
    this.#out.add(replica);
    this.say(`${fault}: ${replica.name}`);
    await this.counters.end(replica);
    const happened = await act(replica);
    this.#out.delete(replica);
    this.say(happened === false ? `${fault} did not happen to ${replica.name}` : `${replica.name} is back`);
    return happened !== false;
  }

  async #withRedis(fault: Fault, act: () => Promise<void>): Promise<void> {
    this.#redisBusy = true;
    this.say(fault);
    try {
      await act();
      // The next trouble meets replicas that have found it again.
      await pause(1_500);
    } finally {
      this.#redisBusy = false;
    }
  }

  #shuffled(faults: readonly Fault[]): Fault[] {
    return faults
      .map((fault) => ({ fault, at: this.random() }))
      .sort((a, b) => a.at - b.at)
      .map(({ fault }) => fault);
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

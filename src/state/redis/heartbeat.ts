/*
 * The heartbeat: once a second every server is asked for a sign of life, and the one that has the list of replicas for a write. Tells whether
 * Redis is up, how many replicas there are, and since when without a break each server has been reached.
 */

import { type RedisConnector } from './connection.js';
import { slotOf } from './keys.js';
import { type RedisHooks, type RedisTiming } from './options.js';
import { type RedisCommands } from './redis-commands.js';
import { meaningOf, stateUnavailable } from './redis-errors.js';
import { type Script } from './scripts.js';
import { type Subscriptions } from './subscriptions.js';

export interface HeartbeatOptions {
  readonly connector: RedisConnector;
  /** Every connection that carries commands; the first writes the sign of life. */
  readonly lanes: readonly [RedisCommands, ...RedisCommands[]];
  readonly subscriptions: Subscriptions;
  readonly script: Script;
  readonly replicasKey: string;
  readonly replicaId: string;
  readonly leaseMs: number;
  readonly timing: RedisTiming;
  readonly hooks: RedisHooks;
}

interface Reach {
  sinceMs: number;
  lastMs: number;
}

const ONE_SERVER = '';
/** Replicas that have been silent for so many heartbeats are not counted. */
const BEATS_COUNTED = 10;
/** How long an end waits for Redis. */
const SIGN_OFF_MS = 250;

export class Heartbeat {
  readonly #options: HeartbeatOptions;
  readonly #reached = new Map<string, Reach>();
  #timer: NodeJS.Timeout | undefined;
  #beating: Promise<void> | undefined;
  #state: 'up' | 'down' | undefined;
  #closed = false;
  /** Replicas that share this Redis, this one included. */
  replicas = 1;

  constructor(options: HeartbeatOptions) {
    this.#options = options;
  }

  get isUp(): boolean {
    return this.#state === 'up';
  }

  start(): void {
    this.#timer = setTimeout(() => {
      void this.beat()
        .catch(() => undefined)
        .finally(() => {
          if (!this.#closed) this.start();
        });
    }, this.#options.timing.heartbeatMs).unref();
  }

  /** Resolves when Redis answers and takes writes. Whoever asks while one is under way shares it. */
  beat(): Promise<void> {
    this.#beating ??= this.#beat().finally(() => (this.#beating = undefined));
    return this.#beating;
  }

  /**
   * Since when, on the clock of `performance.now()`, the server of a key has been reached without a break that could have let a living
   * replica's lease run out. Infinity: it is not reached.
   */
  reachedSince(key: string): number {
    const reach = this.#reached.get(this.#serverOf(key));
    return reach === undefined || this.#broken(reach) ? Infinity : reach.sinceMs;
  }

  /** Tells the others that they need not count this replica any more, where Redis takes that at once: else it forgets by itself. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    if (!this.isUp) return;
    const [lane] = this.#options.lanes;
    const { replicasKey, replicaId } = this.#options;
    const told = lane.call('ZREM', replicasKey, replicaId).catch(() => undefined);
    let timer: NodeJS.Timeout | undefined;
    await Promise.race([told, new Promise((resolve) => (timer = setTimeout(resolve, SIGN_OFF_MS)))]);
    clearTimeout(timer);
  }

  async #beat(): Promise<void> {
    const { lanes, script, replicasKey, replicaId, timing, subscriptions } = this.#options;
    const [writer, ...others] = lanes;
    try {
      // All at once: a lane that does not answer is found out even where the write already failed.
      const pings = [writer, ...others].map((lane) => this.#pingAll(lane));
      const write = writer.run(script, [replicasKey], [replicaId, timing.heartbeatMs * BEATS_COUNTED]);
      const [replicas] = await allOf([write, subscriptions.probe(), ...pings]);
      this.replicas = Math.max(1, Number(replicas));
      this.#turn('up', null);
    } catch (thrown) {
      const error = stateUnavailable(thrown);
      this.#turn('down', meaningOf(error.cause).reason);
      throw error;
    }
  }

  /** Asks every server that a lane reaches; a lane whose server does not answer is connected anew. */
  async #pingAll(lane: RedisCommands): Promise<void> {
    const { client } = lane;
    const servers = 'nodes' in client ? client.nodes('master') : [client];
    const failures = await Promise.all(
      servers.map(async (server) => {
        try {
          await server.ping();
          const { host, port } = server.options;
          this.#note('nodes' in client ? `${host}:${port}` : ONE_SERVER);
          return undefined;
        } catch (error) {
          // It is open and says nothing: a new connection may reach what this one does not.
          if (server.status === 'ready') server.disconnect(true);
          return error;
        }
      }),
    );
    const failure = failures.find((error) => error !== undefined);
    if (failure !== undefined) throw stateUnavailable(failure);
    if (servers.length === 0) throw stateUnavailable(new Error('CLUSTERDOWN no node is known'));
  }

  #note(server: string): void {
    const now = performance.now();
    const reach = this.#reached.get(server);
    if (reach === undefined || this.#broken(reach)) this.#reached.set(server, { sinceMs: now, lastMs: now });
    else reach.lastMs = now;
  }

  /** A lease lasts 8 s and is renewed every 2 s, so a shorter break than this lets none of them run out. */
  #broken(reach: Reach): boolean {
    return performance.now() - reach.lastMs > this.#options.leaseMs * 0.4;
  }

  #serverOf(key: string): string {
    const { client } = this.#options.lanes[0];
    return 'slots' in client ? (client.slots[slotOf(key)]?.[0] ?? ONE_SERVER) : ONE_SERVER;
  }

  #turn(state: 'up' | 'down', reason: string | null): void {
    if (this.#state === state || this.#closed) return;
    this.#state = state;
    this.#options.hooks.onState?.(state, reason);
  }
}

/** Waits for all, then throws what the first of them threw. */
async function allOf(work: readonly Promise<unknown>[]): Promise<unknown[]> {
  const results = await Promise.allSettled(work);
  return results.map((result) => {
    if (result.status === 'rejected') throw result.reason;
    return result.value;
  });
}

/*
 * The heartbeat: once a second every server is asked for a sign of life, and the one that has the list of replicas for a write. Reports whether
 * Redis is up, how many replicas there are, and since when without a break each server has been reached. It has a connection of its own: a
 * large reply on another one must not look like an outage. The others are only watched, so that one that is open and dead is made anew.
 */

import { type Redis } from 'ioredis';
import { type RedisConnector } from './redis-connector.js';
import { slotOf } from '../redis-keys.js';
import { type RedisHooks, type RedisTiming } from '../redis-options.js';
import { type RedisCommands } from './redis-commands.js';
import { meaningOf, stateUnavailable } from './redis-errors.js';
import { type Script } from '../scripts.js';
import { type Subscriptions } from './subscriptions.js';

export interface HeartbeatOptions {
  readonly connector: RedisConnector;
  /** Carries the heartbeat and nothing else. */
  readonly health: RedisCommands;
  /** Every connection that carries commands. */
  readonly lanes: readonly RedisCommands[];
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
  readonly #watched = new Set<Redis>();
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
    const { health, replicasKey, replicaId } = this.#options;
    const told = health.call('ZREM', replicasKey, replicaId).catch(() => undefined);
    let timer: NodeJS.Timeout | undefined;
    await Promise.race([told, new Promise((resolve) => (timer = setTimeout(resolve, SIGN_OFF_MS)))]);
    clearTimeout(timer);
  }

  async #beat(): Promise<void> {
    const { health, lanes, script, replicasKey, replicaId, timing, subscriptions } = this.#options;
    for (const lane of lanes) for (const server of serversOf(lane)) void this.#watch(server);
    try {
      // Both at once: a server that does not answer is found out even where the write already failed.
      const write = health.run(script, [replicasKey], [replicaId, timing.heartbeatMs * BEATS_COUNTED]);
      const [replicas] = await allOf([write, subscriptions.probe(), this.#pingAll(health)]);
      this.replicas = Math.max(1, Number(replicas));
      this.#turn('up', null);
    } catch (thrown) {
      const error = stateUnavailable(thrown);
      this.#turn('down', meaningOf(error.cause).reason);
      throw error;
    }
  }

  /** Asks every server; a connection whose server does not answer is made anew. */
  async #pingAll(health: RedisCommands): Promise<void> {
    const servers = serversOf(health);
    if (servers.length === 0) throw stateUnavailable(new Error('CLUSTERDOWN no node is known'));
    const pings = servers.map(async (server) => {
      try {
        if ('nodes' in health.client) await server.ping();
        // Sent again where the connection closes under it: that alone is no outage.
        else await health.call('PING');
        const { host, port } = server.options;
        this.#note('nodes' in health.client ? `${host}:${port}` : ONE_SERVER);
      } catch (error) {
        // It is open and says nothing: a new connection may reach what this one does not.
        if (server.status === 'ready') server.disconnect(true);
        throw error;
      }
    });
    await allOf(pings);
  }

  /**
   * Drops a connection that is open and dead. A ping waits behind every reply that was asked for before it, so a late one says nothing as long
   * as bytes arrive: what is cut then is a large reply, and everything that waits behind it.
   */
  async #watch(server: Redis): Promise<void> {
    if (this.#watched.has(server) || server.status !== 'ready') return;
    this.#watched.add(server);
    const { stream } = server;
    const before = stream.bytesRead;
    try {
      await server.ping();
    } catch {
      const isSame = server.status === 'ready' && server.stream === stream;
      if (isSame && stream.bytesRead === before) server.disconnect(true);
    } finally {
      this.#watched.delete(server);
    }
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
    const { client } = this.#options.health;
    return 'slots' in client ? (client.slots[slotOf(key)]?.[0] ?? ONE_SERVER) : ONE_SERVER;
  }

  #turn(state: 'up' | 'down', reason: string | null): void {
    if (this.#state === state || this.#closed) return;
    this.#state = state;
    this.#options.hooks.onState?.(state, reason);
  }
}

function serversOf({ client }: RedisCommands): readonly Redis[] {
  return 'nodes' in client ? client.nodes('master') : [client];
}

/** Waits for all, then throws what the first of them threw. */
async function allOf(work: readonly Promise<unknown>[]): Promise<unknown[]> {
  const results = await Promise.allSettled(work);
  return results.map((result) => {
    if (result.status === 'rejected') throw result.reason;
    return result.value;
  });
}

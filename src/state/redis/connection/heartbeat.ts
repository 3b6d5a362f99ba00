/*
 * The heartbeat: pings every server once a second, and writes to the server that holds the list of
 * replicas. Reports whether Redis is up, how many replicas share it, and since when each server has
 * answered without a break. It uses a connection of its own, so that a large reply on another
 * connection does not look like an outage. The other connections are pinged only to replace one
 * that is open but dead.
 */

import { type Redis } from 'ioredis';
import { systemTime, type Time } from '../../../domain/time.js';
import { type RedisConnector } from './redis-connector.js';
import { slotOf } from '../redis-keys.js';
import { type RedisHooks, type RedisTiming } from '../redis-options.js';
import { type RedisCommands } from './redis-commands.js';
import { meaningOf, stateUnavailable } from './redis-errors.js';
import { type Script } from '../scripts.js';
import { type Subscriptions } from './subscriptions.js';

export interface HeartbeatOptions {
  readonly connector: RedisConnector;
  /** The connection of the heartbeat only. */
  readonly health: RedisCommands;
  /** Every connection that carries commands. */
  readonly forCommands: readonly RedisCommands[];
  readonly subscriptions: Subscriptions;
  readonly script: Script;
  readonly replicasKey: string;
  readonly replicaId: string;
  readonly leaseMs: number;
  readonly timing: RedisTiming;
  readonly hooks: RedisHooks;
  readonly time?: Time;
}

/** An unbroken series of answered pings, by `Time.now()`. */
interface Reach {
  sinceMs: number;
  lastMs: number;
}

const ONE_SERVER = '';
/** A replica that has sent no heartbeat for this many intervals is not counted. */
const BEATS_COUNTED = 10;
/** How long `close` waits for Redis, in milliseconds. */
const SIGN_OFF_MS = 250;

export class Heartbeat {
  readonly #options: HeartbeatOptions;
  readonly #time: Time;
  readonly #reached = new Map<string, Reach>();
  readonly #watched = new Set<Redis>();
  #stopBeating = (): void => undefined;
  #beating: Promise<void> | undefined;
  #state: 'up' | 'down' | undefined;
  #closed = false;
  /** Number of replicas that share this Redis, this one included. */
  replicas = 1;

  constructor(options: HeartbeatOptions) {
    this.#options = options;
    this.#time = options.time ?? systemTime;
  }

  /** Whether the last heartbeat succeeded. */
  get isUp(): boolean {
    return this.#state === 'up';
  }

  start(): void {
    this.#stopBeating = this.#time.after(this.#options.timing.heartbeatMs, () => {
      void this.beat()
        .catch(() => undefined)
        .finally(() => {
          if (!this.#closed) this.start();
        });
    });
  }

  /**
   * Sends a heartbeat; concurrent callers share one. Resolves if Redis answers and accepts writes.
   * @throws SluiceError `state_unavailable`
   */
  beat(): Promise<void> {
    this.#beating ??= this.#beat().finally(() => (this.#beating = undefined));
    return this.#beating;
  }

  /**
   * Returns since when the server of a key has answered, by `Time.now()`, without a break long
   * enough for a running replica's lease to expire. Infinity if it does not answer now.
   */
  reachedSince(key: string): number {
    const reach = this.#reached.get(this.#serverOf(key));
    return reach === undefined || this.#broken(reach) ? Infinity : reach.sinceMs;
  }

  /**
   * Removes this replica from the list of replicas if Redis answers within 250 ms; otherwise its
   * entry expires.
   */
  async close(): Promise<void> {
    this.#closed = true;
    this.#stopBeating();
    if (!this.isUp) return;
    const { health, replicasKey, replicaId } = this.#options;
    const removed = health.call('ZREM', replicasKey, replicaId).catch(() => undefined);
    let timer: NodeJS.Timeout | undefined;
    await Promise.race([removed, new Promise((resolve) => (timer = setTimeout(resolve, SIGN_OFF_MS)))]);
    clearTimeout(timer);
  }

  async #beat(): Promise<void> {
    const { health, forCommands, script, replicasKey, replicaId, timing, subscriptions } = this.#options;
    for (const commands of forCommands) for (const server of serversOf(commands)) void this.#watch(server);
    try {
      // All three run at the same time: a server that does not answer is detected even if the write
      // fails first.
      const write = health.run(script, [replicasKey], [replicaId, timing.heartbeatMs * BEATS_COUNTED]);
      const [replicas] = await allOf([write, subscriptions.probe(), this.#pingAll(health)]);
      this.replicas = Math.max(1, Number(replicas));
      this.#report('up', null);
    } catch (thrown) {
      const error = stateUnavailable(thrown);
      this.#report('down', meaningOf(error.cause).reason);
      throw error;
    }
  }

  /** Pings every server, and replaces the connection to a server that does not answer. */
  async #pingAll(health: RedisCommands): Promise<void> {
    const servers = serversOf(health);
    if (servers.length === 0) throw stateUnavailable(new Error('CLUSTERDOWN no node is known'));
    const pings = servers.map(async (server) => {
      try {
        if ('nodes' in health.client) await server.ping();
        // Through RedisCommands, which sends the ping again if the connection closes: a closed
        // connection alone is no outage.
        else await health.call('PING');
        const { host, port } = server.options;
        this.#note('nodes' in health.client ? `${host}:${port}` : ONE_SERVER);
      } catch (error) {
        // The connection is open but dead: a new one may reach the server.
        if (server.status === 'ready') server.disconnect(true);
        throw error;
      }
    });
    await allOf(pings);
  }

  /**
   * Replaces a connection that is open but dead. A ping waits behind all earlier replies, so a slow
   * large reply delays it past its timeout. Dropping the connection then would cut that reply and
   * all commands behind it. So it is dropped only if no bytes arrived during the ping.
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
    const now = this.#time.now();
    const reach = this.#reached.get(server);
    if (reach === undefined || this.#broken(reach)) this.#reached.set(server, { sinceMs: now, lastMs: now });
    else reach.lastMs = now;
  }

  /**
   * Whether the series has ended. A lease lasts 8 s and is renewed every 2 s, so no lease expires
   * during a break of less than 40 % of the lease.
   */
  #broken(reach: Reach): boolean {
    return this.#time.now() - reach.lastMs > this.#options.leaseMs * 0.4;
  }

  #serverOf(key: string): string {
    const { client } = this.#options.health;
    return 'slots' in client ? (client.slots[slotOf(key)]?.[0] ?? ONE_SERVER) : ONE_SERVER;
  }

  #report(state: 'up' | 'down', reason: string | null): void {
    if (this.#state === state || this.#closed) return;
    this.#state = state;
    this.#options.hooks.onState?.(state, reason);
  }
}

function serversOf({ client }: RedisCommands): readonly Redis[] {
  return 'nodes' in client ? client.nodes('master') : [client];
}

/** Waits for all promises, then throws the error of the first that rejected, if any. */
async function allOf(work: readonly Promise<unknown>[]): Promise<unknown[]> {
  const results = await Promise.allSettled(work);
  return results.map((result) => {
    if (result.status === 'rejected') throw result.reason;
    return result.value;
  });
}

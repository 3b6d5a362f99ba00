/*
 * How connections to Redis are made: one server, a Cluster, or a master that Sentinels know. The only file that knows ioredis' options.
 * Nothing is queued here while a connection is away, and no error goes unheard.
 */

import { Cluster, Redis, type RedisOptions } from 'ioredis';
import { type RedisAddress, type RedisConnectionOptions, type RedisTiming } from '../redis-options.js';

export type RedisClient = Redis | Cluster;

/** Replies keep the shapes that they always had, so that option stays away. */
type CommonOptions = Omit<RedisOptions, 'replyMapping' | 'sentinels' | 'name'>;

/** Makes the connections of one state. */
export class RedisConnector {
  readonly mode: 'single' | 'cluster' | 'sentinel';
  /** What a connection last failed with: why commands wait. */
  lastError: unknown;
  readonly #options: RedisConnectionOptions;
  readonly #url: URL;
  readonly #timing: RedisTiming;

  constructor(options: RedisConnectionOptions, timing: RedisTiming) {
    this.#options = options;
    this.#url = new URL(options.url);
    this.#timing = timing;
    this.mode = options.mode ?? 'single';
  }

  /** A connection for commands. `name` is what CLIENT LIST shows. */
  commands(name: string): RedisClient {
    return this.mode === 'cluster' ? this.#heard(this.#cluster(name)) : this.#server(name);
  }

  /** A connection that listens: to the one server, or to one node of the Cluster. */
  subscriber(node?: RedisAddress): Redis {
    return node === undefined
      ? this.#server('sluice-subscriber')
      : this.#heard(new Redis({ ...this.#common('sluice-subscriber'), ...node }));
  }

  #server(name: string): Redis {
    const { nodes = [], sentinelMaster, sentinelPassword, db } = this.#options;
    const common = { ...this.#common(name), db: db ?? this.#dbOfUrl() };
    if (this.mode !== 'sentinel') return this.#heard(new Redis({ ...common, ...this.#address() }));
    return this.#heard(
      new Redis({
        ...common,
        sentinels: [this.#address(), ...nodes],
        // A Sentinel that says nothing must not keep the others from being asked.
        sentinelCommandTimeout: this.#timing.commandTimeoutMs,
        ...(this.#url.protocol === 'rediss:' ? { enableTLSForSentinelMode: true, sentinelTLS: {} } : {}),
        sentinelRetryStrategy: (times) => Math.min(times * 50, 1_000),
        ...(sentinelMaster === undefined ? {} : { name: sentinelMaster }),
        ...(sentinelPassword === undefined ? {} : { sentinelPassword }),
      }),
    );
  }

  #cluster(name: string): Cluster {
    const { retryStrategy: _own, enableOfflineQueue: _too, ...redisOptions } = this.#common(name);
    return new Cluster([this.#address(), ...(this.#options.nodes ?? [])], {
      redisOptions,
      enableOfflineQueue: false,
      slotsRefreshInterval: 5_000,
      slotsRefreshTimeout: this.#timing.commandTimeoutMs,
      clusterRetryStrategy: (times) => Math.min(50 * times, 1_000),
      retryDelayOnFailover: 100,
    });
  }

  #common(name: string): CommonOptions {
    const username = decodeURIComponent(this.#url.username) || this.#options.username;
    const password = decodeURIComponent(this.#url.password) || this.#options.password;
    return {
      connectionName: name,
      ...(username === undefined || username === '' ? {} : { username }),
      ...(password === undefined ? {} : { password }),
      ...(this.#url.protocol === 'rediss:' ? { tls: {} } : {}),
      connectTimeout: this.#timing.commandTimeoutMs,
      commandTimeout: this.#timing.commandTimeoutMs,
      keepAlive: 10_000,
      // How long a connection that is given up may stay half closed.
      disconnectTimeout: 500,
      enableOfflineQueue: false,
      autoResubscribe: false,
      // What was sent and not answered fails at once when the connection closes. RedisCommands alone sends it again.
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      retryStrategy: (times) => Math.min(25 * 2 ** Math.min(times, 6), 1_000) * (0.75 + Math.random() / 2),
      reconnectOnError: onceASecond((error) => error.message.startsWith('READONLY')),
      disableClientInfo: true,
    };
  }

  #address(): RedisAddress {
    return { host: this.#url.hostname.replace(/^\[|\]$/g, '') || 'localhost', port: Number(this.#url.port) || 6379 };
  }

  #dbOfUrl(): number {
    return Number(/^\/(\d+)$/.exec(this.#url.pathname)?.[1] ?? 0);
  }

  /** An emitter's error that nobody hears ends the process. */
  #heard<Client extends RedisClient>(client: Client): Client {
    const hear = (error: unknown): void => {
      this.lastError = error;
    };
    client.on('error', hear);
    client.on('node error', hear);
    client.on('ready', () => (this.lastError = undefined));
    return client;
  }
}

/** A server that became a replica is left, in the hope that the name now leads to its master; not more often than that. */
function onceASecond(test: (error: Error) => boolean): (error: Error) => boolean {
  let lastAt = -Infinity;
  return (error) => {
    if (!test(error) || performance.now() - lastAt < 1_000) return false;
    lastAt = performance.now();
    return true;
  };
}

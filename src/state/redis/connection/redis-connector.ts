/*
 * Opens connections to Redis: to one server, a Cluster, or a master that Sentinels name. The only
 * file that sets ioredis' options. Commands are not queued while a connection is closed, and every
 * error has a listener.
 */

import { Cluster, Redis, type RedisOptions } from 'ioredis';
import { type RedisAddress, type RedisConnectionOptions, type RedisTiming } from '../redis-options.js';

export type RedisClient = Redis | Cluster;

/** `replyMapping` would change the shape of replies, so it cannot be set. */
type CommonOptions = Omit<RedisOptions, 'replyMapping' | 'sentinels' | 'name'>;

/** Opens all connections of one state. */
export class RedisConnector {
  readonly mode: 'single' | 'cluster' | 'sentinel';
  /** The last error of a connection, until a connection is ready again: why commands wait. */
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

  /** `host:port` of each configured address, for operators. */
  get addresses(): string[] {
    return [this.#address(), ...(this.#options.nodes ?? [])].map(({ host, port }) => `${host}:${port}`);
  }

  /**
   * Opens a connection for commands.
   * @param name connection name in CLIENT LIST
   */
  commands(name: string): RedisClient {
    return this.mode === 'cluster' ? this.#withErrorListener(this.#cluster(name)) : this.#server(name);
  }

  /** Opens a connection for subscriptions: to the one server, or to one node of the Cluster. */
  subscriber(node?: RedisAddress): Redis {
    return node === undefined
      ? this.#server('sluice-subscriber')
      : this.#withErrorListener(new Redis({ ...this.#common('sluice-subscriber'), ...node }));
  }

  #server(name: string): Redis {
    const { nodes = [], sentinelMaster, sentinelPassword, db } = this.#options;
    const common = { ...this.#common(name), db: db ?? this.#dbOfUrl() };
    if (this.mode !== 'sentinel') return this.#withErrorListener(new Redis({ ...common, ...this.#address() }));
    return this.#withErrorListener(
      new Redis({
        ...common,
        sentinels: [this.#address(), ...nodes],
        // Without a limit, a Sentinel that does not answer would keep the client from trying the
        // others.
        sentinelCommandTimeout: this.#timing.commandTimeoutMs,
        ...(this.#url.protocol === 'rediss:'
          ? { enableTLSForSentinelMode: true, sentinelTLS: { ...this.#options.tls } }
          : {}),
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
      ...(this.#url.protocol === 'rediss:' ? { tls: { ...this.#options.tls } } : {}),
      connectTimeout: this.#timing.commandTimeoutMs,
      commandTimeout: this.#timing.commandTimeoutMs,
      keepAlive: 10_000,
      // How long a closed connection may stay half closed.
      disconnectTimeout: 500,
      enableOfflineQueue: false,
      autoResubscribe: false,
      // Commands without a reply fail at once when the connection closes. Only RedisCommands sends
      // them again.
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

  /**
   * Listens to the errors of a connection: an `error` event without a listener ends the process.
   */
  #withErrorListener<Client extends RedisClient>(client: Client): Client {
    const onError = (error: unknown): void => {
      this.lastError = error;
    };
    client.on('error', onError);
    client.on('node error', onError);
    client.on('ready', () => (this.lastError = undefined));
    if (client instanceof Cluster) listenToClusterStreams(client);
    else listenToStreams(client);
    return client;
  }
}

const ignore = (): void => undefined;

/**
 * Listens to every error of the sockets of a connection. A TLS socket can report two: an alert of
 * the server, and in either order the write that fails after it, or a certificate that is not
 * trusted. It emits an alert even if it was destroyed. ioredis listens to the first error only, and
 * the second would end the process. The first is reported by the connection itself.
 */
function listenToStreams(client: Redis): void {
  const listen = (): void => {
    // ioredis declares a socket, but has none before the first.
    const stream = client.stream as Redis['stream'] | undefined;
    if (stream !== undefined && !stream.listeners('error').includes(ignore)) stream.on('error', ignore);
  };
  // A connection that is closed meanwhile reports no error, so listen before there can be one.
  // ioredis creates the socket in the tick of this event.
  client.on('connecting', () => setImmediate(listen));
  // With Sentinels it does so later: the error of a certificate may be the first event.
  client.on('error', listen);
  client.on('connect', listen);
}

/** Does the same for the connections that a Cluster opens: to nodes, and to read the slots. */
function listenToClusterStreams(cluster: Cluster): void {
  cluster.on('+node', (node: Redis) => {
    listenToStreams(node);
    // ioredis reads the slots over a duplicate of the connection to a node.
    const duplicate = node.duplicate.bind(node);
    node.duplicate = (override) => {
      const copy = duplicate(override);
      listenToStreams(copy);
      return copy;
    };
  });
  // A Cluster also opens a connection for its own subscriptions, which nothing uses (see
  // Subscriptions) and whose socket has no event to listen to. So it is not started.
  const internal: unknown = Reflect.get(cluster, 'subscriber');
  if (typeof internal === 'object' && internal !== null) Reflect.set(internal, 'start', () => undefined);
}

/**
 * Limits reconnects after a READONLY error to one a second. A server that became a replica is left,
 * since its name may lead to the new master by then.
 */
function onceASecond(test: (error: Error) => boolean): (error: Error) => boolean {
  let lastAt = -Infinity;
  return (error) => {
    if (!test(error) || performance.now() - lastAt < 1_000) return false;
    lastAt = performance.now();
    return true;
  };
}

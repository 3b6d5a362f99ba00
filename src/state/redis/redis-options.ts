/* The options of a state in Redis, and the hooks by which it reports to metrics and log. */

import { type Retention } from '../retention.js';
import { type Time } from '../../domain/time.js';
import { type LogTimes } from '../event-log.js';

export interface RedisAddress {
  readonly host: string;
  readonly port: number;
}

export interface RedisConnectionOptions {
  /**
   * `redis://host:port`, or `rediss://…` for TLS: the server, one node of the Cluster, or one
   * Sentinel.
   */
  readonly url: string;
  /** What `url` addresses; default `single`. */
  readonly mode?: 'single' | 'cluster' | 'sentinel';
  /** Further nodes of the Cluster, or further Sentinels. */
  readonly nodes?: readonly RedisAddress[];
  /** The name of the master in the Sentinels' configuration. */
  readonly sentinelMaster?: string;
  /** Password of the Sentinels. */
  readonly sentinelPassword?: string;
  /** Certificates as PEM, with `rediss`. Absent: the authorities of Node. */
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string };
  /** Used if the URL names no user. */
  readonly username?: string;
  /** Used if the URL names no password. */
  readonly password?: string;
  /** Number of the database. A Cluster has only 0. */
  readonly db?: number;
  /**
   * Most connections of this replica to each Redis server, at least 2. Commands are pipelined, so
   * few connections are enough: one for subscriptions, one for logs and leases, and from 3 on one
   * for all other commands, so that a large read never delays an append. One more connection, which
   * is not counted, carries the heartbeat.
   */
  readonly poolSize?: number;
}

export interface RedisStateOptions extends RedisConnectionOptions, Retention {
  /** Prefix of every key and channel, so that several deployments can share a Redis. */
  readonly keyPrefix?: string;
  /** Most items stored of one conversation. */
  readonly maxItems: number;
  /** Most bytes of one conversation's items. */
  readonly maxBytes?: number;
  readonly times?: LogTimes;
  readonly timing?: Partial<RedisTiming>;
  /** Encrypts what people and models say. Absent: it is stored as text. */
  readonly encryption?: EncryptionOptions;
  /** Name of this replica in the list of replicas; default: a random one. */
  readonly replicaId?: string;
  readonly hooks?: RedisHooks;
  readonly time?: Time;
}

export interface EncryptionOptions {
  /** The master key, 32 bytes. */
  readonly key: Buffer;
  /** The master key that replaces it soon. It only decrypts. */
  readonly nextKey?: Buffer;
  /**
   * Former master keys. A data key that one of them encrypts is encrypted with the current one when
   * it is used.
   */
  readonly previousKeys?: readonly Buffer[];
  /** Whether new values are encrypted. False: encrypted values are only read. Default: true. */
  readonly write?: boolean;
}

/** Times of the connection, in milliseconds. */
export interface RedisTiming {
  /**
   * Interval of heartbeats. Each pings every server and every subscriber connection, and writes to
   * one server.
   */
  readonly heartbeatMs: number;
  /** A command without a reply for this long fails; whether Redis executed it is unknown. */
  readonly commandTimeoutMs: number;
  /** How long a command waits for a connection before it fails. */
  readonly readyWaitMs: number;
  /** How long a start waits for Redis. */
  readonly startTimeoutMs: number;
  /** Time from the end of an answer until its log is packed. */
  readonly packAfterMs: number;
  /** How often a waiting turn polls the queue of its conversation. */
  readonly claimPollMs: number;
}

export const REDIS_TIMING: RedisTiming = {
  heartbeatMs: 1_000,
  commandTimeoutMs: 3_000,
  readyWaitMs: 1_000,
  startTimeoutMs: 10_000,
  packAfterMs: 10_000,
  claimPollMs: 1_000,
};

/**
 * What was unreadable: a log whose head does not parse or that lacks an event; any other entry that
 * does not parse.
 */
export type Unreadable = 'log' | 'item' | 'response' | 'metadata' | 'idempotency_key' | 'secret';

/** Why a value was refused. `altered`: changed, moved or damaged, or its data key was. */
export type DecryptFailure = 'altered' | 'no_data_key' | 'unknown_master_key' | 'no_encryption';

/** Called synchronously, for metrics and log lines. Must not throw. */
export interface RedisHooks {
  /**
   * Redis started or stopped answering and accepting writes. `reason` is a short code: `timeout`,
   * `readonly`, `out_of_memory`, …
   */
  readonly onState?: (state: 'up' | 'down', reason: string | null) => void;
  /** Redis does not answer at the start, which keeps waiting. Called once. */
  readonly onStartWaits?: (message: string) => void;
  /** A command failed, after all retries. */
  readonly onError?: (reason: string) => void;
  /** A log had lost its newest events, and this replica, their writer, appended them again. */
  readonly onTailRepaired?: (events: number) => void;
  /** An entry is not as Sluice writes it: another program changed it, or it is damaged. */
  readonly onUnreadable?: (what: Unreadable) => void;
  /**
   * A value was refused, because it cannot be decrypted. `message` holds ids of keys and no text.
   */
  readonly onNotDecrypted?: (reason: DecryptFailure, message: string) => void;
  /**
   * A subscriber connection was replaced. Messages may be lost; the listeners of its channels are
   * notified.
   */
  readonly onSubscriberReset?: () => void;
  /**
   * The rate limiter uses this replica's share of each limit (of `replicas`), or uses the shared
   * limits again.
   */
  readonly onLimiterLocal?: (local: boolean, replicas: number) => void;
  /** A setting of Redis that the operator should change. */
  readonly onNotice?: (notice: string) => void;
}

/** Counters since the start. */
export interface RedisCounts {
  /** Commands sent, subscriptions included. */
  commands: number;
  /** Appends carried by these commands. */
  appends: number;
  /** Messages received. */
  messages: number;
}

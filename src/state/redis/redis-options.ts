/* What a state in Redis is opened with, and what it tells the one who operates it. */

import { type LogTimes } from '../event-log.js';

export interface RedisAddress {
  readonly host: string;
  readonly port: number;
}

export interface RedisConnectionOptions {
  /** `redis://host:port` or `rediss://…` for TLS: the server, or one node of the Cluster, or one Sentinel. */
  readonly url: string;
  /** What the address is of. */
  readonly mode?: 'single' | 'cluster' | 'sentinel';
  /** Further nodes of the Cluster, or further Sentinels. */
  readonly nodes?: readonly RedisAddress[];
  /** The name that the Sentinels know the master by. */
  readonly sentinelMaster?: string;
  /** What the Sentinels themselves ask for. */
  readonly sentinelPassword?: string;
  /** Used where the URL names none. */
  readonly username?: string;
  readonly password?: string;
  /** Not with a Cluster, which has only 0. */
  readonly db?: number;
  /**
   * Most connections of this replica to each Redis server, at least 2. Commands are pipelined, so a few connections carry everything: one
   * that listens, one for logs and leases, and from 3 on one for everything else, so that a large read never delays an append. One more, which is
   * not counted, carries the heartbeat.
   */
  readonly poolSize?: number;
}

export interface RedisStateOptions extends RedisConnectionOptions {
  /** Before every key and channel, so that several deployments may share a Redis. */
  readonly keyPrefix?: string;
  /** Time to live of conversations and responses, in milliseconds. */
  readonly ttlMs: number;
  /** Most items kept of one conversation. */
  readonly maxItems: number;
  /** Most bytes of one conversation's items. */
  readonly maxBytes?: number;
  readonly times?: LogTimes;
  readonly timing?: Partial<RedisTiming>;
  /** Names this replica among the others. */
  readonly replicaId?: string;
  readonly hooks?: RedisHooks;
}

/** Times of the connection, in milliseconds. */
export interface RedisTiming {
  /** Between two heartbeats: each asks every server whether it takes writes, and every subscriber whether it lives. */
  readonly heartbeatMs: number;
  /** A command that has no reply by then has failed; whether it was done is unknown. */
  readonly commandTimeoutMs: number;
  /** How long a command waits for a connection before it fails. */
  readonly readyWaitMs: number;
  /** How long a start waits for Redis. */
  readonly startTimeoutMs: number;
  /** How often a turn that waits for its conversation looks for itself. */
  readonly claimPollMs: number;
}

export const REDIS_TIMING: RedisTiming = {
  heartbeatMs: 1_000,
  commandTimeoutMs: 3_000,
  readyWaitMs: 1_000,
  startTimeoutMs: 10_000,
  claimPollMs: 1_000,
};

/** What was unreadable: a log whose head does not parse or that lacks an event; any other entry that does not parse. */
export type Unreadable = 'log' | 'item' | 'response' | 'metadata' | 'idempotency_key';

/** For metrics and log lines. Called synchronously; must not throw. */
export interface RedisHooks {
  /** Whether Redis answers and takes writes; `reason` is a short code: `timeout`, `readonly`, `out_of_memory`, … */
  readonly onState?: (state: 'up' | 'down', reason: string | null) => void;
  /** A command failed, after whatever was tried again. */
  readonly onError?: (reason: string) => void;
  /** A log had lost its newest events, and this replica, which had written them, wrote them again. */
  readonly onTailRepaired?: (events: number) => void;
  /** What Redis holds is not what Sluice writes: it was changed by another program, or damaged. */
  readonly onUnreadable?: (what: Unreadable) => void;
  /** A subscriber connection was made anew; its channels may have missed messages, and were told so. */
  readonly onSubscriberReset?: () => void;
  /** The rate limiter goes on with this replica's share (`replicas`: among how many), or is shared again. */
  readonly onLimiterLocal?: (local: boolean, replicas: number) => void;
  /** Something that the operator should change. */
  readonly onNotice?: (notice: string) => void;
}

/** Grows for ever; whoever wants rates compares two looks. */
export interface RedisCounts {
  /** Commands sent, subscriptions included. */
  commands: number;
  /** Appends that they carried. */
  appends: number;
  /** Messages heard. */
  messages: number;
}

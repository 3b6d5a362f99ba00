/*
 * Opens the state in Redis as the contract suites want it: two replicas over one key prefix of its
 * own, with short times.
 */

import { randomUUID } from 'node:crypto';
import { SluiceError } from '../../src/domain/errors.js';
import { type LoggedEvent } from '../../src/domain/event.js';
import { type AppendResult, type LogTimes } from '../../src/state/event-log.js';
import { type RedisConnectionOptions, type RedisStateOptions } from '../../src/state/redis/redis-options.js';
import { redisState, type RedisState } from '../../src/state/redis/redis-state.js';
import { type State } from '../../src/state/state.js';
import { type ContractStore } from './suites/contract-store.js';

export const SHORT_TIMES: LogTimes = {
  leaseMs: 600,
  renewEveryMs: 150,
  runningMs: 1_500,
  endedMs: 900,
  endedUnstoredMs: 300,
  deletedMs: 1_000,
};

export interface RedisStore extends ContractStore {
  readonly state: RedisState;
  readonly other: RedisState;
  readonly keyPrefix: string;
}

export async function openRedisStore(
  connection: RedisConnectionOptions,
  options: Partial<RedisStateOptions> = {},
): Promise<RedisStore> {
  const keyPrefix = `test:${randomUUID().slice(0, 8)}:`;
  const ttlMs = options.ttlMs ?? 1_000;
  const maxItems = 20;
  const maxBytes = options.maxBytes ?? 8_000;
  const times = options.times ?? SHORT_TIMES;
  const open = (replicaId: string) =>
    redisState({
      ...connection,
      keyPrefix,
      ttlMs,
      maxItems,
      maxBytes,
      times,
      replicaId,
      ...options,
      timing: { heartbeatMs: 40, startTimeoutMs: 5_000, ...options.timing },
    });
  const [state, other] = await Promise.all([open('replica_a'), open('replica_b')]);
  return {
    state,
    other,
    times,
    ttlMs,
    maxItems,
    maxBytes,
    keyPrefix,
    pass: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    close: async () => {
      await Promise.all([state.close(), other.close()]);
    },
  };
}

/** Appends as a journal does: the same events again for as long as the store is away. */
export function appendInspite(
  state: State,
  responseId: string,
  fence: number,
  events: readonly LoggedEvent[],
): Promise<AppendResult> {
  return inspite(async () => state.events.append(responseId, fence, events));
}

/** Repeats steps for as long as the store is away. */
export async function inspite<T>(steps: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await steps();
    } catch (error) {
      if (!(error instanceof SluiceError && error.code === 'state_unavailable' && error.retryable)) throw error;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}

/* Opens the state in Redis as the contract suites want it: two replicas over one key prefix of its own, with short times. */

import { randomUUID } from 'node:crypto';
import { type LogTimes } from '../../src/state/event-log.js';
import { type RedisConnectionOptions, type RedisStateOptions } from '../../src/state/redis/options.js';
import { redisState, type RedisState } from '../../src/state/redis/redis-state.js';
import { type ContractStore } from './suites/contract-store.js';

export const SHORT_TIMES: LogTimes = {
  leaseMs: 400,
  renewEveryMs: 100,
  runningMs: 1_000,
  endedMs: 600,
  endedUnstoredMs: 250,
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
  const [ttlMs, maxItems] = [600, 20];
  const times = options.times ?? SHORT_TIMES;
  const open = (replicaId: string) =>
    redisState({
      ...connection,
      keyPrefix,
      ttlMs,
      maxItems,
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
    keyPrefix,
    pass: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    close: async () => {
      await Promise.all([state.close(), other.close()]);
    },
  };
}

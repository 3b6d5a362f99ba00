/* The contracts over a master that Sentinels know, and what a failover by them does to what runs. */

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { SluiceError } from '../../src/domain/errors.js';
import { FollowHub } from '../../src/state/follow.js';
import { RedisSentinelServers } from '../support/redis.js';
import { openRedisStore, SHORT_TIMES } from './redis-store.js';
import { eventually, type OpenStore } from './suites/contract-store.js';
import { describeConversationClaim } from './suites/conversation-claim.js';
import { describeEventLog } from './suites/event-log.js';
import { deltas, headOf, numbersOf, terminal } from './suites/log-fixtures.js';
import { describeTurnLease } from './suites/turn-lease.js';

let servers: RedisSentinelServers;
beforeAll(async () => {
  servers = await RedisSentinelServers.start();
});
afterAll(() => servers.close());

const connection = () => {
  const [first, ...others] = servers.sentinels;
  return {
    url: first?.url ?? '',
    mode: 'sentinel' as const,
    nodes: others.map(({ address }) => address),
    sentinelMaster: servers.name,
  };
};
const open: OpenStore = () => openRedisStore(connection());

describeEventLog('Redis Sentinel', open);
describeTurnLease('Redis Sentinel', open);
describeConversationClaim('Redis Sentinel', open);

describe('Redis Sentinel', () => {
  it('promotes the replica when the master dies: writers and followers go on there', async () => {
    const times = { ...SHORT_TIMES, leaseMs: 8_000, runningMs: 60_000, endedMs: 60_000 };
    const store = await openRedisStore(connection(), { times });
    const head = headOf();
    const fence = await store.state.log.create(head);
    const hub = new FollowHub({ log: store.other.log, tailCheckMs: 100 });
    const numbers: number[] = [];
    const viewer = await hub.open(head.responseId, -1, () => numbers.push(...numbersOf(viewer?.take(500) ?? [])));
    const append = async (events: ReturnType<typeof deltas>) => {
      for (;;) {
        try {
          return await store.state.log.append(head.responseId, fence, events);
        } catch (error) {
          if (!(error instanceof SluiceError && error.code === 'state_unavailable')) throw error;
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      }
    };
    for (let i = 0; i < 50; i++) await append(deltas(i, i));
    await servers.master.admin.wait(1, 1_000);
    await servers.master.kill();
    for (let i = 50; i < 100; i++) expect((await append(deltas(i, i))).outcome).toBe('appended');
    await append([terminal(100)]);
    await eventually(() => viewer?.state === 'ended');
    expect(numbers).toEqual(Array.from({ length: 101 }, (_, i) => i));
    await eventually(() => store.state.isUp && store.other.isUp);
    hub.close();
    await store.close();
  });
});

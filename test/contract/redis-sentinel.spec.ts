/* The contracts over a master that Sentinels know, and what a failover by them does to what runs. */

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { FollowHub } from '../../src/state/follow.js';
import { RedisSentinelServers, type RedisServer } from '../support/redis.js';
import { appendInspite, openRedisStore, type RedisStore, SHORT_TIMES } from './redis-store.js';
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
  let store: RedisStore;
  let hub: FollowHub;
  beforeEach(async () => {
    // Longer than a failover.
    store = await openRedisStore(connection(), { times: { ...SHORT_TIMES, leaseMs: 20_000, runningMs: 60_000 } });
    hub = new FollowHub({ log: store.other.log, tailCheckMs: 100 });
  });
  afterEach(async () => {
    hub.close();
    await store.close();
  });

  it.each([
    [
      'is asked to hand over',
      async () => void (await servers.sentinels[0]?.admin.call('SENTINEL', 'FAILOVER', 'main')),
    ],
    ['dies', (former: RedisServer) => former.kill()],
  ])(
    'promotes the replica when the master %s: writers and followers go on there',
    async (_, leave) => {
      const former = await servers.current();
      const head = headOf();
      const fence = await store.state.log.create(head);
      const numbers: number[] = [];
      const viewer = await hub.open(head.responseId, -1, () => numbers.push(...numbersOf(viewer?.take(500) ?? [])));
      let next = 0;
      const append = async () => {
        const result = await appendInspite(store.state, head.responseId, fence, deltas(next, next));
        expect(result.outcome).toBe('appended');
        next += 1;
      };
      while (next < 50) await append();
      // Until the replica has all of it, and the Sentinels may fail over again.
      await (former === servers.master ? servers.replica : servers.master).catchUp(former);
      await eventually(async () => {
        await leave(former).catch(() => undefined);
        await append();
        return (await servers.current()) !== former;
      });
      for (let i = 0; i < 50; i++) await append();
      await appendInspite(store.state, head.responseId, fence, [terminal(next)]);
      await eventually(() => viewer?.state === 'ended');
      expect(numbers).toEqual(Array.from({ length: next + 1 }, (_, i) => i));
      await eventually(() => store.state.isUp && store.other.isUp);
      // Sentinels hold still for half a minute when a busy machine makes them miss their own time.
    },
    60_000,
  );
});

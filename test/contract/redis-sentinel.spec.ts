/*
 * The contracts over a master that Sentinels know, and what a failover by them does to what runs.
 */

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { openState } from '../../src/compose/open-state.js';
import { Metrics } from '../../src/observability/metrics.js';
import { FollowHub } from '../../src/state/follow/follow-hub.js';
import { LinesLog } from '../support/lines-log.js';
import { RedisSentinelServers } from '../../scripts/development/cluster/redis.js';
import { Workspace } from '../unit/config/workspace.js';
import { appendInspite, openRedisStore, type RedisStore, SHORT_TIMES } from './redis-store.js';
import { eventually, type OpenStore } from './suites/contract-store.js';
import { describeConversationAnnouncements } from './suites/conversation-announcements.js';
import { describeConversationClaim } from './suites/conversation-claim.js';
import { describeConversationEntry } from './suites/conversation-entry.js';
import { describeCredentialStore, describeOwnerIndex } from './suites/credential-store.js';
import { describeEventLog } from './suites/event-log.js';
import { deltas, headOf, numbersOf, terminal } from './suites/log-fixtures.js';
import { describeTurnLease } from './suites/turn-lease.js';
import { allowed } from '../support/machine.js';

let servers: RedisSentinelServers;
beforeAll(async () => {
  servers = await RedisSentinelServers.start();
});
afterAll(async () => {
  await servers.close();
  // ioredis keeps a timer of two seconds for a Sentinel's connection that the other side has
  // closed.
  await new Promise((resolve) => setTimeout(resolve, 2_000));
});

const connectionTo = (servers: RedisSentinelServers) => {
  const [first, ...others] = servers.sentinels;
  return {
    url: first?.url ?? '',
    mode: 'sentinel' as const,
    nodes: others.map(({ address }) => address),
    sentinelMaster: servers.name,
  };
};
const open: OpenStore = () => openRedisStore(connectionTo(servers));

describeEventLog('Redis Sentinel', open);
describeTurnLease('Redis Sentinel', open);
describeConversationAnnouncements('Redis Sentinel', open);
describeConversationClaim('Redis Sentinel', open);
describeConversationEntry('Redis Sentinel', open);
describeCredentialStore('Redis Sentinel', open);
describeOwnerIndex('Redis Sentinel', open);

describe('Redis Sentinel', () => {
  // Of its own for each test: Sentinels take their time to settle after a failover.
  let servers: RedisSentinelServers;
  let store: RedisStore;
  let hub: FollowHub;
  beforeEach(async () => {
    servers = await RedisSentinelServers.start();
    // Longer than a failover.
    store = await openRedisStore(connectionTo(servers), {
      times: { ...SHORT_TIMES, leaseMs: 20_000, runningMs: 60_000, endedMs: 60_000 },
      ttlMs: 60_000,
    });
    hub = new FollowHub({ events: store.other.events, tailCheckMs: 100 });
  });
  afterEach(async () => {
    hub.close();
    await store.close();
    await servers.close();
  });

  it.each(['hand over', 'die'] as const)(
    'lets writers and followers continue on the promoted replica when the master has to %s',
    async (what) => {
      const head = headOf();
      const fence = await store.state.events.create(head);
      const numbers: number[] = [];
      const viewer = await hub.open(head.responseId, -1, () => numbers.push(...numbersOf(viewer?.take(500) ?? [])));
      let next = 0;
      const append = async () => {
        const result = await appendInspite(store.state, head.responseId, fence, deltas(next, next));
        expect(result.outcome).toBe('appended');
        next += 1;
      };
      while (next < 50) await append();
      await servers.replica.catchUp(servers.master);
      if (what === 'die') await servers.master.kill();
      else await servers.sentinels[0]?.admin.call('SENTINEL', 'FAILOVER', servers.name);
      await eventually(async () => {
        await append();
        return (await servers.current()) === servers.replica;
      });
      for (let i = 0; i < 50; i++) await append();
      await appendInspite(store.state, head.responseId, fence, [terminal(next)]);
      await eventually(() => viewer?.state === 'ended');
      expect(numbers).toEqual(Array.from({ length: next + 1 }, (_, i) => i));
      await eventually(() => store.state.isUp && store.other.isUp);
      // Sentinels hold still for half a minute when a busy machine makes them miss their own time.
    },
  );
});

describe('Redis Sentinel that requires a password', () => {
  let servers: RedisSentinelServers;
  let at: Workspace;
  beforeAll(async () => {
    at = new Workspace();
    servers = await RedisSentinelServers.start({ password: 'planted-pass' });
  });
  afterAll(async () => {
    at.remove();
    await servers.close();
  });

  /** The state as a configuration file defines it. */
  const stateOf = (env: Readonly<Record<string, string>>) => {
    const { url, nodes, sentinelMaster: sentinel_master } = connectionTo(servers);
    const others = nodes.map(({ host, port }) => `${host}:${port}`);
    const state = { type: 'redis', mode: 'sentinel', url, nodes: others, sentinel_master };
    const { config } = at.load(JSON.stringify({ state: { ...state, sentinel_password_env: 'SENTINELS' } }), env);
    return openState(config, new LinesLog(), new Metrics({ prefix: 'test_', version: '0' }));
  };

  it('leads to the master with the right password', async () => {
    const { state } = await stateOf({ SENTINELS: 'planted-pass' });
    const head = headOf();
    await state.events.create(head);
    expect(await state.events.read(head.responseId, -1, 1)).toMatchObject({ head });
    await state.close();
  });

  it.each([{}, { SENTINELS: 'planted-pass-2' }])(
    'fails at once with the reason, without the password, for %j',
    async (env) => {
      const startedAt = performance.now();
      const failed = await stateOf(env).catch((error: unknown) => error);
      // A Redis that is only away would be waited for for 10 s.
      expect(performance.now() - startedAt).toBeLessThan(allowed(5_000));
      expect(failed).toMatchObject({ code: 'state_unavailable' });
      expect(String(failed)).toContain('its Sentinels do not accept the password');
      expect(String(failed)).not.toContain('planted-pass');
    },
  );
});

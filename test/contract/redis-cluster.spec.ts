/* The contracts over a Cluster of three masters: every script in one slot, messages by shard. */

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { FollowHub } from '../../src/state/follow/follow-hub.js';
import { type Viewer } from '../../src/state/follow/viewer.js';
import { RedisKeys, slotOf } from '../../src/state/redis/redis-keys.js';
import { RedisClusterServers } from '../../scripts/development/cluster/redis.js';
import { appendInspite, inspite, openRedisStore, type RedisStore, SHORT_TIMES } from './redis-store.js';
import { eventually, type OpenStore } from './suites/contract-store.js';
import { describeConversationAnnouncements } from './suites/conversation-announcements.js';
import { describeCredentialStore, describeOwnerIndex } from './suites/credential-store.js';
import { describeConversationClaim } from './suites/conversation-claim.js';
import { describeConversationEntry } from './suites/conversation-entry.js';
import { describeConversationExit } from './suites/conversation-exit.js';
import { describeConversationStore } from './suites/conversation-store.js';
import { describeEventLog } from './suites/event-log.js';
import { describeFollow } from './suites/follow.js';
import { deltas, headOf, numbersOf, terminal } from './suites/log-fixtures.js';
import { describeIdempotencyStore } from './suites/idempotency-store.js';
import { describeRateLimiter } from './suites/rate-limiter.js';
import { describeResponseEnd } from './suites/response-end.js';
import { describeTurnLease } from './suites/turn-lease.js';

let servers: RedisClusterServers;
beforeAll(async () => {
  servers = await RedisClusterServers.start();
});
afterAll(() => servers.close());

const connection = () => ({ url: servers.nodes[0]?.url ?? '', mode: 'cluster' as const });
const open: OpenStore = () => openRedisStore(connection());

describeEventLog('Redis Cluster', open);
describeTurnLease('Redis Cluster', open);
describeConversationAnnouncements('Redis Cluster', open);
describeConversationClaim('Redis Cluster', open);
describeConversationEntry('Redis Cluster', open);
describeConversationStore('Redis Cluster', open);
describeConversationExit('Redis Cluster', open);
describeResponseEnd('Redis Cluster', open, { inSteps: true });
describeRateLimiter('Redis Cluster', open);
describeIdempotencyStore('Redis Cluster', open);
describeCredentialStore('Redis Cluster', open);
describeOwnerIndex('Redis Cluster', open);
describeFollow('Redis Cluster', open);

describe('a Redis Cluster', () => {
  let store: RedisStore;
  beforeEach(async () => {
    const times = { ...SHORT_TIMES, leaseMs: 8_000, runningMs: 60_000, endedMs: 60_000 };
    const timing = { commandTimeoutMs: 300, readyWaitMs: 150 };
    // A log lives no longer than its response is stored.
    store = await openRedisStore(connection(), { times, ttlMs: times.endedMs, timing });
  });
  afterEach(() => store.close());

  it('computes the slot of each key as the Cluster does', async () => {
    const keys = new RedisKeys('sluice:');
    const names = [
      'plain',
      'with{tag}rest',
      '{}empty',
      'half{open',
      keys.turn('resp_1').meta,
      keys.queue('conv_1'),
      'Grüße',
    ];
    for (const name of names) {
      expect(slotOf(name)).toBe(await servers.nodes[0]?.admin.cluster('KEYSLOT', name));
    }
  });

  it('answers an ill-formed conversation id like an unknown one', async () => {
    const { conversations, claim, events, responses } = store.state;
    for (const id of ['conv_a}b', 'conv_{x}', '}', '{}', '']) {
      expect(await conversations.get(id)).toBeUndefined();
      expect(await conversations.updateMetadata(id, {})).toBeUndefined();
      expect(await conversations.appendItems(id, [], 'resp_1')).toBe(false);
      expect(await conversations.deleteItem(id, 'msg_1')).toBe(false);
      expect(await conversations.delete(id)).toBe(false);
      expect(await claim.members(id)).toEqual([]);
      expect(await events.read(id, -1, 1)).toBeUndefined();
      expect(await responses.get(id)).toBeUndefined();
    }
  });

  it('shares the responses among the nodes of a Cluster', async () => {
    const keys = new RedisKeys('sluice:');
    const nodes = Array.from({ length: 300 }, (_, i) => Math.floor((slotOf(keys.turn(`resp_${i}`).meta) * 3) / 16_384));
    for (const node of [0, 1, 2]) expect(nodes.filter((at) => at === node).length).toBeGreaterThan(30);
  });

  it('loses no event when the connections to a Cluster are killed and a node stalls', async () => {
    const hub = new FollowHub({ events: store.other.events, tailCheckMs: 100 });
    const begin = async () => {
      const head = headOf();
      const fence = await store.state.events.create(head);
      const numbers: number[] = [];
      const opened: { viewer?: Viewer } = {};
      const drain = (): void => void numbers.push(...numbersOf(opened.viewer?.take(500) ?? []));
      const viewer = await hub.open(head.responseId, -1, drain);
      if (viewer === undefined) throw new Error('no such log');
      opened.viewer = viewer;
      return { id: head.responseId, fence, numbers, viewer };
    };
    const turns = await Promise.all(Array.from({ length: 12 }, () => inspite(begin)));
    let writing = true;
    let appended = 0;
    const trouble = (async () => {
      for (let i = 0; writing; i++) {
        const before = appended;
        for (const node of servers.nodes) {
          await node.admin.call('CLIENT', 'KILL', 'TYPE', i % 2 === 0 ? 'normal' : 'pubsub', 'SKIPME', 'yes');
        }
        if (i === 2) {
          servers.nodes[1]?.pause();
          await store.pass(700);
          servers.nodes[1]?.resume();
        }
        await store.pass(40);
        // A slow machine may need more than 40 ms to connect to a Cluster. Killing connections
        // before one of them has carried an append would take minutes.
        await eventually(() => appended > before || !writing);
      }
    })();
    await Promise.all(
      turns.map(async ({ id, fence }) => {
        for (let i = 0; i < 120; i++) {
          expect((await appendInspite(store.state, id, fence, deltas(i, i))).outcome).toBe('appended');
          appended += 1;
        }
        await appendInspite(store.state, id, fence, [terminal(120)]);
      }),
    );
    writing = false;
    await trouble;
    await eventually(() => turns.every(({ viewer }) => viewer.state !== 'following'));
    expect(turns.map(({ viewer }) => viewer.state)).toEqual(turns.map(() => 'ended'));
    const all = Array.from({ length: 121 }, (_, i) => i);
    for (const { numbers } of turns) expect(numbers).toEqual(all);
    await eventually(() => store.state.isUp && store.other.isUp);
    hub.close();
  });

  it('loses nothing to followers when a slot moves to another node', async () => {
    const keys = new RedisKeys(store.keyPrefix);
    const head = headOf();
    const fence = await store.state.events.create(head);
    const sequences = new Set<number>();
    let gaps = 0;
    const stop = await store.other.events.subscribe(
      head.responseId,
      (events) => events.forEach(({ sequence }) => sequences.add(sequence)),
      () => (gaps += 1),
    );
    await store.state.events.append(head.responseId, fence, deltas(0, 0));
    await eventually(() => sequences.has(0));

    const slot = slotOf(keys.turn(head.responseId).meta);
    const from = servers.nodes[Math.floor((slot * 3) / 16_384)];
    const to = servers.nodes.find((node) => node !== from);
    if (from === undefined || to === undefined) throw new Error('no nodes');
    const fromId = await from.admin.cluster('MYID');
    const toId = await to.admin.cluster('MYID');
    await to.admin.cluster('SETSLOT', slot, 'IMPORTING', fromId);
    await from.admin.cluster('SETSLOT', slot, 'MIGRATING', toId);
    for (const key of await from.admin.cluster('GETKEYSINSLOT', slot, 1_000)) {
      await from.admin.call('MIGRATE', '127.0.0.1', to.port, key, 0, 1_000);
    }
    for (const node of [to, from]) await node.admin.cluster('SETSLOT', slot, 'NODE', toId);

    for (let i = 1; i <= 20; i++) {
      expect((await store.state.events.append(head.responseId, fence, deltas(i, i))).outcome).toBe('appended');
    }
    await eventually(() => gaps > 0);
    await store.state.events.append(head.responseId, fence, deltas(21, 21));
    await eventually(() => sequences.has(21));
    expect(await store.other.events.read(head.responseId, -1, 100)).toMatchObject({ last: 21 });
    stop();
  });
});

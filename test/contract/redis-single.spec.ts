/* The contracts over one Redis server, each test as two replicas see it. */

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import { type ResponseObject, type StoredResponse } from '../../src/domain/response.js';
import { LOG_TIMES } from '../../src/state/event-log.js';
import { RedisKeys } from '../../src/state/redis/redis-keys.js';
import {
  RedisConversationClaim,
  type RedisConversationClaimOptions,
} from '../../src/state/redis/conversation/redis-conversation-claim.js';
import { type Script, Scripts } from '../../src/state/redis/scripts.js';
import { RedisServer } from '../../scripts/development/cluster/redis.js';
import { openRedisStore } from './redis-store.js';
import { type OpenStore } from './suites/contract-store.js';
import { delta, deltas, headOf, terminal } from './suites/log-fixtures.js';
import { describeConversationAnnouncements } from './suites/conversation-announcements.js';
import { describeCredentialStore, describeOwnerIndex } from './suites/credential-store.js';
import { describeConversationClaim } from './suites/conversation-claim.js';
import { describeConversationEntry } from './suites/conversation-entry.js';
import { describeConversationExit } from './suites/conversation-exit.js';
import { describeConversationStore } from './suites/conversation-store.js';
import { describeEventLog } from './suites/event-log.js';
import { describeFollow } from './suites/follow.js';
import { describeIdempotencyStore } from './suites/idempotency-store.js';
import { describeRateLimiter } from './suites/rate-limiter.js';
import { describeResponseEnd } from './suites/response-end.js';
import { describeTurnLease } from './suites/turn-lease.js';

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.close());

const open: OpenStore = () => openRedisStore({ url: server.url });

describe('a head without a log that joins again while another replica evicts it', () => {
  it('keeps its new place in the queue', async () => {
    const store = await openRedisStore({ url: server.url });
    const raw = new Redis(server.url);
    try {
      const { state } = store;
      await state.claim.join('conv_1', 'resp_late', 0);
      await store.pass(store.times.leaseMs + 30);
      let begun = false;
      const commands = {
        run: (script: Script, keys: string[], args: string[]) => raw.eval(script.text, keys.length, ...keys, ...args),
        // The other replica has read the head and is about to check whether it has a log.
        call: async (command: string, ...args: string[]) => {
          const reply = await raw.call(command, ...args);
          if (begun) return reply;
          begun = true;
          await state.events.create(headOf({ responseId: 'resp_late' }));
          expect(await state.claim.rejoin('conv_1', 'resp_late', 0, 'call_1')).toEqual({ first: true });
          return reply;
        },
      };
      const other = new RedisConversationClaim({
        commands,
        keys: new RedisKeys(store.keyPrefix),
        scripts: new Scripts({ times: store.times, ttlMs: store.ttlMs, sharded: false }),
        leaseMs: store.times.leaseMs,
        pollMs: 1_000,
        // Joining needs neither messages nor announcements, and two commands of Redis.
      } as unknown as RedisConversationClaimOptions);
      await expect(other.join('conv_1', 'resp_next', 0)).rejects.toMatchObject({ code: 'conversation_busy' });
      expect(await state.claim.members('conv_1')).toEqual(['resp_late']);
    } finally {
      raw.disconnect();
      await store.close();
    }
  });
});

describe('a turn that ends', () => {
  it('writes its last events, adds its items, leaves the queue and moves the conversation to the front of its list in one command, and ends in another', async () => {
    // Times that no slow machine exceeds: nothing expires, waits or is packed meanwhile, and no
    // heartbeat is counted.
    const timing = { heartbeatMs: 600_000, claimPollMs: 600_000, packAfterMs: 600_000 };
    const store = await openRedisStore({ url: server.url }, { ttlMs: 60_000, times: LOG_TIMES, timing });
    try {
      const { claim, conversations, counts, events, exit } = store.state;
      const endOf = (id: string): StoredResponse => ({
        owner: 'ann',
        response: { id, conversation: { id: 'conv_1' } } as ResponseObject,
        input: [],
        context: [],
        terminalSequence: 2,
      });
      const leaving = async (responseId: string, conversationId: string) => {
        const fence = await events.create(headOf({ responseId, conversationId }));
        return { responseId, conversationId, fence, events: deltas(0, 1), items: headOf().input };
      };
      const fields = { owner: 'ann', createdAt: 1, updatedAt: 1, metadata: {} };
      for (const id of ['conv_1', 'conv_2']) await conversations.create({ ...fields, id }, []);
      await claim.join('conv_1', 'resp_1', 0);
      // Redis learns the scripts by their first run.
      await conversations.create({ ...fields, id: 'conv_3', owner: 'bob' }, []);
      await exit.exit(await leaving('resp_0', 'conv_3'));
      await events.end('resp_0', 1, [terminal(2)], endOf('resp_0'));
      const turn = await leaving('resp_1', 'conv_1');
      const before = counts.commands;
      await exit.exit(turn);
      expect(counts.commands - before).toBe(1);
      await events.end('resp_1', turn.fence, [terminal(2)], endOf('resp_1'));
      expect(counts.commands - before).toBe(2);
      expect(await claim.members('conv_1')).toEqual([]);
      const { data } = await store.other.conversations.listByOwner('ann', { limit: 2 });
      expect(data.map(({ id }) => id)).toEqual(['conv_1', 'conv_2']);
    } finally {
      await store.close();
    }
  });
});

describe('a turn that creates its log so late that another replica may have decided to evict it', () => {
  it('has not begun, although it is the head of its queue, and joins again', async () => {
    const store = await openRedisStore({ url: server.url });
    try {
      const { events, claim } = store.state;
      const head = headOf({ conversationId: 'conv_1' });
      await claim.join('conv_1', head.responseId, 0);
      await store.pass(store.times.leaseMs + 30);
      expect(await events.createWith(head, [delta(0)], [delta(1)])).toEqual({ fence: 1, begun: false });
      expect((await events.read(head.responseId, -1, 10))?.last).toBe(0);
    } finally {
      await store.close();
    }
  });
});

describe('a log with the next events', () => {
  it('is created by one command, which announces it, and has begun for a repeat of that command', async () => {
    const store = await openRedisStore({ url: server.url });
    const raw = new Redis(server.url);
    try {
      const keys = new RedisKeys(store.keyPrefix);
      const scripts = new Scripts({ times: store.times, ttlMs: store.ttlMs, sharded: false });
      await store.state.claim.join('conv_1', 'resp_1', 0);
      const { meta, log, leases } = keys.turn('resp_1');
      const names = [meta, log, leases, keys.queue('conv_1'), keys.announced('conv_1')];
      const create = (nonce: string) =>
        raw.eval(
          scripts.get('create').text,
          names.length,
          ...names,
          ...['resp_1', '{}', '1', nonce, '', keys.turns('conv_1'), '1', 'created', 'in progress'],
        );
      expect([await create('a'), await create('a'), await create('b')]).toEqual([2, 2, 0]);
      expect(await raw.xlen(log)).toBe(2);
      expect(await raw.lrange(keys.announced('conv_1'), 0, -1)).toEqual(['resp_1']);
    } finally {
      raw.disconnect();
      await store.close();
    }
  });
});

describeEventLog('Redis', open);
describeTurnLease('Redis', open);
describeConversationAnnouncements('Redis', open);
describeConversationClaim('Redis', open);
describeConversationEntry('Redis', open);
describeConversationStore('Redis', open);
describeConversationExit('Redis', open);
describeResponseEnd('Redis', open);
describeRateLimiter('Redis', open);
describeIdempotencyStore('Redis', open);
describeCredentialStore('Redis', open);
describeOwnerIndex('Redis', open);
describeFollow('Redis', open);

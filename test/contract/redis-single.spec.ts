/* The contracts over one Redis server, each test as two replicas see it. */

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import { RedisKeys } from '../../src/state/redis/redis-keys.js';
import {
  RedisConversationClaim,
  type RedisConversationClaimOptions,
} from '../../src/state/redis/conversation/redis-conversation-claim.js';
import { type Script, Scripts } from '../../src/state/redis/scripts.js';
import { RedisServer } from '../../scripts/development/cluster/redis.js';
import { openRedisStore } from './redis-store.js';
import { type OpenStore } from './suites/contract-store.js';
import { headOf } from './suites/log-fixtures.js';
import { describeConversationAnnouncements } from './suites/conversation-announcements.js';
import { describeCredentialStore, describeOwnerIndex } from './suites/credential-store.js';
import { describeConversationClaim } from './suites/conversation-claim.js';
import { describeConversationEntry } from './suites/conversation-entry.js';
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
  it('adds its items, leaves the queue and moves the conversation to the front of its list in one command', async () => {
    const store = await openRedisStore({ url: server.url });
    try {
      const { claim, conversations, counts } = store.state;
      const fields = { owner: 'ann', createdAt: 1, updatedAt: 1, metadata: {} };
      for (const id of ['conv_1', 'conv_2']) await conversations.create({ ...fields, id }, []);
      await claim.join('conv_1', 'resp_1', 0);
      // Redis learns the script by its first run.
      await conversations.create({ ...fields, id: 'conv_3', owner: 'bob' }, []);
      await conversations.appendItems('conv_3', [], 'resp_0');
      const before = counts.commands;
      await conversations.appendItems('conv_1', headOf().input, 'resp_1');
      expect(counts.commands - before).toBe(1);
      expect(await claim.members('conv_1')).toEqual([]);
      const { data } = await store.other.conversations.listByOwner('ann', { limit: 2 });
      expect(data.map(({ id }) => id)).toEqual(['conv_1', 'conv_2']);
    } finally {
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
describeResponseEnd('Redis', open);
describeRateLimiter('Redis', open);
describeIdempotencyStore('Redis', open);
describeCredentialStore('Redis', open);
describeOwnerIndex('Redis', open);
describeFollow('Redis', open);

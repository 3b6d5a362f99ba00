/* The contracts over one Redis server, each test as two replicas see it. */

import { afterAll, beforeAll } from '@jest/globals';
import { RedisServer } from '../support/redis.js';
import { openRedisStore } from './redis-store.js';
import { type OpenStore } from './suites/contract-store.js';
import { describeConversationClaim } from './suites/conversation-claim.js';
import { describeConversationStore } from './suites/conversation-store.js';
import { describeEventLog } from './suites/event-log.js';
import { describeFollow } from './suites/follow.js';
import { describeIdempotencyStore, describeRateLimiter } from './suites/small-stores.js';
import { describeTurnLease } from './suites/turn-lease.js';

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.close());

const open: OpenStore = () => openRedisStore({ url: server.url });

describeEventLog('Redis', open);
describeTurnLease('Redis', open);
describeConversationClaim('Redis', open);
describeConversationStore('Redis', open);
describeRateLimiter('Redis', open);
describeIdempotencyStore('Redis', open);
describeFollow('Redis', open);

/* The contracts over a Redis whose text is encrypted, each test as two replicas see it. */

import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll } from '@jest/globals';
import { RedisServer } from '../../scripts/development/cluster/redis.js';
import { openRedisStore } from './redis-store.js';
import { type OpenStore } from './suites/contract-store.js';
import { describeConversationAnnouncements } from './suites/conversation-announcements.js';
import { describeConversationClaim } from './suites/conversation-claim.js';
import { describeConversationEntry } from './suites/conversation-entry.js';
import { describeConversationExit } from './suites/conversation-exit.js';
import { describeConversationStore } from './suites/conversation-store.js';
import { describeCredentialStore, describeOwnerIndex } from './suites/credential-store.js';
import { describeEventLog } from './suites/event-log.js';
import { describeFollow } from './suites/follow.js';
import { describeResponseEnd } from './suites/response-end.js';
import { describeTurnLease } from './suites/turn-lease.js';

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.close());

const key = randomBytes(32);
const open: OpenStore = () => openRedisStore({ url: server.url }, { encryption: { key } });

describeEventLog('encrypted Redis', open);
describeTurnLease('encrypted Redis', open);
describeConversationAnnouncements('encrypted Redis', open);
describeConversationClaim('encrypted Redis', open);
describeConversationEntry('encrypted Redis', open);
describeConversationStore('encrypted Redis', open);
describeConversationExit('encrypted Redis', open);
describeResponseEnd('encrypted Redis', open);
describeCredentialStore('encrypted Redis', open);
describeOwnerIndex('encrypted Redis', open);
describeFollow('encrypted Redis', open);

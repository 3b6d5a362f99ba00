/* The contracts over the state of a single replica, on a clock of the test. */

import { LOG_TIMES } from '../../src/state/event-log.js';
import { memoryState } from '../../src/state/memory/memory-state.js';
import { HandTime } from '../support/hand-time.js';
import { type OpenStore } from './suites/contract-store.js';
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

const open: OpenStore = () => {
  const time = new HandTime();
  const ttlMs = 24 * 60 * 60_000;
  const [maxItems, maxBytes] = [20, 8_000];
  const state = memoryState({ ttlMs, maxItems, maxBytes, time });
  return Promise.resolve({
    state,
    other: state,
    times: LOG_TIMES,
    ttlMs,
    maxItems,
    maxBytes,
    pass: (ms) => {
      time.pass(ms);
      return Promise.resolve();
    },
    close: () => state.close(),
  });
};

describeEventLog('memory', open);
describeTurnLease('memory', open);
describeConversationAnnouncements('memory', open);
describeConversationClaim('memory', open);
describeConversationEntry('memory', open);
describeConversationStore('memory', open);
describeConversationExit('memory', open);
describeResponseEnd('memory', open);
describeRateLimiter('memory', open);
describeIdempotencyStore('memory', open);
describeCredentialStore('memory', open, () => 1_800_000_000_000);
describeOwnerIndex('memory', open);
describeFollow('memory', open);

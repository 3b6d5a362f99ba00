/*
 * All stores of one gateway as one set. Memory and Redis each provide one; other code does not know
 * which it uses.
 */

import { type ConversationAnnouncements } from './conversation-announcements.js';
import { type ConversationClaim } from './conversation-claim.js';
import { type ConversationEntry } from './conversation-entry.js';
import { type ConversationExit } from './conversation-exit.js';
import { type ConversationStore, type ResponseStore } from './conversation-store.js';
import { type CredentialStore } from './credential-store.js';
import { type EventLog, type TurnLease } from './event-log.js';
import { type IdempotencyStore } from './idempotency-store.js';
import { type OwnerIndex } from './owner-index.js';
import { type RateLimiter } from './rate-limiter.js';

export interface State {
  readonly events: EventLog;
  readonly lease: TurnLease;
  readonly claim: ConversationClaim;
  readonly entry: ConversationEntry;
  readonly exit: ConversationExit;
  readonly announcements: ConversationAnnouncements;
  readonly conversations: ConversationStore;
  readonly responses: ResponseStore;
  readonly limiter: RateLimiter;
  readonly keys: IdempotencyStore;
  readonly credentials: CredentialStore;
  readonly index: OwnerIndex;
  /** Resolves if the store answers. @throws SluiceError `state_unavailable` */
  ping(): Promise<void>;
  close(): Promise<void>;
}

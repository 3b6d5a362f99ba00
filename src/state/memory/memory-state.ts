/* The state of a single replica, in this process's memory. It is lost when the process ends. */

import { every, systemTime } from '../../domain/time.js';
import { ConversationEntry } from '../conversation-entry.js';
import { ConversationExit } from '../conversation-exit.js';
import { LOG_TIMES, type LogTimes } from '../event-log.js';
import { type State } from '../state.js';
import { type EvictedKind, MemoryBudget } from './memory-budget.js';
import { MemoryConversationAnnouncements } from './memory-conversation-announcements.js';
import { MemoryConversationClaim } from './memory-conversation-claim.js';
import { MemoryCredentialStore } from './memory-credential-store.js';
import { MemoryOwnerIndex } from './memory-owner-index.js';
import { MemoryConversationStore, type MemoryStoreOptions } from './memory-conversation-store.js';
import { MemoryResponseStore } from './memory-response-store.js';
import { MemoryEventLog } from './memory-event-log.js';
import { MemoryLogTable } from './memory-log-table.js';
import { MemoryTurnLease } from './memory-turn-lease.js';
import { MemoryIdempotencyStore } from './memory-idempotency-store.js';
import { MemoryRateLimiter } from './memory-rate-limiter.js';

/** How often expired entries are dropped, in milliseconds. */
const SWEEP_EVERY_MS = 30_000;

export interface MemoryStateOptions extends MemoryStoreOptions {
  readonly times?: LogTimes;
  /** Most bytes of all stored entries; running turns are not counted. */
  readonly memoryMaxBytes?: number;
  /** Called for each entry that is evicted before it expired, because the budget was full. */
  readonly onEvicted?: (kind: EvictedKind) => void;
}

export interface MemoryState extends State {
  /** Returns the bytes of all stored entries, as `memoryMaxBytes` counts them. */
  readonly keptBytes: () => number;
}

const MEMORY_MAX_BYTES = 512 * 1024 * 1024;

export function memoryState(options: MemoryStateOptions): MemoryState {
  const time = options.time ?? systemTime;
  const times = options.times ?? LOG_TIMES;
  const { memoryMaxBytes = MEMORY_MAX_BYTES, onEvicted } = options;
  // Separate budgets: a client that fills one of them cannot evict entries of the others.
  const budgetOf = (share: number) => new MemoryBudget({ maxBytes: memoryMaxBytes * share, onEvicted });
  const [budget, ofLogs, ofKeys] = [budgetOf(1 / 2), budgetOf(3 / 8), budgetOf(1 / 8)];
  const table = new MemoryLogTable(time, times, ofLogs, options);
  const claim = new MemoryConversationClaim(table);
  const announcements = new MemoryConversationAnnouncements();
  const conversations = new MemoryConversationStore({ ...options, budget, claim });
  const responses = new MemoryResponseStore({ ...options, deletedMs: times.deletedMs, budget });
  const events = new MemoryEventLog(table, {
    responses,
    writerOf: (conversationId) => claim.writerOf(conversationId),
    announce: (conversationId, responseId) => announcements.announce(conversationId, responseId),
  });
  const keys = new MemoryIdempotencyStore(time, ofKeys, (id) => table.stateOf(id) === 'running');
  const credentials = new MemoryCredentialStore(time);
  const stopSweeping = every(time, SWEEP_EVERY_MS, () => {
    table.sweep();
    conversations.sweep();
    responses.sweep();
    keys.sweep();
    claim.sweep();
    credentials.sweep();
  });
  return {
    events,
    lease: new MemoryTurnLease(table),
    claim,
    entry: new ConversationEntry(claim, conversations),
    exit: new ConversationExit(events, conversations),
    announcements,
    conversations,
    responses,
    keys,
    credentials,
    index: new MemoryOwnerIndex(),
    keptBytes: () => budget.bytes + ofLogs.bytes + ofKeys.bytes,
    limiter: new MemoryRateLimiter(time),
    ping: () => Promise.resolve(),
    close: () => {
      stopSweeping();
      return Promise.resolve();
    },
  };
}

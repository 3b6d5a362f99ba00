/* The state of a single replica: all in this process, gone when it ends. */

import { systemClock } from '../clock.js';
import { LOG_TIMES, type LogTimes } from '../event-log.js';
import { type State } from '../state.js';
import { MemoryConversationClaim } from './memory-conversation-claim.js';
import { MemoryConversationStore, MemoryResponseStore, type MemoryStoreOptions } from './memory-conversation-store.js';
import { MemoryEventLog, MemoryLogTable, MemoryTurnLease } from './memory-event-log.js';
import { MemoryIdempotencyStore } from './memory-idempotency-store.js';
import { MemoryRateLimiter } from './memory-rate-limiter.js';

/** How often what has outlived its time is dropped. */
const SWEEP_EVERY_MS = 30_000;

export interface MemoryStateOptions extends MemoryStoreOptions {
  readonly times?: LogTimes;
}

export function memoryState(options: MemoryStateOptions): State {
  const clock = options.clock ?? systemClock;
  const table = new MemoryLogTable(clock, options.times ?? LOG_TIMES);
  const conversations = new MemoryConversationStore(options);
  const responses = new MemoryResponseStore(options);
  const keys = new MemoryIdempotencyStore(clock);
  const timer = setInterval(() => {
    table.sweep();
    conversations.sweep();
    responses.sweep();
    keys.sweep();
  }, SWEEP_EVERY_MS).unref();
  return {
    log: new MemoryEventLog(table),
    lease: new MemoryTurnLease(table),
    claim: new MemoryConversationClaim(),
    conversations,
    responses,
    keys,
    limiter: new MemoryRateLimiter(options.clock),
    ping: () => Promise.resolve(),
    close: () => {
      clearInterval(timer);
      return Promise.resolve();
    },
  };
}

/* The state of a single replica: all in this process, gone when it ends. */

import { every, systemTime } from '../../domain/time.js';
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
  const time = options.time ?? systemTime;
  const table = new MemoryLogTable(time, options.times ?? LOG_TIMES);
  const conversations = new MemoryConversationStore(options);
  const responses = new MemoryResponseStore({ ...options, deletedMs: (options.times ?? LOG_TIMES).deletedMs });
  const keys = new MemoryIdempotencyStore(time);
  const stopSweeping = every(time, SWEEP_EVERY_MS, () => {
    table.sweep();
    conversations.sweep();
    responses.sweep();
    keys.sweep();
  });
  return {
    log: new MemoryEventLog(table),
    lease: new MemoryTurnLease(table),
    claim: new MemoryConversationClaim(table),
    conversations,
    responses,
    keys,
    limiter: new MemoryRateLimiter(time),
    ping: () => Promise.resolve(),
    close: () => {
      stopSweeping();
      return Promise.resolve();
    },
  };
}

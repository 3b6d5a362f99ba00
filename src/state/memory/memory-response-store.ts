/* Ended responses in memory, as bytes, and the marks of deleted responses. */

import { type StoredResponse } from '../../domain/response.js';
import { systemTime, type Time } from '../../domain/time.js';
import { ResponseStore } from '../conversation-store.js';
import { LOG_TIMES } from '../event-log.js';
import { type Retention, ttlOf } from '../retention.js';
import { MemoryBudget, packed } from './memory-budget.js';
import { SlidingMap } from './sliding-map.js';

const NO_BOUND = { maxBytes: Infinity };

export interface MemoryResponseStoreOptions extends Retention {
  readonly time?: Time;
  readonly deletedMs?: number;
  readonly budget?: MemoryBudget;
}

export class MemoryResponseStore extends ResponseStore {
  readonly #responses: SlidingMap<Buffer>;
  /** Marks of deleted responses. */
  readonly #deleted: SlidingMap<true>;
  readonly #retention: Retention;

  constructor(options: MemoryResponseStoreOptions) {
    super();
    const { ttlMs, time, deletedMs, budget } = options;
    this.#retention = options;
    const common = { time: time ?? systemTime, budget: budget ?? new MemoryBudget(NO_BOUND) };
    this.#responses = new SlidingMap({ ...common, ttlMs, kind: 'response' });
    this.#deleted = new SlidingMap({ ...common, ttlMs: deletedMs ?? LOG_TIMES.deletedMs, kind: 'deletion' });
  }

  override async put(stored: StoredResponse): Promise<StoredResponse | undefined> {
    const { id } = stored.response;
    if (this.#deleted.get(id) === true) return undefined;
    const bytes = packed(stored);
    const earlier = this.#responses.get(id);
    if (earlier === undefined) this.#responses.set(id, bytes, bytes.length, ttlOf(this.#retention, stored.limitsClass));
    // The same bytes: an earlier attempt of this call stored them.
    return earlier === undefined || earlier.equals(bytes) ? stored : unpacked(earlier);
  }

  override async get(id: string): Promise<StoredResponse | undefined> {
    const bytes = this.#responses.get(id);
    return bytes === undefined ? undefined : unpacked(bytes);
  }

  override async hasEnded(id: string): Promise<boolean> {
    return this.#deleted.get(id) === true || this.#responses.get(id) !== undefined;
  }

  override async delete(id: string): Promise<boolean> {
    this.#deleted.set(id, true, 0);
    return this.#responses.delete(id);
  }

  /** Drops expired responses and marks. */
  sweep(): void {
    this.#responses.sweep();
    this.#deleted.sweep();
  }
}

function unpacked(bytes: Buffer): StoredResponse {
  // The cast is safe: only `put` writes these bytes.
  return JSON.parse(bytes.toString()) as StoredResponse;
}

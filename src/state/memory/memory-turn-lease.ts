/* Turn leases in this process's memory. */

import { type Fence, TurnLease } from '../event-log.js';
import { hasEnded, type MemoryLogTable } from './memory-log-table.js';

export class MemoryTurnLease extends TurnLease {
  readonly #table: MemoryLogTable;

  constructor(table: MemoryLogTable) {
    super();
    this.#table = table;
  }

  override async renew(responseId: string, fence: Fence): Promise<{ held: boolean; cancelRequested: boolean }> {
    const entry = this.#table.live(responseId);
    if (entry === undefined || hasEnded(entry) || entry.fence !== fence) return { held: false, cancelRequested: false };
    const now = this.#table.time.now();
    entry.leaseUntil = now + this.#table.times.leaseMs;
    entry.expiresAt = now + this.#table.times.runningMs;
    return { held: true, cancelRequested: entry.cancelRequested };
  }

  override async watchCancel(responseId: string, onCancel: () => void): Promise<() => void> {
    const entry = this.#table.live(responseId);
    entry?.cancelWatchers.add(onCancel);
    return () => void entry?.cancelWatchers.delete(onCancel);
  }

  override async adoptExpired(limit: number): Promise<{ responseId: string; fence: Fence }[]> {
    const now = this.#table.time.now();
    const adopted: { responseId: string; fence: Fence }[] = [];
    for (const [responseId, entry] of this.#table.running) {
      if (adopted.length >= limit) break;
      if (entry.leaseUntil > now || entry.expiresAt <= now) continue;
      entry.fence += 1;
      entry.leaseUntil = now + this.#table.times.leaseMs;
      adopted.push({ responseId, fence: entry.fence });
    }
    return adopted;
  }

  override async release(responseId: string, fence: Fence): Promise<void> {
    const entry = this.#table.live(responseId);
    if (entry !== undefined && entry.fence === fence) entry.leaseUntil = 0;
  }
}

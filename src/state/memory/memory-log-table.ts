/*
 * The logs of this process and their leases, shared by the event log and the turn lease in memory.
 */

import { type LoggedEvent } from '../../domain/event.js';
import { systemTime, type Time } from '../../domain/time.js';
import { type Fence, LOG_TIMES, type LogHead, type LogTimes } from '../event-log.js';
import { type Retention, ttlOf } from '../retention.js';
import { MemoryBudget } from './memory-budget.js';
import { PackedEvents } from './packed-events.js';

export interface Follower {
  readonly onEvents: (events: readonly LoggedEvent[]) => void;
  readonly onGap: () => void;
}

export interface MemoryLog {
  readonly head: LogHead;
  /** Packed when the log has ended. */
  events: LoggedEvent[] | PackedEvents;
  readonly followers: Set<Follower>;
  readonly cancelWatchers: Set<() => void>;
  fence: Fence;
  /** When the lease expires, by `Time.now()`; 0 if no replica holds it. */
  leaseUntil: number;
  cancelRequested: boolean;
  expiresAt: number;
}

/** The table of logs by response id. Starts no timer: its owner calls `sweep()`. */
export class MemoryLogTable {
  readonly entries = new Map<string, MemoryLog>();
  /** The logs that have not ended: few of them beside those of the last ten minutes. */
  readonly #running = new Map<string, MemoryLog>();
  readonly time: Time;
  readonly times: LogTimes;
  readonly #ended: MemoryBudget;
  readonly #retention: Retention;

  /**
   * @param ended bound on ended logs: one that is evicted early is lost to viewers, which then read
   * the stored response
   */
  constructor(
    time: Time = systemTime,
    times: LogTimes = LOG_TIMES,
    ended: MemoryBudget = new MemoryBudget({ maxBytes: Infinity }),
    retention: Retention = { ttlMs: Infinity },
  ) {
    this.time = time;
    this.times = times;
    this.#ended = ended;
    this.#retention = retention;
  }

  /** The logs whose turns run, by response id. */
  get running(): ReadonlyMap<string, MemoryLog> {
    return this.#running;
  }

  /** Adds the log of a turn that begins. */
  add(entry: MemoryLog): void {
    this.entries.set(entry.head.responseId, entry);
    this.#running.set(entry.head.responseId, entry);
  }

  /**
   * Returns the log of a response, or undefined if there is none or it has expired.
   * @param now from `Time.now()`
   */
  live(responseId: string, now = this.time.now()): MemoryLog | undefined {
    const entry = this.entries.get(responseId);
    if (entry === undefined || entry.expiresAt > now) return entry;
    this.drop(responseId);
    return undefined;
  }

  /** Returns whether the turn of a log runs or has ended, or undefined if there is no log. */
  stateOf(responseId: string): 'running' | 'ended' | undefined {
    const entry = this.live(responseId);
    return entry === undefined ? undefined : hasEnded(entry) ? 'ended' : 'running';
  }

  /** Returns how long an ended log is stored, in milliseconds. */
  keepMs({ head }: MemoryLog): number {
    const { endedMs, endedUnstoredMs } = this.times;
    return head.store ? Math.min(endedMs, ttlOf(this.#retention, head.limitsClass)) : endedUnstoredMs;
  }

  drop(responseId: string): void {
    this.entries.delete(responseId);
    this.#running.delete(responseId);
    this.#ended.delete(responseId);
  }

  /** Marks an ended log as most recently used. */
  used(responseId: string): void {
    this.#ended.touch(responseId);
  }

  /** Packs the events of an ended log, and evicts older ended logs until it fits. */
  pack(entry: MemoryLog, events: readonly LoggedEvent[]): void {
    const packed = new PackedEvents(events);
    entry.events = packed;
    const { responseId } = entry.head;
    this.#running.delete(responseId);
    const evict = (): void => void this.entries.delete(responseId);
    this.#ended.set(responseId, packed.byteLength, { kind: 'log', evict, isPinned: () => false });
  }

  /** Drops expired logs. */
  sweep(): void {
    for (const responseId of this.entries.keys()) this.live(responseId);
  }
}

export function hasEnded({ events }: MemoryLog): boolean {
  return events instanceof PackedEvents;
}

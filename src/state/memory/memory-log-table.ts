/* The logs of this process, with their leases: what the event log and the turn leases in memory share. */

import { type LoggedEvent } from '../../domain/event.js';
import { systemTime, type Time } from '../../domain/time.js';
import { type Fence, LOG_TIMES, type LogHead, type LogTimes } from '../event-log.js';
import { MemoryBudget } from './memory-budget.js';
import { PackedEvents } from './packed-events.js';

export interface Follower {
  readonly onEvents: (events: readonly LoggedEvent[]) => void;
  readonly onGap: () => void;
}

export interface MemoryLog {
  readonly head: LogHead;
  /** Packed once it has ended. */
  events: LoggedEvent[] | PackedEvents;
  readonly followers: Set<Follower>;
  readonly cancelWatchers: Set<() => void>;
  fence: Fence;
  /** 0: nobody holds it. */
  leaseUntil: number;
  cancelRequested: boolean;
  expiresAt: number;
}

/** Holds what both contracts share. `sweep()` is called by its owner now and then; nothing here starts a timer. */
export class MemoryLogTable {
  readonly entries = new Map<string, MemoryLog>();
  readonly time: Time;
  readonly times: LogTimes;
  readonly #ended: MemoryBudget;

  /** @param ended what ended logs may take: beyond it they go before their time, and viewers get the stored response */
  constructor(
    time: Time = systemTime,
    times: LogTimes = LOG_TIMES,
    ended: MemoryBudget = new MemoryBudget({ maxBytes: Infinity }),
  ) {
    this.time = time;
    this.times = times;
    this.#ended = ended;
  }

  live(responseId: string): MemoryLog | undefined {
    const entry = this.entries.get(responseId);
    if (entry === undefined || entry.expiresAt > this.time.now()) return entry;
    this.drop(responseId);
    return undefined;
  }

  /** Whether the turn of a log is over; undefined if there is no such log. */
  stateOf(responseId: string): 'running' | 'ended' | undefined {
    const entry = this.live(responseId);
    return entry === undefined ? undefined : hasEnded(entry) ? 'ended' : 'running';
  }

  drop(responseId: string): void {
    this.entries.delete(responseId);
    this.#ended.delete(responseId);
  }

  /** An ended log was read: others go first. */
  used(responseId: string): void {
    this.#ended.touch(responseId);
  }

  /** A log that has ended: packs it, and makes room for it. */
  pack(entry: MemoryLog, events: readonly LoggedEvent[]): void {
    const packed = new PackedEvents(events);
    entry.events = packed;
    const { responseId } = entry.head;
    const evict = (): void => void this.entries.delete(responseId);
    this.#ended.set(responseId, packed.byteLength, { kind: 'log', evict, isPinned: () => false });
  }

  /** Drops the logs whose retention is over. */
  sweep(): void {
    for (const responseId of this.entries.keys()) this.live(responseId);
  }
}

export function hasEnded({ events }: MemoryLog): boolean {
  return events instanceof PackedEvents;
}

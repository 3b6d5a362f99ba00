/*
 * The event log and its leases in this process's memory: the store of a single replica, and the reference that Redis is held against.
 * Appends, publishes and renews in one synchronous step, as the Redis script does.
 */

import { isTerminal, type LoggedEvent } from '../../domain/event.js';
import {
  type AppendResult,
  EventLog,
  type Fence,
  LOG_TIMES,
  type LogHead,
  type LogPage,
  type LogTimes,
  TurnLease,
} from '../event-log.js';
import { systemTime, type Time } from '../../domain/time.js';
import { MemoryBudget } from './memory-budget.js';
import { PackedEvents } from './packed-events.js';

interface Follower {
  readonly onEvents: (events: readonly LoggedEvent[]) => void;
  readonly onGap: () => void;
}

interface Entry {
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
  readonly entries = new Map<string, Entry>();
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

  live(responseId: string): Entry | undefined {
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
  pack(entry: Entry, events: readonly LoggedEvent[]): void {
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

export class MemoryEventLog extends EventLog {
  readonly #table: MemoryLogTable;

  constructor(table: MemoryLogTable) {
    super();
    this.#table = table;
  }

  override async create(head: LogHead): Promise<Fence> {
    if (this.#table.live(head.responseId) !== undefined) {
      throw new Error(`unable to create the log of ${head.responseId}; it exists already`);
    }
    const now = this.#table.time.now();
    this.#table.entries.set(head.responseId, {
      head,
      events: [],
      followers: new Set(),
      cancelWatchers: new Set(),
      fence: 1,
      leaseUntil: now + this.#table.times.leaseMs,
      cancelRequested: false,
      expiresAt: now + this.#table.times.runningMs,
    });
    return 1;
  }

  override async append(responseId: string, fence: Fence, events: readonly LoggedEvent[]): Promise<AppendResult> {
    const entry = this.#table.live(responseId);
    if (entry === undefined || entry.fence !== fence) return { outcome: 'fenced' };
    const { events: before } = entry;
    const fresh = events.filter((event) => event.sequence >= before.length);
    if (fresh.length > 0) {
      if (before instanceof PackedEvents || fresh[0]?.sequence !== before.length) return { outcome: 'fenced' };
      before.push(...fresh);
      if (isTerminal(fresh.at(-1)?.type)) this.#table.pack(entry, before);
      this.#renew(entry);
      for (const follower of entry.followers) follower.onEvents(fresh);
    }
    return { outcome: 'appended', cancelRequested: entry.cancelRequested };
  }

  override async read(responseId: string, after: number, limit: number): Promise<LogPage | undefined> {
    const entry = this.#table.live(responseId);
    if (entry === undefined) return undefined;
    this.#table.used(responseId);
    return {
      head: entry.head,
      events: entry.events.slice(after + 1, after + 1 + limit),
      last: entry.events.length - 1,
      ended: hasEnded(entry),
    };
  }

  override async subscribe(
    responseId: string,
    onEvents: (events: readonly LoggedEvent[]) => void,
    onGap: () => void,
  ): Promise<() => void> {
    const entry = this.#table.live(responseId);
    const follower: Follower = { onEvents, onGap };
    entry?.followers.add(follower);
    return () => void entry?.followers.delete(follower);
  }

  override async requestCancel(responseId: string): Promise<boolean> {
    const entry = this.#table.live(responseId);
    if (entry === undefined || hasEnded(entry)) return false;
    entry.cancelRequested = true;
    for (const watcher of entry.cancelWatchers) watcher();
    return true;
  }

  override async delete(responseId: string): Promise<void> {
    const entry = this.#table.entries.get(responseId);
    this.#table.drop(responseId);
    for (const follower of entry?.followers ?? []) follower.onGap();
  }

  #renew(entry: Entry): void {
    const now = this.#table.time.now();
    const ended = hasEnded(entry);
    const { runningMs, endedMs, endedUnstoredMs, leaseMs } = this.#table.times;
    entry.expiresAt = now + (ended ? (entry.head.store ? endedMs : endedUnstoredMs) : runningMs);
    entry.leaseUntil = ended ? 0 : now + leaseMs;
  }
}

function hasEnded({ events }: Entry): boolean {
  return events instanceof PackedEvents;
}

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
    for (const [responseId, entry] of this.#table.entries) {
      if (adopted.length >= limit) break;
      if (hasEnded(entry) || entry.leaseUntil > now || entry.expiresAt <= now) continue;
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

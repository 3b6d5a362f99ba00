/*
 * The event log in this process's memory: the store of a single replica, and the reference for the
 * store in Redis. Appends, publishes and renews in one synchronous step, like the Redis script.
 */

import { isTerminal, type LoggedEvent } from '../../domain/event.js';
import { type StoredResponse } from '../../domain/response.js';
import { type ResponseStore } from '../conversation-store.js';
import { EndNotStored } from '../end-in-steps.js';
import {
  type AppendResult,
  type CreatedLog,
  type EndResult,
  EventLog,
  type Fence,
  type LogHead,
  type LogPage,
} from '../event-log.js';
import { type Follower, hasEnded, type MemoryLog, type MemoryLogTable } from './memory-log-table.js';
import { PackedEvents } from './packed-events.js';

const FENCED: AppendResult = { outcome: 'fenced' };
const APPENDED: AppendResult = { outcome: 'appended', cancelRequested: false };
const CANCEL_REQUESTED: AppendResult = { outcome: 'appended', cancelRequested: true };

export interface MemoryEventLogOptions {
  readonly responses: Pick<ResponseStore, 'put'>;
  /** Returns the head of the queue of a conversation. */
  readonly writerOf?: (conversationId: string) => string | undefined;
  /** Announces a response to the watchers of a conversation. */
  readonly announce?: (conversationId: string, responseId: string) => Promise<void>;
}

export class MemoryEventLog extends EventLog {
  readonly #table: MemoryLogTable;
  readonly #options: MemoryEventLogOptions;

  constructor(table: MemoryLogTable, options: MemoryEventLogOptions) {
    super();
    this.#table = table;
    this.#options = options;
  }

  override async createWith(
    head: LogHead,
    first: readonly LoggedEvent[],
    next: readonly LoggedEvent[] = [],
  ): Promise<CreatedLog> {
    const { responseId, conversationId } = head;
    const fence = await this.create(head);
    // With a log, a turn that is the head of its queue cannot be evicted any more.
    const isHead = conversationId === null || this.#options.writerOf?.(conversationId) === responseId;
    const begun = next.length > 0 && isHead;
    await this.append(responseId, fence, begun ? [...first, ...next] : first);
    if (begun && conversationId !== null) await this.#options.announce?.(conversationId, responseId);
    return { fence, begun };
  }

  override async create(head: LogHead): Promise<Fence> {
    if (this.#table.live(head.responseId) !== undefined) {
      throw new Error(`unable to create the log of ${head.responseId}; it exists already`);
    }
    const now = this.#table.time.now();
    this.#table.add({
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

  override append(
    responseId: string,
    fence: Fence,
    events: readonly LoggedEvent[],
  ): AppendResult | Promise<AppendResult> {
    const now = this.#table.time.now();
    const entry = this.#table.live(responseId, now);
    if (entry === undefined || entry.fence !== fence) return FENCED;
    const { events: before } = entry;
    const known = before.length - (events[0]?.sequence ?? before.length);
    const fresh = known > 0 ? events.slice(known) : events;
    if (fresh.length > 0) {
      if (before instanceof PackedEvents || known < 0) return FENCED;
      for (const event of fresh) before.push(event);
      if (isTerminal(fresh.at(-1)?.type)) this.#table.pack(entry, before);
      this.#renew(entry, now);
      for (const follower of entry.followers) follower.onEvents(fresh);
    }
    return entry.cancelRequested ? CANCEL_REQUESTED : APPENDED;
  }

  override async end(
    responseId: string,
    fence: Fence,
    events: readonly LoggedEvent[],
    stored: StoredResponse,
  ): Promise<EndResult> {
    const entry = this.#table.live(responseId);
    const follows = (events[0]?.sequence ?? 0) <= (entry?.events.length ?? 0);
    if (entry?.fence !== fence || !follows) return { outcome: 'fenced' };
    const first = await this.#options.responses.put(stored).catch((error: unknown) => {
      throw new EndNotStored(error);
    });
    // Undefined: the response was deleted.
    if (first !== undefined && first !== stored) return { outcome: 'ended_before', stored: first };
    return this.append(responseId, fence, events);
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

  /** @param now from `Time.now()` */
  #renew(entry: MemoryLog, now: number): void {
    const ended = hasEnded(entry);
    const { runningMs, leaseMs } = this.#table.times;
    entry.expiresAt = now + (ended ? this.#table.keepMs(entry) : runningMs);
    entry.leaseUntil = ended ? 0 : now + leaseMs;
  }
}

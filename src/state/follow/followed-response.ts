/*
 * One followed response on this replica: its subscription and its ring of newest events, shared by
 * its viewers.
 */

import { isTerminal, type LoggedEvent } from '../../domain/event.js';
import { type Time } from '../../domain/time.js';
import { type EventLog, type LogHead, type LogPage } from '../event-log.js';
import { type Viewed, Viewer } from './viewer.js';

/** Events that are counted as metrics. */
export interface FollowHooks {
  /** A gap in the numbers of live events was filled from the log. */
  readonly gapHealed?: () => void;
  /** The tail check found events that no message had delivered. */
  readonly tailFound?: () => void;
  /** A viewer was opened (1) or closed (−1). */
  readonly viewers?: (by: 1 | -1) => void;
}

export interface FollowedResponseOptions {
  readonly events: EventLog;
  readonly responseId: string;
  readonly ringEvents: number;
  readonly pageEvents: number;
  readonly time: Time;
  readonly hooks: FollowHooks;
  /** Called when the last viewer has closed. */
  readonly unused: () => void;
}

export class FollowedResponse implements Viewed {
  readonly responseId: string;
  /** Resolves when past and live events are merged; to false if the log does not exist. */
  readonly ready: Promise<boolean>;
  readonly #options: FollowedResponseOptions;
  readonly #viewers = new Set<Viewer>();
  /** Contiguous events; the first has number `#ringFirst`. */
  #ring: LoggedEvent[] = [];
  #ringFirst = 0;
  #head: LogHead | undefined;
  /** Live events that arrived during a read; undefined while no read is running. */
  #early: LoggedEvent[] | undefined = [];
  #healing: Promise<void> | undefined;
  #unsubscribe: (() => void) | undefined;
  #stopped = false;
  /** Number of the newest known event. */
  last = -1;
  /** Whether the newest known event is the terminal one. */
  ended = false;
  /** Whether the log is gone, or holds other events than viewers saw. */
  lost = false;
  /** When the last live events arrived, by `Time.now()`. */
  receivedAt: number;
  /** Number of viewers that are being opened. */
  opening = 0;

  constructor(options: FollowedResponseOptions, after: number) {
    this.#options = options;
    this.responseId = options.responseId;
    this.receivedAt = options.time.now();
    this.ready = this.#open(after);
    // Openers await `ready` and see its error. If it rejects before any of them awaits it, the
    // process would end with an unhandled rejection; this handler prevents that.
    this.ready.catch(() => undefined);
  }

  get time(): Time {
    return this.#options.time;
  }

  get inUse(): boolean {
    return this.opening > 0 || this.#viewers.size > 0;
  }

  /** Adds a viewer. Call after `ready` has resolved to true. */
  view(after: number, wake: () => void): Viewer {
    if (this.#head === undefined) throw new Error(`unable to view ${this.responseId}; its log was not read`);
    const viewer = new Viewer(this, this.#head, after, wake);
    this.#viewers.add(viewer);
    this.#options.hooks.viewers?.(1);
    return viewer;
  }

  leave(viewer: Viewer): void {
    if (!this.#viewers.delete(viewer)) return;
    this.#options.hooks.viewers?.(-1);
    this.#options.unused();
  }

  /** Ends the subscription. */
  stop(): void {
    this.#stopped = true;
    this.#unsubscribe?.();
    this.#unsubscribe = undefined;
  }

  /** Returns up to `limit` events after `after`, or undefined if the ring starts later. */
  fromRing(after: number, limit: number): readonly LoggedEvent[] | undefined {
    const start = after + 1 - this.#ringFirst;
    if (start < 0) return undefined;
    return start === 0 && this.#ring.length <= limit ? this.#ring.slice() : this.#ring.slice(start, start + limit);
  }

  /**
   * Reads a page of past events.
   * @returns undefined if the log is gone.
   * @throws SluiceError `state_unavailable`
   */
  fromLog(after: number): Promise<LogPage | undefined> {
    return this.#options.events.read(this.responseId, after, this.#options.pageEvents);
  }

  /** Reads the tail of the log, in case the last message was lost. */
  async checkTail(): Promise<void> {
    const before = this.last;
    await this.catchUp().catch(() => undefined);
    if (this.last > before) this.#options.hooks.tailFound?.();
  }

  /**
   * Reads the log from `last` to its end. Concurrent callers share one read.
   * @throws SluiceError `state_unavailable`
   */
  async catchUp(): Promise<void> {
    this.#healing ??= this.#heal();
    await this.#healing;
  }

  async #open(after: number): Promise<boolean> {
    const { events, responseId, ringEvents } = this.#options;
    try {
      const unsubscribe = await events.subscribe(
        responseId,
        (events) => this.#onEvents(events),
        () => void this.ready.then(() => this.catchUp()).catch(() => undefined),
      );
      if (this.#stopped) unsubscribe();
      else this.#unsubscribe = unsubscribe;
      const page = await events.read(responseId, after, ringEvents);
      if (page === undefined) {
        this.lost = true;
        return false;
      }
      this.#head = page.head;
      const reachesEnd = page.events.at(-1)?.sequence === page.last || page.events.length === 0;
      this.last = page.last;
      this.ended = page.ended;
      this.#ring = reachesEnd ? [...page.events] : [];
      this.#ringFirst = this.last + 1 - this.#ring.length;
      this.#mergeEarly();
      return true;
    } catch (error) {
      this.lost = true;
      throw error;
    }
  }

  #onEvents(events: readonly LoggedEvent[]): void {
    this.receivedAt = this.#options.time.now();
    if (this.#early !== undefined) {
      this.#early.push(...events);
      return;
    }
    if (this.#take(events)) this.#wake();
    else this.#healGap(events);
  }

  /** Adds the new events to the ring. @returns false if a number is missing before one of them */
  #take(events: readonly LoggedEvent[]): boolean {
    for (const event of events) {
      if (event.sequence <= this.last) {
        if (!this.ended && this.#differsFromRing(event)) this.lost = true;
        continue;
      }
      if (this.lost) return true;
      if (event.sequence !== this.last + 1) return false;
      this.#ring.push(event);
      this.last = event.sequence;
      if (isTerminal(event.type)) this.ended = true;
    }
    const surplus = this.#ring.length - this.#options.ringEvents;
    if (surplus > this.#options.ringEvents / 4) {
      this.#ring.splice(0, surplus);
      this.#ringFirst += surplus;
    }
    return true;
  }

  /**
   * Whether viewers saw another event under this number. Then the log lost its tail, and another
   * replica wrote a new one.
   */
  #differsFromRing({ sequence, json }: LoggedEvent): boolean {
    const seen = this.#ring[sequence - this.#ringFirst];
    return seen !== undefined && seen.json !== json;
  }

  #healGap(events: readonly LoggedEvent[]): void {
    this.#early = [...events];
    this.catchUp().then(
      () => this.#options.hooks.gapHealed?.(),
      // The store is unavailable: the next tail check reads again.
      () => undefined,
    );
  }

  async #heal(): Promise<void> {
    const { events, pageEvents } = this.#options;
    this.#early ??= [];
    try {
      for (;;) {
        // Read the newest seen event again, if there is one: `#take` compares it and detects a log
        // with another tail.
        const seen = this.#ring.length > 0 ? 1 : 0;
        const page = await events.read(this.responseId, this.last - seen, pageEvents + seen);
        if (page === undefined || (page.ended && page.last < this.last)) {
          this.lost = !this.ended;
          break;
        }
        this.#take(page.events);
        if (this.last >= page.last || page.events.length === 0 || this.lost) break;
      }
    } finally {
      // Live events that arrive between two steps here would join this finished read, and their gap
      // would never be read. Both fields change in one synchronous step, so the next gap starts a
      // new read.
      this.#healing = undefined;
      this.#mergeEarly();
    }
  }

  /**
   * Adds the events that arrived during a read and wakes the viewers. A gap that remains is read by
   * the next tail check.
   */
  #mergeEarly(): void {
    const early = this.#early ?? [];
    this.#early = undefined;
    early.sort((a, b) => a.sequence - b.sequence);
    this.#take(early);
    this.#wake();
  }

  #wake(): void {
    for (const viewer of this.#viewers) viewer.wake();
  }
}

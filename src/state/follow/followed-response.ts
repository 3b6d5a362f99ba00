/* One followed response on this replica: its subscription and its ring of newest events, shared by its viewers. */

import { isTerminal, type LoggedEvent } from '../../domain/event.js';
import { type Time } from '../../domain/time.js';
import { type EventLog, type LogHead, type LogPage } from '../event-log.js';
import { type Viewed, Viewer } from './viewer.js';

/** What an operator wants counted. */
export interface FollowHooks {
  /** Live events came with a hole in their numbers; the log filled it. */
  readonly gapHealed?: () => void;
  /** The tail check found events that no message had announced. */
  readonly tailFound?: () => void;
  /** A viewer came (1) or left (−1). */
  readonly viewers?: (by: 1 | -1) => void;
}

export interface FollowedResponseOptions {
  readonly log: EventLog;
  readonly responseId: string;
  readonly ringEvents: number;
  readonly pageEvents: number;
  readonly time: Time;
  readonly hooks: FollowHooks;
  readonly unused: () => void;
}

/** One followed response on this replica. */
export class FollowedResponse implements Viewed {
  readonly responseId: string;
  /** Resolves when past and live have met; false: there is no such log. */
  readonly ready: Promise<boolean>;
  readonly #options: FollowedResponseOptions;
  readonly #viewers = new Set<Viewer>();
  /** Contiguous; its first event is number `#ringFirst`. */
  #ring: LoggedEvent[] = [];
  #ringFirst = 0;
  #head: LogHead | undefined;
  /** Live events that came while a read was under way. */
  #early: LoggedEvent[] | undefined = [];
  #healing: Promise<void> | undefined;
  #unsubscribe: (() => void) | undefined;
  #stopped = false;
  last = -1;
  ended = false;
  lost = false;
  heardAt: number;
  /** Viewers that are being opened. */
  opening = 0;

  constructor(options: FollowedResponseOptions, after: number) {
    this.#options = options;
    this.responseId = options.responseId;
    this.heardAt = options.time.now();
    this.ready = this.#open(after);
    // Whoever opens awaits `ready`; the second opener may come too late to be the first to see its rejection.
    this.ready.catch(() => undefined);
  }

  get time(): Time {
    return this.#options.time;
  }

  get inUse(): boolean {
    return this.opening > 0 || this.#viewers.size > 0;
  }

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

  stop(): void {
    this.#stopped = true;
    this.#unsubscribe?.();
    this.#unsubscribe = undefined;
  }

  /** Events after `after` from the ring; undefined: the ring no longer reaches back. */
  fromRing(after: number, limit: number): readonly LoggedEvent[] | undefined {
    const start = after + 1 - this.#ringFirst;
    if (start < 0) return undefined;
    return start === 0 && this.#ring.length <= limit ? this.#ring.slice() : this.#ring.slice(start, start + limit);
  }

  /** A page of past events straight from the log; undefined: the log is gone. */
  fromLog(after: number): Promise<LogPage | undefined> {
    return this.#options.log.read(this.responseId, after, this.#options.pageEvents);
  }

  async checkTail(): Promise<void> {
    const before = this.last;
    await this.catchUp().catch(() => undefined);
    if (this.last > before) this.#options.hooks.tailFound?.();
  }

  /** Reads on from the log until its end is known here. Concurrent callers share one read. */
  async catchUp(): Promise<void> {
    this.#healing ??= this.#heal();
    await this.#healing;
  }

  async #open(after: number): Promise<boolean> {
    const { log, responseId, ringEvents } = this.#options;
    try {
      const unsubscribe = await log.subscribe(
        responseId,
        (events) => this.#onEvents(events),
        () => void this.ready.then(() => this.catchUp()).catch(() => undefined),
      );
      if (this.#stopped) unsubscribe();
      else this.#unsubscribe = unsubscribe;
      const page = await log.read(responseId, after, ringEvents);
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
      this.#release();
      return true;
    } catch (error) {
      this.lost = true;
      throw error;
    }
  }

  #onEvents(events: readonly LoggedEvent[]): void {
    this.heardAt = this.#options.time.now();
    if (this.#early !== undefined) {
      this.#early.push(...events);
      return;
    }
    if (this.#take(events)) this.#wake();
    else this.#healGap(events);
  }

  /** Adds what is new; false: a number is missing before one of them. */
  #take(events: readonly LoggedEvent[]): boolean {
    for (const event of events) {
      if (event.sequence <= this.last) {
        if (!this.ended && this.#saysOther(event)) this.lost = true;
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

  /** Was another event told under this number? Then its log lost its tail, and somebody else has gone on from there. */
  #saysOther({ sequence, json }: LoggedEvent): boolean {
    const told = this.#ring[sequence - this.#ringFirst];
    return told !== undefined && told.json !== json;
  }

  #healGap(events: readonly LoggedEvent[]): void {
    this.#early = [...events];
    this.catchUp().then(
      () => this.#options.hooks.gapHealed?.(),
      // It waits for the next tail check.
      () => undefined,
    );
  }

  async #heal(): Promise<void> {
    const { log, pageEvents } = this.#options;
    this.#early ??= [];
    try {
      for (;;) {
        // With the newest event that was told, which must stand there as it was.
        const seen = this.#ring.length > 0 ? 1 : 0;
        const page = await log.read(this.responseId, this.last - seen, pageEvents + seen);
        if (page === undefined || (page.ended && page.last < this.last)) {
          this.lost = !this.ended;
          break;
        }
        this.#take(page.events);
        if (this.last >= page.last || page.events.length === 0 || this.lost) break;
      }
    } finally {
      // In one step, so that a gap seen next starts a read of its own.
      this.#healing = undefined;
      this.#release();
    }
  }

  /** Lets the early events in and wakes the viewers. A gap that is still there waits for the next tail check. */
  #release(): void {
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

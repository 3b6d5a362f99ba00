/*
 * A viewer: one reader of a response, a cursor and never a queue. Takes events from the ring of a
 * followed response, and reads the log for events that the ring no longer holds. Knows neither its
 * reader nor how the response is followed (follow-hub.ts).
 */

import { type LoggedEvent } from '../../domain/event.js';
import { type Time } from '../../domain/time.js';
import { type LogHead, type LogPage } from '../event-log.js';

/** Whether a viewer may receive more events: `ended` and `lost` viewers receive none. */
export type ViewerState = 'following' | 'ended' | 'lost';

/** The response that a viewer reads, as far as the viewer needs it. */
export interface Viewed {
  /** Number of the newest known event. */
  readonly last: number;
  /** Whether the newest known event is the terminal one. */
  readonly ended: boolean;
  /** Whether neither more events nor a terminal event will arrive. */
  readonly lost: boolean;
  readonly time: Time;
  /** Returns up to `limit` events after `after`, or undefined if the ring starts later. */
  fromRing(after: number, limit: number): readonly LoggedEvent[] | undefined;
  /**
   * Reads a page of past events.
   * @returns undefined if the log is gone.
   * @throws SluiceError `state_unavailable`
   */
  fromLog(after: number): Promise<LogPage | undefined>;
  leave(viewer: Viewer): void;
}

/** A cursor over the ring of a followed response, or over its log where the ring starts later. */
export class Viewer {
  readonly head: LogHead;
  readonly wake: () => void;
  readonly #viewed: Viewed;
  #cursor: number;
  #page: readonly LoggedEvent[] = [];
  #loading = false;
  #lost = false;
  #closed = false;

  /** Called by FollowedResponse only. */
  constructor(viewed: Viewed, head: LogHead, after: number, wake: () => void) {
    this.#viewed = viewed;
    this.head = head;
    this.#cursor = after;
    this.wake = wake;
  }

  /** Number of the last event taken. */
  get cursor(): number {
    return this.#cursor;
  }

  /** Number of the newest known event. */
  get last(): number {
    return this.#viewed.last;
  }

  /** `ended`: the terminal event was taken. `lost`: the log was lost before that. */
  get state(): ViewerState {
    if (this.#viewed.ended && this.#cursor >= this.#viewed.last) return 'ended';
    return this.#lost || this.#viewed.lost ? 'lost' : 'following';
  }

  /**
   * Returns up to `limit` events after the cursor and moves the cursor past them. Never waits: if
   * it returns none, `wake` is called when there may be some.
   */
  take(limit: number): readonly LoggedEvent[] {
    if (this.#closed || this.#lost || this.#cursor >= this.#viewed.last) return [];
    let events = this.#fromPage(limit) ?? this.#viewed.fromRing(this.#cursor, limit);
    if (events === undefined) {
      this.#load();
      events = [];
    }
    const newest = events.at(-1);
    if (newest !== undefined) this.#cursor = newest.sequence;
    return events;
  }

  /** Moves the cursor forward to `sequence`, over events that a snapshot has covered. */
  skipTo(sequence: number): void {
    if (sequence > this.#cursor) this.#cursor = sequence;
  }

  close(): void {
    this.#closed = true;
    this.#viewed.leave(this);
  }

  #fromPage(limit: number): readonly LoggedEvent[] | undefined {
    const first = this.#page[0];
    if (first === undefined) return undefined;
    const start = this.#cursor + 1 - first.sequence;
    const events = start < 0 ? [] : this.#page.slice(start, start + limit);
    if (events.length > 0) return events;
    this.#page = [];
    return undefined;
  }

  #load(): void {
    if (this.#loading) return;
    this.#loading = true;
    const after = this.#cursor;
    this.#viewed.fromLog(after).then(
      (page) => {
        const lostItsTail = page !== undefined && page.last <= after && !page.ended;
        if (lostItsTail) return this.#loadLater();
        this.#loading = false;
        // The log is gone, or starts after the cursor: this viewer cannot continue.
        if (page?.events[0]?.sequence === after + 1) this.#page = page.events;
        else this.#lost = true;
        if (!this.#closed) this.wake();
      },
      // The store is unavailable. Read again later; the gateway closes connections if the outage is
      // long.
      () => this.#loadLater(),
    );
  }

  #loadLater(): void {
    this.#viewed.time.after(LOAD_AGAIN_MS, () => {
      this.#loading = false;
      if (!this.#closed) this.wake();
    });
  }
}

/** Pause before a failed read of the log is repeated, in milliseconds. */
const LOAD_AGAIN_MS = 250;

/**
 * Reads a response as a stream of non-empty batches. Ends after the terminal event, when `signal`
 * aborts, or when the log is lost: check `viewer.state`.
 */
export async function* batches(
  open: (wake: () => void) => Promise<Viewer>,
  signal: AbortSignal,
): AsyncGenerator<readonly LoggedEvent[]> {
  let wake = (): void => undefined;
  const viewer = await open(() => wake());
  const onAbort = (): void => wake();
  signal.addEventListener('abort', onAbort);
  try {
    while (!signal.aborted) {
      const events = viewer.take(256);
      if (events.length > 0) {
        yield events;
        continue;
      }
      if (viewer.state !== 'following') return;
      await new Promise<void>((resolve) => (wake = resolve));
    }
  } finally {
    signal.removeEventListener('abort', onAbort);
    viewer.close();
  }
}

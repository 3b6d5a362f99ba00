/*
 * One reader of a response: a cursor, never a queue. Takes what is at hand of a followed response, and goes back to its log for what is not.
 * Knows neither who reads nor how the response is followed (follow.ts).
 */

import { type LoggedEvent } from '../../domain/event.js';
import { type Time } from '../../domain/time.js';
import { type LogHead, type LogPage } from '../event-log.js';

/** How a viewer that can get no more events learns of it. */
export type ViewerState = 'following' | 'ended' | 'lost';

/** What a viewer needs of the response that it reads. */
export interface Viewed {
  /** Number of the newest event known here. */
  readonly last: number;
  /** The newest event is the terminal one. */
  readonly ended: boolean;
  /** There will be no more events, and no end. */
  readonly lost: boolean;
  readonly time: Time;
  /** Up to `limit` events after `after` that are at hand; undefined: they no longer reach back that far. */
  fromRing(after: number, limit: number): readonly LoggedEvent[] | undefined;
  /** A page of past events from the log; undefined: the log is gone. @throws SluiceError `state_unavailable` */
  fromLog(after: number): Promise<LogPage | undefined>;
  leave(viewer: Viewer): void;
}

/** One reader of a response: a cursor over the events at hand, or over the log where they no longer reach back. */
export class Viewer {
  readonly head: LogHead;
  readonly wake: () => void;
  readonly #viewed: Viewed;
  #cursor: number;
  #page: readonly LoggedEvent[] = [];
  #loading = false;
  #lost = false;
  #closed = false;

  /** Made by FollowHub only. */
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

  /** Number of the newest event known here. */
  get last(): number {
    return this.#viewed.last;
  }

  /** `ended`: the terminal event was taken. `lost`: the log went away before that. */
  get state(): ViewerState {
    if (this.#viewed.ended && this.#cursor >= this.#viewed.last) return 'ended';
    return this.#lost || this.#viewed.lost ? 'lost' : 'following';
  }

  /** Up to `limit` events after the cursor that are at hand, and moves the cursor past them. Empty: none now; `wake` will be called. */
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

  /** Moves the cursor forward over events that a snapshot has told. */
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
        // A log that is gone, or no longer reaches back to the cursor, has nothing to tell it.
        if (page?.events[0]?.sequence === after + 1) this.#page = page.events;
        else this.#lost = true;
        if (!this.#closed) this.wake();
      },
      // The store is away for now; whoever waits too long is told by the edge.
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

const LOAD_AGAIN_MS = 250;

/** The same as a stream of batches, each non-empty: ends after the terminal event, or when `signal` aborts or the log is lost (look at `viewer.state`). */
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

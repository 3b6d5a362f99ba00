/*
 * When waiting deltas are written. One clock for all turns of a replica: with few turns every delta goes at once, with many they
 * wait for a common tick, so that one wake-up writes for all. Knows nothing of logs or sockets.
 */

import { systemTime, type Time } from '../domain/time.js';

export interface FlushClockOptions {
  /** Longest time a delta waits, in milliseconds; 0 turns batching off. */
  readonly maxWindowMs: number;
  readonly time?: Time;
}

/** Up to this many running turns a delta does not wait. */
const IDLE_TURNS = 4;

/** So many streams are read and written at a time. */
const SLICE_STREAMS = 16;

export class FlushClock {
  readonly #maxWindowMs: number;
  readonly #time: Time;
  #gathered: (() => void)[] = [];
  /** Those of `gathered` that the running tick has not come to yet. */
  #reading: (() => void)[] = [];
  #due: (() => void)[] = [];
  #ticking = false;
  #tickedAt = 0;
  /** Turns that stream now. */
  turns = 0;

  constructor(options: FlushClockOptions) {
    this.#maxWindowMs = options.maxWindowMs;
    this.#time = options.time ?? systemTime;
  }

  /** How long a delta waits now at most: one millisecond a running turn, up to the greatest window. */
  get windowMs(): number {
    return this.turns <= IDLE_TURNS ? 0 : Math.min(this.#maxWindowMs, this.turns);
  }

  /** Calls `flush` once, at the next tick. */
  schedule(flush: () => void): void {
    this.#due.push(flush);
    this.#start();
  }

  /**
   * The same for text that has not been read yet: `read` is called at the next tick, just before what is scheduled until then and by the
   * turns that it wakes, so that text waits once, and is read, checked and joined a tick, not a delta. At once where nothing waits now.
   */
  gather(read: () => void): void {
    if (this.windowMs === 0) {
      read();
      return;
    }
    this.#gathered.push(read);
    this.#start();
  }

  #start(): void {
    if (this.#ticking) return;
    this.#ticking = true;
    const windowMs = this.windowMs;
    // From tick to tick, not from the end of one's work: that, too, is time in which deltas wait.
    const sinceTickMs = this.#time.now() - this.#tickedAt;
    if (windowMs === 0) this.#time.soon(this.#tick);
    else this.#time.after(Math.max(1, sinceTickMs < windowMs ? windowMs - sinceTickMs : windowMs), this.#tick);
  }

  readonly #tick = (): void => {
    this.#tickedAt = this.#time.now();
    this.#reading = this.#gathered;
    this.#gathered = [];
    this.#slice();
  };

  /** A part of a tick's work: between two of them the event loop sees to whatever else has come. */
  #slice(): void {
    const slice = this.#reading.splice(0, SLICE_STREAMS);
    if (slice.length === 0) {
      this.#flush();
      return;
    }
    // After the turns that this wakes have gone on: what this round of the event loop reads is handed to them at its end.
    this.#time.soon(() => this.#time.soon(this.#flush));
    for (const read of slice) read();
  }

  readonly #flush = (): void => {
    const due = this.#due;
    this.#due = [];
    for (const flush of due) flush();
    if (this.#reading.length > 0) {
      this.#slice();
      return;
    }
    this.#ticking = false;
    if (this.#gathered.length + this.#due.length > 0) this.#start();
  };
}

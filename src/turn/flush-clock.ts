/*
 * Decides when deltas are written. All turns of a replica share one clock. With few turns each
 * delta is written at once. With many turns deltas wait for a common tick, so that one wake-up
 * writes for all turns. Knows nothing of logs or sockets.
 */

import { systemTime, type Time } from '../domain/time.js';

export interface FlushClockOptions {
  /** Longest time a delta waits, in milliseconds; 0 turns batching off. */
  readonly maxWindowMs: number;
  readonly time?: Time;
}

/** Up to this many running turns deltas do not wait. */
const IDLE_TURNS = 4;

/** Number of streams that are read and written before the event loop runs other work. */
const SLICE_STREAMS = 16;

export class FlushClock {
  readonly #maxWindowMs: number;
  readonly #time: Time;
  #gathered: (() => void)[] = [];
  /** Entries of `gathered` that the running tick has not read yet. */
  #reading: (() => void)[] = [];
  #due: (() => void)[] = [];
  #ticking = false;
  #tickedAt = 0;
  /** Number of running turns. */
  turns = 0;

  constructor(options: FlushClockOptions) {
    this.#maxWindowMs = options.maxWindowMs;
    this.#time = options.time ?? systemTime;
  }

  /**
   * Longest time that a delta waits now, in milliseconds: one for each running turn, up to the
   * maximum window.
   */
  get windowMs(): number {
    return this.turns <= IDLE_TURNS ? 0 : Math.min(this.#maxWindowMs, this.turns);
  }

  /** Calls `flush` once, at the next tick. */
  schedule(flush: () => void): void {
    this.#due.push(flush);
    this.#start();
  }

  /**
   * Calls `read` once at the next tick, before the flushes that are scheduled until then and by the
   * turns that it wakes. Text thus waits once, and is read, checked and joined once a tick instead
   * of once a delta.
   * @returns false if deltas do not wait now; `read` is not called then
   */
  scheduleRead(read: () => void): boolean {
    if (this.windowMs === 0) return false;
    this.#gathered.push(read);
    this.#start();
    return true;
  }

  #start(): void {
    if (this.#ticking) return;
    this.#ticking = true;
    const windowMs = this.windowMs;
    // Measure from tick to tick: deltas also wait while a tick does its work.
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

  /** Does a part of a tick's work. Between two parts the event loop handles other input. */
  #slice(): void {
    const slice = this.#reading.splice(0, SLICE_STREAMS);
    if (slice.length === 0) {
      this.#flush();
      return;
    }
    // Turns that these reads wake run at the end of this round of the event loop. Two rounds later
    // their deltas are scheduled, so one flush writes them all.
    this.#time.soon(this.#flushSoon);
    for (const read of slice) read();
  }

  readonly #flushSoon = (): void => this.#time.soon(this.#flush);

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

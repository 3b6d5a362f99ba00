/*
 * When waiting deltas are written. One clock for all turns of a replica: with few turns every delta goes at once, with many they
 * wait for a common tick, so that one wake-up writes for all. Knows nothing of logs or sockets.
 */

export interface FlushClockOptions {
  /** Longest time a delta waits, in milliseconds; 0 turns batching off. */
  readonly maxWindowMs: number;
}

/** Up to this many running turns a delta does not wait. */
const IDLE_TURNS = 4;

export class FlushClock {
  readonly #maxWindowMs: number;
  #due: (() => void)[] = [];
  #ticking = false;
  /** Turns that stream now. */
  turns = 0;

  constructor(options: FlushClockOptions) {
    this.#maxWindowMs = options.maxWindowMs;
  }

  /** How long a delta waits now at most: one millisecond a running turn, up to the greatest window. */
  get windowMs(): number {
    return this.turns <= IDLE_TURNS ? 0 : Math.min(this.#maxWindowMs, this.turns);
  }

  /** Calls `flush` once, at the next tick. */
  schedule(flush: () => void): void {
    this.#due.push(flush);
    if (this.#ticking) return;
    this.#ticking = true;
    const windowMs = this.windowMs;
    if (windowMs === 0) setImmediate(() => this.#tick());
    else setTimeout(() => this.#tick(), windowMs);
  }

  #tick(): void {
    this.#ticking = false;
    const due = this.#due;
    this.#due = [];
    for (const flush of due) flush();
  }
}

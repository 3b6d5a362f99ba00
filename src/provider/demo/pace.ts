/*
 * Waits at a steady pace until a signal aborts. Adds one abort listener for each stream, not one
 * for each delta.
 */

export class Pace {
  #due: number;
  #sinceBreath = 0;
  #timer: NodeJS.Timeout | undefined;
  #wake: (() => void) | undefined;
  readonly #onAbort = (): void => this.#wake?.();

  constructor(
    readonly intervalMs: number,
    readonly signal: AbortSignal,
  ) {
    this.#due = performance.now();
    signal.addEventListener('abort', this.#onAbort);
  }

  /**
   * Resolves when the next delta is due. Measured from the last due time, so that a busy event loop
   * delays deltas but does not lower their rate.
   * @throws the signal's reason
   */
  async delta(): Promise<void> {
    this.#due = Math.max(this.#due + this.intervalMs, performance.now() - 1000);
    const waitMs = this.#due - performance.now();
    // Timers count whole milliseconds, so a delta that is due within half a millisecond is due now.
    if (waitMs > 0.5) await this.#sleep(waitMs);
    // Yields to the event loop now and then: deltas without a pause must not block other streams.
    else if (++this.#sinceBreath % 64 === 0) await this.#sleep(0);
    this.signal.throwIfAborted();
  }

  /**
   * Waits for `ms` milliseconds. Infinity: until the signal aborts.
   * @throws the signal's reason
   */
  async wait(ms: number): Promise<void> {
    this.signal.throwIfAborted();
    await this.#sleep(ms);
    this.signal.throwIfAborted();
    this.#due = performance.now();
  }

  /** Releases the signal and the timer. */
  end(): void {
    this.signal.removeEventListener('abort', this.#onAbort);
    clearTimeout(this.#timer);
  }

  #sleep(ms: number): Promise<void> {
    if (this.signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      this.#wake = () => {
        clearTimeout(this.#timer);
        resolve();
      };
      if (ms !== Infinity) this.#timer = setTimeout(resolve, ms);
    });
  }
}

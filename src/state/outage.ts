/* How long the state store has been away. A short outage is waited out; a long one is told to those who wait. */

import { systemTime, type Time } from '../domain/time.js';

export class Outage {
  readonly #longMs: number;
  readonly #time: Time;
  readonly #listeners = new Set<() => void>();
  #stopWaiting: (() => void) | undefined;
  #long = false;

  /** `longMs`: from when on an outage is long, in milliseconds. */
  constructor(longMs: number, time: Time = systemTime) {
    this.#longMs = longMs;
    this.#time = time;
  }

  /** True while the store has been away for long. */
  get long(): boolean {
    return this.#long;
  }

  /** Calls `listener` each time an outage becomes long. */
  onLong(listener: () => void): void {
    this.#listeners.add(listener);
  }

  begin(): void {
    this.#stopWaiting ??= this.#time.after(this.#longMs, () => {
      this.#long = true;
      for (const listener of this.#listeners) listener();
    });
  }

  end(): void {
    this.#stopWaiting?.();
    this.#stopWaiting = undefined;
    this.#long = false;
  }

  close(): void {
    this.end();
    this.#listeners.clear();
  }
}

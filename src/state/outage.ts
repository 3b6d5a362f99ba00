/*
 * Tracks an outage of the state store. Nothing happens in a short outage. When it becomes long, the
 * listeners are notified.
 */

import { systemTime, type Time } from '../domain/time.js';

export class Outage {
  readonly #longMs: number;
  readonly #time: Time;
  readonly #listeners = new Set<() => void>();
  #stopWaiting: (() => void) | undefined;
  #long = false;

  /** @param longMs duration in milliseconds after which an outage is long */
  constructor(longMs: number, time: Time = systemTime) {
    this.#longMs = longMs;
    this.#time = time;
  }

  /** Whether the store has been unavailable for longer than `longMs`. */
  get long(): boolean {
    return this.#long;
  }

  /** Calls `listener` each time an outage becomes long. */
  onLong(listener: () => void): void {
    this.#listeners.add(listener);
  }

  /** Starts an outage; no effect if one has started already. */
  start(): void {
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

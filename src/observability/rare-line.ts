/*
 * Bounds the lines of the log about something that can happen often: counts each occurrence, and
 * lets one line through in a while. The line reports the occurrences since the one before it.
 */

import { systemTime, type Time } from '../domain/time.js';

export class RareLine {
  readonly #everyMs: number;
  readonly #time: Time;
  #unreported = 0;
  /** By the monotonic clock, in milliseconds. */
  #silentUntil = -Infinity;

  /** @param everyMs shortest time between two lines, in milliseconds */
  constructor(everyMs: number, time: Time = systemTime) {
    this.#everyMs = everyMs;
    this.#time = time;
  }

  /**
   * Counts occurrences.
   * @returns how many to report in a line now, or undefined if it is too early for a line
   */
  count(occurrences = 1): number | undefined {
    this.#unreported += occurrences;
    const now = this.#time.now();
    if (now < this.#silentUntil) return undefined;
    const reported = this.#unreported;
    this.#unreported = 0;
    this.#silentUntil = now + this.#everyMs;
    return reported;
  }
}

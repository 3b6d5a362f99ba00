/* How many runs of a candidate a replica may start in an hour, and what they may cost. */

import { type Time } from '../domain/time.js';

const HOUR_MS = 3_600_000;

export class ShadowBudget {
  readonly #limits: { readonly maxPerHour: number; readonly costPerHourUsd: number };
  readonly #time: Pick<Time, 'now'>;
  #since: number;
  #runs = 0;
  #costUsd = 0;

  constructor(limits: { readonly maxPerHour: number; readonly costPerHourUsd: number }, time: Pick<Time, 'now'>) {
    this.#limits = limits;
    this.#time = time;
    this.#since = time.now();
  }

  /** Takes a run. @returns false if the runs or the cost of this hour are used up */
  take(): boolean {
    this.#turnOver();
    if (this.#runs >= this.#limits.maxPerHour || this.#costUsd >= this.#limits.costPerHourUsd) return false;
    this.#runs += 1;
    return true;
  }

  /** Adds the cost of an ended run. */
  spend(costUsd: number): void {
    this.#turnOver();
    if (costUsd > 0) this.#costUsd += costUsd;
  }

  #turnOver(): void {
    const now = this.#time.now();
    if (now - this.#since < HOUR_MS) return;
    this.#since = now;
    this.#runs = 0;
    this.#costUsd = 0;
  }
}

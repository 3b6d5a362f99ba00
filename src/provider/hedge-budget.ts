/*
 * Bounds how many calls are made beside another one, so that a slow provider does not double the
 * total cost.
 */

/** Hedges that may go at once before the ratio binds. */
const BURST = 10;

export class HedgeBudget {
  readonly #ratio: number;
  #left: number;

  /** @param ratio hedges for each call, from 0 to 1; 0: none at all */
  constructor(ratio: number) {
    this.#ratio = ratio;
    this.#left = ratio === 0 ? 0 : BURST;
  }

  /** A call was made. */
  called(): void {
    this.#left = Math.min(BURST, this.#left + this.#ratio);
  }

  /** @returns whether one call may be made beside another now */
  take(): boolean {
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }
}

/*
 * Bounds the share of hedges (calls made beside a silent one), so that a slow provider does not
 * double the total cost.
 */

/** Number of hedges allowed at once before the ratio applies. */
const BURST = 10;

export class HedgeBudget {
  readonly #ratio: number;
  #left: number;

  /** @param ratio hedges for each call, from 0 to 1; 0: none at all */
  constructor(ratio: number) {
    this.#ratio = ratio;
    this.#left = ratio === 0 ? 0 : BURST;
  }

  /** Counts a call: every call adds `ratio` hedges to the budget. */
  called(): void {
    this.#left = Math.min(BURST, this.#left + this.#ratio);
  }

  /**
   * Takes one hedge.
   * @returns whether one was left
   */
  take(): boolean {
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }
}

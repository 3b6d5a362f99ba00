/*
 * Whether this replica is draining: one flag, shared by admission, the gateway and readiness. Knows
 * nothing of signals.
 */

export class DrainState {
  #draining = false;
  readonly #listeners = new Set<() => void>();

  get draining(): boolean {
    return this.#draining;
  }

  /**
   * Starts the drain: no turn is admitted any more. Cannot be undone. Later calls have no effect.
   */
  startDraining(): void {
    if (this.#draining) return;
    this.#draining = true;
    for (const listener of this.#listeners) listener();
    this.#listeners.clear();
  }

  /**
   * Calls `listener` once when the drain begins, or at once if it has begun.
   * @returns a function that removes the listener
   */
  onDraining(listener: () => void): () => void {
    if (this.#draining) {
      listener();
      return () => undefined;
    }
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

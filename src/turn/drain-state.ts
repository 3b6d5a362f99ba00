/* Whether this replica is leaving: the one bit that admission, the edges and readiness share. Knows nothing of signals. */

export class DrainState {
  #draining = false;
  readonly #listeners = new Set<() => void>();

  get draining(): boolean {
    return this.#draining;
  }

  /** From here on no turn is taken. There is no way back; a second call does nothing. */
  begin(): void {
    if (this.#draining) return;
    this.#draining = true;
    for (const listener of this.#listeners) listener();
    this.#listeners.clear();
  }

  /** Calls `listener` once, when draining begins (at once where it already has). Returns what takes it back. */
  onBegin(listener: () => void): () => void {
    if (this.#draining) {
      listener();
      return () => undefined;
    }
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

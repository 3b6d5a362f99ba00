/*
 * Runs asynchronous work that must not overlap: one piece after the other for each key, in the
 * order of the calls.
 */

export class InOrder {
  readonly #last = new Map<string, Promise<void>>();

  /**
   * Runs `work` after the work queued before it under this key has settled, or at once if there is
   * none. Settles like `work`.
   */
  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key);
    const { promise: settled, resolve } = Promise.withResolvers<void>();
    this.#last.set(key, settled);
    try {
      if (before !== undefined) await before;
      return await work();
    } finally {
      if (this.#last.get(key) === settled) this.#last.delete(key);
      resolve();
    }
  }
}

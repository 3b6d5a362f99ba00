/* Asynchronous work that must not overlap, by what it is about: for each key one after the other, in the order of the calls. */

export class InOrder {
  readonly #last = new Map<string, Promise<void>>();

  /** Runs `work` when the work queued before under this key has settled; at once where there is none. Settles like `work`. */
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

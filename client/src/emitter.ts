/*
 * Named events with typed values, and a promise of the next event. A handler that throws does not
 * affect the others.
 */

export class Emitter<Events extends object> {
  readonly #handlers = new Map<keyof Events, Set<(value: never) => void>>();
  #wake: () => void = () => undefined;
  #next: Promise<void> | null = null;

  /** Resolves after the next event of any name. */
  protected get next(): Promise<void> {
    return (this.#next ??= new Promise((resolve) => (this.#wake = resolve)));
  }

  on<K extends keyof Events>(name: K, handler: (value: Events[K]) => void): () => void {
    const handlers = this.#handlers.get(name) ?? new Set();
    this.#handlers.set(name, handlers.add(handler));
    return () => handlers.delete(handler);
  }

  protected emit<K extends keyof Events>(name: K, value: Events[K]): void {
    for (const handler of [...(this.#handlers.get(name) ?? [])]) {
      try {
        // Handlers of `name` were registered with exactly this type.
        (handler as (value: Events[K]) => void)(value);
      } catch (error) {
        setTimeout(() => {
          throw error;
        });
      }
    }
    this.#next = null;
    this.#wake();
  }
}

/* How long the state store has been away. A short outage is waited out; a long one is told to those who wait. */

export class Outage {
  readonly #longMs: number;
  readonly #listeners = new Set<() => void>();
  #timer: NodeJS.Timeout | undefined;
  #long = false;

  /** `longMs`: from when on an outage is long, in milliseconds. */
  constructor(longMs: number) {
    this.#longMs = longMs;
  }

  /** True while the store has been away for long. */
  get long(): boolean {
    return this.#long;
  }

  /** Calls `listener` each time an outage becomes long. */
  onLong(listener: () => void): void {
    this.#listeners.add(listener);
  }

  begin(): void {
    this.#timer ??= setTimeout(() => {
      this.#long = true;
      for (const listener of this.#listeners) listener();
    }, this.#longMs).unref();
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#long = false;
  }

  close(): void {
    this.end();
    this.#listeners.clear();
  }
}

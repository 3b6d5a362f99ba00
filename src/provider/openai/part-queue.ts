/*
 * Parts between who pushes them, many at once, and who pulls them one by one. A pull that finds a part costs one settled promise
 * and nothing else. Knows no network.
 */

import { type ProviderPart } from '../provider.js';

type Pull = PromiseWithResolvers<IteratorResult<ProviderPart, undefined>>;

export class PartQueue {
  #parts: ProviderPart[] = [];
  #at = 0;
  #outcome: { readonly thrown?: unknown; readonly threw: boolean } | undefined;
  #pull: Pull | undefined;

  get size(): number {
    return this.#parts.length - this.#at;
  }

  push(parts: readonly ProviderPart[]): void {
    if (this.#outcome !== undefined) return;
    for (const part of parts) this.#parts.push(part);
    this.#serve();
  }

  /** Ends it after what is queued. The first end counts. */
  end(): void {
    this.#outcome ??= { threw: false };
    this.#serve();
  }

  /** Throws after what is queued; `atOnce`: in its place. */
  fail(thrown: unknown, atOnce = false): void {
    if (this.#outcome !== undefined && !atOnce) return;
    this.#outcome = { thrown, threw: true };
    if (atOnce) this.clear();
    this.#serve();
  }

  clear(): void {
    this.#parts = [];
    this.#at = 0;
  }

  /** One pull at a time, as `for await` does it. */
  next(): Promise<IteratorResult<ProviderPart, undefined>> {
    const part = this.#take();
    if (part !== undefined) return Promise.resolve({ value: part, done: false });
    const pull: Pull = Promise.withResolvers();
    this.#pull = pull;
    this.#serve();
    return pull.promise;
  }

  #serve(): void {
    const pull = this.#pull;
    if (pull === undefined) return;
    const part = this.#take();
    if (part !== undefined) pull.resolve({ value: part, done: false });
    else if (this.#outcome?.threw) {
      // Handed on as it is: an abort's reason may be anything. It is thrown once; after it there is nothing.
      pull.reject(this.#outcome.thrown);
      this.#outcome = { threw: false };
    } else if (this.#outcome !== undefined) pull.resolve({ value: undefined, done: true });
    else return;
    this.#pull = undefined;
  }

  #take(): ProviderPart | undefined {
    const part = this.#parts[this.#at];
    if (part === undefined) return undefined;
    if (++this.#at === this.#parts.length) this.clear();
    return part;
  }
}

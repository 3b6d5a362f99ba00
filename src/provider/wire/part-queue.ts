/*
 * A queue of parts. The stream pushes many at once, the reader pulls one by one. Texts that arrive
 * together are delivered as one part. Knows no network.
 */

import { type ProviderPart } from '../provider.js';

type Pull = PromiseWithResolvers<IteratorResult<ProviderPart, undefined>>;

export class PartQueue {
  #parts: ProviderPart[] = [];
  #at = 0;
  #outcome: { readonly thrown?: unknown; readonly threw: boolean } | undefined;
  #pull: Pull | undefined;
  #serving = false;
  /** Whether the first text was delivered; it is delivered at once. */
  #spoken = false;
  /** Number of texts that were joined to the one before them. */
  #joined = 0;

  /** Number of parts that were pushed and not pulled; joined texts count separately. */
  get size(): number {
    return this.#parts.length - this.#at + this.#joined;
  }

  push(parts: readonly ProviderPart[]): void {
    if (this.#outcome !== undefined) return;
    for (const part of parts) this.#add(part);
    if (this.#pull === undefined || this.#serving) return;
    this.#serving = true;
    // A TLS connection emits each record separately. Deliver everything from one round of the event
    // loop together.
    if (this.#spoken) setImmediate(this.#deliver);
    else queueMicrotask(this.#deliver);
  }

  readonly #deliver = (): void => {
    this.#serving = false;
    this.#serve();
  };

  #add(part: ProviderPart): void {
    const last = this.#parts.at(-1);
    if ((part.type === 'text' || part.type === 'reasoning') && last?.type === part.type) {
      this.#parts[this.#parts.length - 1] = { type: part.type, text: last.text + part.text };
      this.#joined += 1;
    } else this.#parts.push(part);
  }

  /** Ends the queue after its remaining parts. Only the first end has an effect. */
  end(): void {
    this.#outcome ??= { threw: false };
    this.#serve();
  }

  /** Throws after the remaining parts, or instead of them if `atOnce` is set. */
  fail(thrown: unknown, atOnce = false): void {
    if (this.#outcome !== undefined && !atOnce) return;
    this.#outcome = { thrown, threw: true };
    if (atOnce) this.clear();
    this.#serve();
  }

  clear(): void {
    this.#parts = [];
    this.#at = 0;
    this.#joined = 0;
  }

  /** Supports one pull at a time, as in `for await`. */
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
      // Rejects with the value unchanged, since the reason of an abort may be anything. Rejects
      // once; later pulls return done.
      pull.reject(this.#outcome.thrown);
      this.#outcome = { threw: false };
    } else if (this.#outcome !== undefined) pull.resolve({ value: undefined, done: true });
    else return;
    this.#pull = undefined;
  }

  #take(): ProviderPart | undefined {
    const part = this.#parts[this.#at];
    if (part === undefined) return undefined;
    if (part.type === 'text' || part.type === 'reasoning') this.#spoken = true;
    if (++this.#at === this.#parts.length) this.clear();
    return part;
  }
}

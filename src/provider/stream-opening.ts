/*
 * The iterator that every wrapper of a provider is built on: until the first delta a wrapper may decide, retry or choose; from then on
 * the stream is handed through untouched, so that wrappers cost nothing a delta however many there are.
 */

import { type ProviderPart } from './provider.js';

export type PartResult = IteratorResult<ProviderPart, undefined>;

/** An answer that has begun: what was read of it, and the iterator that has the rest. */
export interface Begun {
  /** Up to and including the first delta. */
  readonly parts: readonly ProviderPart[];
  readonly rest: AsyncIterator<ProviderPart>;
  /** Called once when the rest ends: with what it threw, or with undefined. Never called where the reader goes away first. */
  readonly onEnd?: (thrown: { readonly error: unknown } | undefined) => void;
  /** Called where the reader goes away before the end. */
  readonly onReturn?: () => void;
}

/** Whether a part shows that the model has begun to answer. Parts before it show only that the provider accepted the call. */
export function isFirstWord(part: ProviderPart): boolean {
  return part.type !== 'start' && part.type !== 'usage';
}

/** Reads an answer up to its first delta. Throws what the stream throws; a stream without any delta is returned as it ended. */
export async function begin(stream: AsyncIterable<ProviderPart>): Promise<Begun> {
  const rest = stream[Symbol.asyncIterator]();
  const parts: ProviderPart[] = [];
  for (;;) {
    const result = await rest.next();
    if (result.done) return { parts, rest };
    parts.push(result.value);
    if (isFirstWord(result.value)) return { parts, rest };
  }
}

/** A stream that begins as `start` says and then is what that returned. `start` is called with the first pull. */
export function handedStream(start: () => Promise<Begun>): AsyncIterable<ProviderPart> {
  return { [Symbol.asyncIterator]: () => new HandedStream(start) };
}

class HandedStream implements AsyncIterator<ProviderPart, undefined> {
  readonly #start: () => Promise<Begun>;
  #begun: Begun | undefined;
  #held = 0;
  #closed = false;
  #ended = false;

  constructor(start: () => Promise<Begun>) {
    this.#start = start;
  }

  next(): Promise<PartResult> {
    const begun = this.#begun;
    if (begun === undefined) return this.#closed ? DONE : this.#open();
    const held = begun.parts[this.#held];
    if (held !== undefined) {
      this.#held++;
      return Promise.resolve({ value: held, done: false });
    }
    // The cast: what an iterator returns at its end has no meaning here.
    const result = begun.rest.next() as Promise<PartResult>;
    if (begun.onEnd !== undefined) result.then(this.#onResult, this.#onThrown);
    return result;
  }

  async return(): Promise<PartResult> {
    const begun = this.#begun;
    this.#closed = true;
    if (begun !== undefined && !this.#ended) {
      this.#ended = true;
      begun.onReturn?.();
    }
    await begun?.rest.return?.();
    return { value: undefined, done: true };
  }

  async #open(): Promise<PartResult> {
    this.#closed = true;
    this.#begun = await this.#start();
    return this.next();
  }

  readonly #onResult = (result: PartResult): void => {
    if (result.done) this.#end(undefined);
  };
  readonly #onThrown = (error: unknown): void => this.#end({ error });

  #end(thrown: { readonly error: unknown } | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#begun?.onEnd?.(thrown);
  }
}

const DONE: Promise<PartResult> = Promise.resolve({ value: undefined, done: true });

/** The same parts for a reader that leaves early. Errors of the provider after that are ignored. */
export function ignoreCloseErrors(parts: AsyncIterable<ProviderPart>): AsyncIterable<ProviderPart> {
  return {
    [Symbol.asyncIterator]: () => {
      const inner = parts[Symbol.asyncIterator]();
      const leave = async (): Promise<void> => void (await inner.return?.());
      return {
        next: () => inner.next(),
        return: () => {
          leave().catch(() => undefined);
          return DONE;
        },
      };
    },
  };
}

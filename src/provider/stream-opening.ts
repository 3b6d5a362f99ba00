/*
 * The opening of a provider's stream, and the iterator that every wrapper of a provider uses. Up to
 * the first delta a wrapper may retry or choose another provider. After it the stream is passed
 * through unchanged, so that no wrapper adds a cost per delta.
 */

import { type ProviderPart } from './provider.js';

export type PartResult = IteratorResult<ProviderPart, undefined>;

/** The opening of a stream: the parts that were read, and the iterator of the rest. */
export interface StreamOpening {
  /** The parts up to and including the first delta. */
  readonly parts: readonly ProviderPart[];
  readonly rest: AsyncIterator<ProviderPart>;
  /**
   * Called once when the rest ends, with the error that it threw, or with undefined. Not called if
   * the reader leaves first.
   */
  readonly onEnd?: (thrown: { readonly error: unknown } | undefined) => void;
  /** Called if the reader leaves before the end. */
  readonly onReturn?: () => void;
}

/**
 * Whether a part shows that the model has begun to answer. Parts before it show only that the
 * provider accepted the call.
 */
export function isFirstWord(part: ProviderPart): boolean {
  return part.type !== 'start' && part.type !== 'usage';
}

/**
 * Reads a stream up to its first delta, or to its end if it has none.
 * @throws the error of the stream
 */
export async function readOpening(stream: AsyncIterable<ProviderPart>): Promise<StreamOpening> {
  const rest = stream[Symbol.asyncIterator]();
  const parts: ProviderPart[] = [];
  for (;;) {
    const result = await rest.next();
    if (result.done) return { parts, rest };
    parts.push(result.value);
    if (isFirstWord(result.value)) return { parts, rest };
  }
}

/** Returns the opening with more facts in its `start` part. */
export function withStart(
  opening: StreamOpening,
  facts: Partial<Omit<ProviderPart & { readonly type: 'start' }, 'type'>>,
): StreamOpening {
  return { ...opening, parts: opening.parts.map((part) => (part.type === 'start' ? { ...part, ...facts } : part)) };
}

/**
 * Returns a stream of the parts and the rest of the opening that `start` returns. `start` is called
 * at the first pull.
 */
export function streamFromOpening(start: () => Promise<StreamOpening>): AsyncIterable<ProviderPart> {
  return { [Symbol.asyncIterator]: () => new OpeningStream(start) };
}

class OpeningStream implements AsyncIterator<ProviderPart, undefined> {
  readonly #start: () => Promise<StreamOpening>;
  #opening: StreamOpening | undefined;
  #held = 0;
  #closed = false;
  #ended = false;

  constructor(start: () => Promise<StreamOpening>) {
    this.#start = start;
  }

  next(): Promise<PartResult> {
    const opening = this.#opening;
    if (opening === undefined) return this.#closed ? DONE : this.#open();
    const held = opening.parts[this.#held];
    if (held !== undefined) {
      this.#held++;
      return Promise.resolve({ value: held, done: false });
    }
    // The return value of an iterator is not used here.
    const result = opening.rest.next() as Promise<PartResult>;
    if (opening.onEnd !== undefined) result.then(this.#onResult, this.#onThrown);
    return result;
  }

  async return(): Promise<PartResult> {
    const opening = this.#opening;
    this.#closed = true;
    if (opening !== undefined && !this.#ended) {
      this.#ended = true;
      opening.onReturn?.();
    }
    await opening?.rest.return?.();
    return { value: undefined, done: true };
  }

  async #open(): Promise<PartResult> {
    this.#closed = true;
    this.#opening = await this.#start();
    return this.next();
  }

  readonly #onResult = (result: PartResult): void => {
    if (result.done) this.#end(undefined);
  };
  readonly #onThrown = (error: unknown): void => this.#end({ error });

  #end(thrown: { readonly error: unknown } | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#opening?.onEnd?.(thrown);
  }
}

const DONE: Promise<PartResult> = Promise.resolve({ value: undefined, done: true });

/**
 * Returns the same parts for a reader that may leave early. Errors of the provider after that are
 * ignored.
 */
export function ignoreCloseErrors<T>(parts: AsyncIterable<T>): AsyncIterable<T> {
  return {
    [Symbol.asyncIterator]: () => {
      const inner = parts[Symbol.asyncIterator]();
      const leave = async (): Promise<void> => void (await inner.return?.());
      return {
        next: () => inner.next(),
        return: () => {
          leave().catch(() => undefined);
          return Promise.resolve({ value: undefined, done: true });
        },
      };
    },
  };
}

/**
 * Settles like `promise`, whose work does not take our signal. If the signal aborts first, rejects
 * with its reason and ignores the promise.
 */
export async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  let onAbort: (() => void) | undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    if (onAbort !== undefined) signal.removeEventListener('abort', onAbort);
  }
}

/*
 * The opening of a provider's stream, and the iterator that every wrapper of a provider uses. Up to
 * the first delta a wrapper may retry or choose another provider. After it the stream is passed
 * through unchanged, so that no wrapper adds a cost per delta.
 */

import { type ProviderPart } from './provider.js';

export type PartResult = IteratorResult<ProviderPart, undefined>;

/** What a layer does with a stream after its opening: it may watch, but changes no part. */
export interface StreamWatch {
  /** Called before each pull. */
  readonly onPull?: () => void;
  readonly onPart?: (part: ProviderPart) => void;
  /**
   * Called once when the rest ends, with the error that it threw, or with undefined. Not called if
   * the reader leaves first.
   */
  readonly onEnd?: (thrown: { readonly error: unknown } | undefined) => void;
  /** Called if the reader leaves before the end. */
  readonly onReturn?: () => void;
}

/** The opening of a stream: the parts that were read, and the iterator of the rest. */
export interface StreamOpening extends StreamWatch {
  /** The parts up to and including the first delta. */
  readonly parts: readonly ProviderPart[];
  readonly rest: AsyncIterator<ProviderPart>;
}

/** A stream without the layers around it, and what those still watch for, the inner layer first. */
export interface BareStream {
  readonly stream: AsyncIterator<ProviderPart>;
  readonly watches: readonly StreamWatch[];
}

/** The iterator of a layer around a stream. */
export interface LayerStream {
  /**
   * Lets the reader of this iterator read the stream inside instead, so that a delta passes no
   * layer. The reader then calls the watches and never this iterator.
   * @returns undefined if the layer has parts to deliver
   */
  stepAside(): BareStream | undefined;
}

/** Returns `stream` without its layers, watched by `watch` too. */
export function bareOf(stream: AsyncIterator<ProviderPart>, watch: StreamWatch): BareStream {
  const inner = 'stepAside' in stream ? (stream as AsyncIterator<ProviderPart> & LayerStream).stepAside() : undefined;
  const { stream: bare, watches } = inner ?? { stream, watches: [] };
  const { onPull, onPart, onEnd, onReturn } = watch;
  const watching = onPull ?? onPart ?? onEnd ?? onReturn;
  return { stream: bare, watches: watching === undefined ? watches : [...watches, watch] };
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

class OpeningStream implements AsyncIterator<ProviderPart, undefined>, LayerStream {
  readonly #start: () => Promise<StreamOpening>;
  #opening: StreamOpening | undefined;
  #held = 0;
  #closed = false;
  #ended = false;
  /** The rest without the layers that only watch it; known when the held parts are read. */
  #bare: BareStream | undefined;

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
    const bare = (this.#bare ??= bareOf(opening.rest, opening));
    for (const { onPull } of bare.watches) onPull?.();
    // The return value of an iterator is not used here.
    const result = bare.stream.next() as Promise<PartResult>;
    if (bare.watches.length > 0) result.then(this.#onResult, this.#onThrown);
    return result;
  }

  async return(): Promise<PartResult> {
    const opening = this.#opening;
    this.#closed = true;
    if (opening === undefined) return { value: undefined, done: true };
    const { stream, watches } = (this.#bare ??= bareOf(opening.rest, opening));
    if (!this.#ended) {
      this.#ended = true;
      for (const { onReturn } of watches.toReversed()) onReturn?.();
    }
    await stream.return?.();
    return { value: undefined, done: true };
  }

  stepAside(): BareStream | undefined {
    const opening = this.#opening;
    return opening === undefined || this.#held < opening.parts.length ? undefined : bareOf(opening.rest, opening);
  }

  async #open(): Promise<PartResult> {
    this.#closed = true;
    this.#opening = await this.#start();
    return this.next();
  }

  readonly #onResult = (result: PartResult): void => {
    if (result.done) this.#end(undefined);
    else for (const { onPart } of this.#bare?.watches ?? []) onPart?.(result.value);
  };
  readonly #onThrown = (error: unknown): void => this.#end({ error });

  #end(thrown: { readonly error: unknown } | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    for (const { onEnd } of this.#bare?.watches ?? []) onEnd?.(thrown);
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
export function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    // The reason of an abort may be any value.
    const onAbort = (): void => reject(signal.reason as Error);
    const forget = (): void => signal.removeEventListener('abort', onAbort);
    promise.then(
      (value) => {
        forget();
        resolve(value);
      },
      (error: unknown) => {
        forget();
        reject(error as Error);
      },
    );
    // A promise that has settled already comes first.
    if (signal.aborted) queueMicrotask(onAbort);
    else signal.addEventListener('abort', onAbort, { once: true });
  });
}

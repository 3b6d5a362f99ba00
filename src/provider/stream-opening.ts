/*
 * The opening of a provider's stream, and the base of every layer around a provider. Up to the
 * first delta a layer may retry or choose another provider. After it the stream is passed through
 * unchanged, so that no layer adds a cost per delta.
 */

import { Provider, type ProviderPart, type ProviderRequest } from './provider.js';

type PartResult = IteratorResult<ProviderPart, undefined>;

/** What a layer watches for after the opening. It changes no part. */
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
export interface StreamOpening {
  /** The parts up to and including the first delta. */
  readonly parts: readonly ProviderPart[];
  readonly rest: AsyncIterator<ProviderPart>;
  /** Of the layers around the rest, the inner one first. */
  readonly watches: readonly StreamWatch[];
}

/**
 * A layer around another provider. It acts until the stream has opened. Then the reader pulls from
 * the innermost stream, and the layer only watches, so that a delta passes no layer.
 */
export abstract class ProviderLayer extends Provider {
  /** Opens a stream. Rejects with the error of a stream that does not open, and never throws. */
  abstract open(request: ProviderRequest, signal: AbortSignal): Promise<StreamOpening>;

  override stream(request: ProviderRequest, signal: AbortSignal): AsyncIterable<ProviderPart> {
    return { [Symbol.asyncIterator]: () => new OpeningStream(() => this.open(request, signal)) };
  }
}

/**
 * Opens a stream of any provider. Resolves at its first delta, or at its end if it has none.
 * Rejects with the error of the stream.
 */
export function openStream(provider: Provider, request: ProviderRequest, signal: AbortSignal): Promise<StreamOpening> {
  return provider instanceof ProviderLayer
    ? provider.open(request, signal)
    : readOpening(provider.stream(request, signal));
}

/** Returns the opening with one more watch. */
export function watched(opening: StreamOpening, watch: StreamWatch): StreamOpening {
  return { ...opening, watches: [...opening.watches, watch] };
}

/**
 * Whether a part shows that the model has begun to answer. Parts before it show only that the
 * provider accepted the call.
 */
export function isFirstWord(part: ProviderPart): boolean {
  return part.type !== 'start' && part.type !== 'usage';
}

async function readOpening(stream: AsyncIterable<ProviderPart>): Promise<StreamOpening> {
  const rest = stream[Symbol.asyncIterator]();
  const parts: ProviderPart[] = [];
  for (;;) {
    const result = await rest.next();
    if (!result.done) parts.push(result.value);
    if (result.done || isFirstWord(result.value)) return { parts, rest, watches: [] };
  }
}

/** Returns the opening with more facts in its `start` part. */
export function withStart(
  opening: StreamOpening,
  facts: Partial<Omit<ProviderPart & { readonly type: 'start' }, 'type'>>,
): StreamOpening {
  return { ...opening, parts: opening.parts.map((part) => (part.type === 'start' ? { ...part, ...facts } : part)) };
}

/** Closes a stream that is not read further. Rejects with the error of the stream. */
export async function leave({ rest, watches }: Pick<StreamOpening, 'rest' | 'watches'>): Promise<void> {
  for (const { onReturn } of watches.toReversed()) onReturn?.();
  await rest.return?.();
}

/** The parts and the rest of an opening. Opens at the first pull. */
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
    for (const { onPull } of opening.watches) onPull?.();
    // The return value of an iterator is not used here.
    const result = opening.rest.next() as Promise<PartResult>;
    if (opening.watches.length > 0) result.then(this.#onResult, this.#onThrown);
    return result;
  }

  async return(): Promise<PartResult> {
    const opening = this.#opening;
    this.#closed = true;
    if (opening !== undefined) {
      const watches = this.#ended ? [] : opening.watches;
      this.#ended = true;
      await leave({ rest: opening.rest, watches });
    }
    return { value: undefined, done: true };
  }

  async #open(): Promise<PartResult> {
    this.#closed = true;
    this.#opening = await this.#start();
    return this.next();
  }

  readonly #onResult = (result: PartResult): void => {
    if (result.done) this.#end(undefined);
    else for (const { onPart } of this.#opening?.watches ?? []) onPart?.(result.value);
  };
  readonly #onThrown = (error: unknown): void => this.#end({ error });

  #end(thrown: { readonly error: unknown } | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    for (const { onEnd } of this.#opening?.watches ?? []) onEnd?.(thrown);
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
      const close = async (): Promise<void> => void (await inner.return?.());
      return {
        next: () => inner.next(),
        return: () => {
          close().catch(() => undefined);
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

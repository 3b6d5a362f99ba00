/*
 * Limits how long a provider may be silent. Each limit is an option. When one passes, the inner
 * stream is closed with its socket, and `provider_timeout` names the limit. Time between a part and
 * the next pull belongs to the reader and does not count.
 */

import { SluiceError } from '../domain/errors.js';
import {
  isFirstWord,
  openStream,
  ProviderLayer,
  type StreamOpening,
  type StreamWatch,
  watched,
} from './stream-opening.js';
import { type Provider, type ProviderPart, type ProviderRequest } from './provider.js';

export interface TimeoutOptions {
  /** Milliseconds from the call to the first text, refusal or function call. */
  readonly firstDeltaTimeoutMs?: number;
  /** Milliseconds between two parts after that. */
  readonly idleTimeoutMs?: number;
  /** Milliseconds from the first reasoning to the first text, refusal or function call. */
  readonly reasoningTimeoutMs?: number;
  /** Milliseconds from the call to the end of the answer. */
  readonly callTimeoutMs?: number;
}

export class TimeoutsProvider extends ProviderLayer {
  readonly #inner: Provider;
  readonly #options: TimeoutOptions;

  constructor(inner: Provider, options: TimeoutOptions) {
    super();
    this.#inner = inner;
    this.#options = options;
  }

  override async open(request: ProviderRequest, signal: AbortSignal): Promise<StreamOpening> {
    const limits = new StreamLimits(signal, this.#options);
    try {
      const opening = await openStream(this.#inner, request, limits.inner);
      limits.opened(opening.parts.at(-1));
      return watched(opening, limits);
    } catch (error) {
      limits.onEnd();
      throw error;
    }
  }
}

/**
 * One timer for the whole stream: a delta only notes the time; when the timer fires it checks
 * whether a limit has passed, and if not, sleeps until the earliest moment at which one could.
 */
class StreamLimits implements StreamWatch {
  readonly #abort = new AbortController();
  readonly #signal: AbortSignal;
  readonly #options: TimeoutOptions;
  readonly #onOuterAbort = (): void => this.#abort.abort(this.#signal.reason);
  readonly #startedMs = performance.now();
  /** When the pending part was requested; undefined between pulls. */
  #calledAtMs: number | undefined;
  #spoken = false;
  /** When the model began to reason; undefined if it has not, or has finished reasoning. */
  #thinkingSinceMs: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #timerDueMs = Infinity;

  constructor(signal: AbortSignal, options: TimeoutOptions) {
    this.#signal = signal;
    this.#options = options;
    if (signal.aborted) this.#onOuterAbort();
    else signal.addEventListener('abort', this.#onOuterAbort, { once: true });
    this.#arm(this.#startedMs);
  }

  /** Aborts when a limit passes, or when the caller aborts. */
  get inner(): AbortSignal {
    return this.#abort.signal;
  }

  /** @param last the part that opened the stream; undefined or no first word: it has ended */
  opened(last: ProviderPart | undefined): void {
    if (last === undefined || !isFirstWord(last)) this.onEnd();
    else this.#onEarlyPart(last);
  }

  readonly onPull = (): void => {
    this.#calledAtMs = performance.now();
  };

  readonly onPart = (part: ProviderPart): void => {
    this.#calledAtMs = undefined;
    if (this.#thinkingSinceMs !== undefined) this.#onEarlyPart(part);
  };

  readonly onEnd = (): void => {
    this.#calledAtMs = undefined;
    clearTimeout(this.#timer);
    this.#signal.removeEventListener('abort', this.#onOuterAbort);
  };

  readonly onReturn = this.onEnd;

  /**
   * Handles a part before the first text. Reasoning counts as progress and has its own limit. After
   * it, only the idle limit applies.
   */
  #onEarlyPart(part: ProviderPart): void {
    if (!isFirstWord(part)) return;
    const first = !this.#spoken;
    this.#spoken = true;
    const thinks = part.type === 'reasoning' || part.type === 'reasoning_summary';
    if (!thinks) this.#thinkingSinceMs = undefined;
    else if (first) this.#thinkingSinceMs = performance.now();
    if (first || !thinks) this.#arm(performance.now());
  }

  #arm(now: number): void {
    const dueMs = Math.min(this.#callDueMs(), this.#thinkingDueMs(), this.#silenceDueMs(now).dueMs);
    // A timer that fires earlier sets the next one: cheaper than a new one for each answer.
    if (dueMs >= this.#timerDueMs) return;
    clearTimeout(this.#timer);
    this.#timerDueMs = dueMs;
    this.#timer = setTimeout(this.#onTimer, Math.max(1, Math.ceil(dueMs - now)));
  }

  readonly #onTimer = (): void => {
    this.#timerDueMs = Infinity;
    const now = performance.now();
    const silence = this.#silenceDueMs(now);
    if (now >= this.#callDueMs()) this.#timeOut('the whole call', this.#options.callTimeoutMs);
    else if (now >= this.#thinkingDueMs()) this.#timeOut('reasoning', this.#options.reasoningTimeoutMs);
    else if (now >= silence.dueMs) this.#timeOut(silence.what, silence.limitMs);
    else this.#arm(now);
  };

  #callDueMs(): number {
    return this.#startedMs + (this.#options.callTimeoutMs ?? Infinity);
  }

  #thinkingDueMs(): number {
    return (this.#thinkingSinceMs ?? Infinity) + (this.#options.reasoningTimeoutMs ?? Infinity);
  }

  #silenceDueMs(now: number): { readonly dueMs: number; readonly what: string; readonly limitMs: number | undefined } {
    const { firstDeltaTimeoutMs, idleTimeoutMs } = this.#options;
    if (!this.#spoken) {
      return {
        dueMs: this.#startedMs + (firstDeltaTimeoutMs ?? Infinity),
        what: 'the first delta',
        limitMs: firstDeltaTimeoutMs,
      };
    }
    return {
      dueMs: (this.#calledAtMs ?? now) + (idleTimeoutMs ?? Infinity),
      what: 'the next delta',
      limitMs: idleTimeoutMs,
    };
  }

  #timeOut(what: string, limitMs: number | undefined): void {
    const why = `the provider took longer than ${limitMs} ms for ${what}`;
    this.#abort.abort(new SluiceError('provider_timeout', `unable to get the answer; ${why}; try again`));
  }
}

/* Tries again, by cockatiel, what failed before its first delta. After it never: what was shown can not be taken back. */

import { decorrelatedJitterGenerator, DelegateBackoff, handleWhen, type IRetryBackoffContext, retry } from 'cockatiel';
import { type ErrorCode, SluiceError } from '../../domain/errors.js';
import { begin, handedStream } from '../handed-stream.js';
import { Provider, type ProviderPart, type ProviderRequest } from '../provider.js';
import { untilAborted } from './until-aborted.js';

export interface RetryOptions {
  /** Counts the first. */
  readonly maxAttempts: number;
  /** `exponential` doubles, with jitter; `constant` waits `initialDelayMs` each time. */
  readonly backoff: 'exponential' | 'constant';
  /** Default 250 ms. */
  readonly initialDelayMs?: number;
  /** The longest wait of our own making. Default 10 s. */
  readonly maxDelayMs?: number;
  /** What all attempts together may take: no wait is begun that does not end within it. Default 60 s. */
  readonly budgetMs?: number;
}

export interface RetryEvent {
  /** The attempt that failed, from 1. */
  readonly attempt: number;
  readonly delayMs: number;
  readonly code: ErrorCode;
}

export class RetryingProvider extends Provider {
  readonly #inner: Provider;
  readonly #options: Required<RetryOptions>;
  readonly #onRetry: (event: RetryEvent) => void;

  constructor(inner: Provider, options: RetryOptions, onRetry: (event: RetryEvent) => void = () => undefined) {
    super();
    this.#inner = inner;
    this.#options = { initialDelayMs: 250, maxDelayMs: 10_000, budgetMs: 60_000, ...options };
    this.#onRetry = onRetry;
  }

  /** Waits as long as an error's `retryAfterMs` asks for, where that fits the budget; else throws the error as it is. */
  override stream(request: ProviderRequest, signal: AbortSignal): AsyncIterable<ProviderPart> {
    return handedStream(() => {
      const deadlineMs = performance.now() + this.#options.budgetMs;
      const worthIt = handleWhen((error) => {
        if (signal.aborted || !(error instanceof SluiceError) || !error.retryable) return false;
        return performance.now() + (error.retryAfterMs ?? this.#options.initialDelayMs) < deadlineMs;
      });
      // Unreferenced: an abandoned wait must not keep the process alive.
      const policy = retry(worthIt, {
        maxAttempts: Math.max(0, this.#options.maxAttempts - 1),
        backoff: new DelegateBackoff<IRetryBackoffContext<unknown>, JitterState>((context, state) =>
          this.#nextDelay(context, state, deadlineMs),
        ),
      }).dangerouslyUnref();
      const attempts = policy.execute(() => {
        signal.throwIfAborted();
        return begin(this.#inner.stream(request, signal));
      });
      // Cockatiel sleeps through an abort; the caller must not.
      return untilAborted(attempts, signal);
    });
  }

  #nextDelay(
    { attempt, result }: IRetryBackoffContext<unknown>,
    state: JitterState | undefined,
    deadlineMs: number,
  ): { delay: number; state: JitterState } {
    const { backoff, initialDelayMs, maxDelayMs } = this.#options;
    const options = {
      generator: decorrelatedJitterGenerator,
      exponent: 2,
      initialDelay: initialDelayMs,
      maxDelay: maxDelayMs,
    };
    const [jittered, nextState] = decorrelatedJitterGenerator(state?.jitter, options);
    const own = backoff === 'constant' ? initialDelayMs : jittered;
    const remainingMs = deadlineMs - performance.now();
    const error = 'error' in result ? result.error : undefined;
    const asked = error instanceof SluiceError ? (error.retryAfterMs ?? 0) : 0;
    // Our own wait leaves time for the attempt after it; one that was asked for is kept to the millisecond.
    const delay = Math.round(Math.max(asked, Math.min(own, remainingMs / 2)));
    if (error instanceof SluiceError) this.#onRetry({ attempt, delayMs: delay, code: error.code });
    return { delay, state: { jitter: nextState } };
  }
}

interface JitterState {
  readonly jitter: [number, number];
}

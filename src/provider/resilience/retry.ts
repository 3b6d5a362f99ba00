/*
 * Retries calls that failed before their first delta, by cockatiel. Never retries after it, because
 * text that was shown cannot be taken back.
 */

import { decorrelatedJitterGenerator, DelegateBackoff, handleWhen, type IRetryBackoffContext, retry } from 'cockatiel';
import { type ErrorCode, SluiceError } from '../../domain/errors.js';
import { openStream, ProviderLayer, type StreamOpening, untilAborted, withStart } from '../stream-opening.js';
import { type Provider, type ProviderRequest } from '../provider.js';

export interface RetryOptions {
  /** Most attempts, the first included. */
  readonly maxAttempts: number;
  /** `exponential` doubles, with jitter; `constant` waits `initialDelayMs` each time. */
  readonly backoff: 'exponential' | 'constant';
  /** First computed wait in milliseconds. Default 250. */
  readonly initialDelayMs?: number;
  /** Longest computed wait in milliseconds. Default 10,000. */
  readonly maxDelayMs?: number;
  /**
   * Time limit of all attempts together in milliseconds: no wait begins that would end after it.
   * Default 60,000.
   */
  readonly budgetMs?: number;
}

export interface RetryEvent {
  /** The attempt that failed, from 1. */
  readonly attempt: number;
  readonly delayMs: number;
  readonly code: ErrorCode;
}

export class RetryingProvider extends ProviderLayer {
  readonly #inner: Provider;
  readonly #options: Required<RetryOptions>;
  readonly #onRetry: (event: RetryEvent) => void;

  constructor(inner: Provider, options: RetryOptions, onRetry: (event: RetryEvent) => void = () => undefined) {
    super();
    this.#inner = inner;
    this.#options = { initialDelayMs: 250, maxDelayMs: 10_000, budgetMs: 60_000, ...options };
    this.#onRetry = onRetry;
  }

  /**
   * Waits for an error's `retryAfterMs` if that fits the budget, else throws the error unchanged.
   */
  override open(request: ProviderRequest, signal: AbortSignal): Promise<StreamOpening> {
    if (signal.aborted) return Promise.reject(signal.reason as Error);
    const deadlineMs = performance.now() + this.#options.budgetMs;
    const first = openStream(this.#inner, request, signal);
    // Most first attempts succeed, so the policy is made only after a failure.
    const attempts = first.catch(() => this.#continue(first, request, signal, deadlineMs));
    // Cockatiel sleeps through an abort; the caller must not.
    return untilAborted(attempts, signal);
  }

  /** Makes the attempts after `first`, if its failure is worth another one. */
  #continue(
    first: Promise<StreamOpening>,
    request: ProviderRequest,
    signal: AbortSignal,
    deadlineMs: number,
  ): Promise<StreamOpening> {
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
    return policy.execute(async ({ attempt }) => {
      if (attempt === 0) return first;
      signal.throwIfAborted();
      return withStart(await openStream(this.#inner, request, signal), { retries: attempt });
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
    const requestedMs = error instanceof SluiceError ? (error.retryAfterMs ?? 0) : 0;
    // A computed wait leaves time for the next attempt. A requested wait is kept to the
    // millisecond.
    const delay = Math.round(Math.max(requestedMs, Math.min(own, remainingMs / 2)));
    if (error instanceof SluiceError) this.#onRetry({ attempt, delayMs: delay, code: error.code });
    return { delay, state: { jitter: nextState } };
  }
}

interface JitterState {
  readonly jitter: [number, number];
}

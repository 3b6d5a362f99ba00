/*
 * Bounds what is sent to a provider. The caller decides whose bucket it is and which replicas share
 * it.
 */

import { SluiceError } from '../../domain/errors.js';
import { streamFromOpening } from '../stream-opening.js';
import { Provider, type ProviderPart, type ProviderRequest } from '../provider.js';

/** A bucket to take calls from. */
export interface CallBudget {
  take(cost: number): Promise<{ readonly allowed: boolean; readonly retryAfterMs: number }>;
}

/**
 * Takes one place from the bucket for every call, except the first call of a request that admission
 * has paid for. Without a free place it throws `rate_limit_exceeded` with the time until the next
 * one.
 */
export class RateLimitedProvider extends Provider {
  readonly #inner: Provider;
  readonly #budget: CallBudget;
  readonly #name: string;
  /** Requests whose paid call was made. */
  readonly #used = new WeakSet<ProviderRequest>();

  constructor(inner: Provider, budget: CallBudget, name: string) {
    super();
    this.#name = name;
    this.#inner = inner;
    this.#budget = budget;
  }

  override stream(request: ProviderRequest, signal: AbortSignal): AsyncIterable<ProviderPart> {
    return streamFromOpening(async () => {
      const paid = request.paid === this.#name && !this.#used.has(request);
      this.#used.add(request);
      const { allowed, retryAfterMs } = paid ? PAID : await this.#budget.take(1);
      signal.throwIfAborted();
      if (!allowed) {
        throw new SluiceError(
          'rate_limit_exceeded',
          'unable to call the provider; its configured rate limit is reached; try again later',
          Number.isFinite(retryAfterMs) ? { retryAfterMs } : {},
        );
      }
      return { parts: [], rest: this.#inner.stream(request, signal)[Symbol.asyncIterator]() };
    });
  }
}

const PAID = { allowed: true, retryAfterMs: 0 };

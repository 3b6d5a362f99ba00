/* Bounds what is sent to a provider. Whose bucket it is, and who shares it, is for whoever hands it in. */

import { SluiceError } from '../../domain/errors.js';
import { handedStream } from '../handed-stream.js';
import { Provider, type ProviderPart, type ProviderRequest } from '../provider.js';

/** A bucket to take calls from. */
export interface CallBudget {
  take(cost: number): Promise<{ readonly allowed: boolean; readonly retryAfterMs: number }>;
}

/** Takes one from the bucket for every call; where there is none, throws `rate_limit_exceeded` with when there will be. */
export class RateLimitedProvider extends Provider {
  readonly #inner: Provider;
  readonly #budget: CallBudget;

  constructor(inner: Provider, budget: CallBudget) {
    super();
    this.#inner = inner;
    this.#budget = budget;
  }

  override stream(request: ProviderRequest, signal: AbortSignal): AsyncIterable<ProviderPart> {
    return handedStream(async () => {
      const { allowed, retryAfterMs } = await this.#budget.take(1);
      signal.throwIfAborted();
      if (!allowed) {
        throw new SluiceError(
          'rate_limit_exceeded',
          'unable to ask the provider; its configured rate limit is reached; try again later',
          Number.isFinite(retryAfterMs) ? { retryAfterMs } : {},
        );
      }
      return { parts: [], rest: this.#inner.stream(request, signal)[Symbol.asyncIterator]() };
    });
  }
}

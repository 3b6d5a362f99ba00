/*
 * Bounds what is sent to a provider. The caller decides whose bucket it is and which replicas share
 * it.
 */

import { SluiceError } from '../../domain/errors.js';
import { openStream, ProviderLayer, type StreamOpening } from '../stream-opening.js';
import { type Provider, type ProviderRequest } from '../provider.js';

/** A bucket to take calls from. */
export interface CallBudget {
  take(cost: number): Promise<{ readonly allowed: boolean; readonly retryAfterMs: number }>;
}

/**
 * The gateway's own limit let no call of the turn through. No provider was called, so none failed.
 */
export class OwnRateLimit extends SluiceError {
  constructor(retryAfterMs: number) {
    super('rate_limit_exceeded', LIMIT_REACHED, waitOf(retryAfterMs));
  }
}

/**
 * Takes one place from the bucket for every call, except the first call of a request that admission
 * has paid for. Without a free place it throws `rate_limit_exceeded` with the time until the next
 * one: an `OwnRateLimit`, unless an earlier call of the same request failed.
 */
export class RateLimitedProvider extends ProviderLayer {
  readonly #inner: Provider;
  readonly #budget: CallBudget;
  readonly #name: string;
  /** Requests that the provider was called for. */
  readonly #called = new WeakSet<ProviderRequest>();

  constructor(inner: Provider, budget: CallBudget, name: string) {
    super();
    this.#name = name;
    this.#inner = inner;
    this.#budget = budget;
  }

  override async open(request: ProviderRequest, signal: AbortSignal): Promise<StreamOpening> {
    const paid = request.paid === this.#name && !this.#called.has(request);
    const { allowed, retryAfterMs } = paid ? PAID : await this.#budget.take(1);
    signal.throwIfAborted();
    if (!allowed) {
      // A retry: the turn failed at the provider first, and must be counted so.
      if (this.#called.has(request)) {
        throw new SluiceError('rate_limit_exceeded', LIMIT_REACHED, waitOf(retryAfterMs));
      }
      throw new OwnRateLimit(retryAfterMs);
    }
    this.#called.add(request);
    return openStream(this.#inner, request, signal);
  }
}

function waitOf(retryAfterMs: number): { readonly retryAfterMs?: number } {
  return Number.isFinite(retryAfterMs) ? { retryAfterMs } : {};
}

const LIMIT_REACHED = 'unable to call the provider; its configured rate limit is reached; try again later';
const PAID = { allowed: true, retryAfterMs: 0 };

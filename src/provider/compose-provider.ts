/*
 * One provider out of many layers. From the outside in, and why each stands where it stands:
 *
 *   failover      asks the next only when all that is below has given up, retries and breaker included
 *   whole call    one time limit over all attempts and the waits between them
 *   breaker       counts calls, not attempts; while it is open nobody waits and nothing is retried
 *   retry         before the first delta only, and within the whole call's time
 *   rate limit    every attempt is a call that the provider sees, so every attempt takes one from the bucket
 *   observed      every attempt's failure, as metrics want it; not our own limit's refusals
 *   silence       first delta and idle limits, anew for each attempt
 *   the provider
 */

import { type ErrorCode } from '../domain/errors.js';
import { FailoverProvider, type FailoverCandidate, type FailoverEvent } from './failover.js';
import { ObservedProvider } from './observed.js';
import { type Provider } from './provider.js';
import { BreakerProvider, type BreakerOptions, type BreakerState } from './resilience/breaker.js';
import { type CallBudget, RateLimitedProvider } from './resilience/rate-limit.js';
import { type RetryEvent, type RetryOptions, RetryingProvider } from './resilience/retry.js';
import { TimeoutsProvider } from './timeouts.js';

export interface ProviderLayers {
  /** For metrics and logs: `openai`, `demo`. */
  readonly name: string;
  readonly provider: Provider;
  /** For fallbacks: what this provider calls the model. Absent: the model of the request. */
  readonly model?: string;
  readonly firstDeltaTimeoutMs?: number;
  readonly idleTimeoutMs?: number;
  readonly callTimeoutMs?: number;
  /** Absent, like each of the following: no such layer. */
  readonly budget?: CallBudget;
  readonly retry?: Omit<RetryOptions, 'budgetMs'>;
  readonly breaker?: BreakerOptions;
}

export interface ProviderHooks {
  readonly onRetry?: (provider: string, event: RetryEvent) => void;
  readonly onBreakerChange?: (provider: string, state: BreakerState) => void;
  /** Every failed attempt, also those that were retried. Never a cancel, never our own rate limit. */
  readonly onError?: (provider: string, code: ErrorCode) => void;
  readonly onFailover?: (event: FailoverEvent) => void;
}

/** The first is asked first; the others in turn where it fails before its first delta. */
export function composeProvider(
  providers: readonly [ProviderLayers, ...ProviderLayers[]],
  hooks: ProviderHooks = {},
): Provider {
  const candidates = providers.map((layers): FailoverCandidate => {
    const { name, model } = layers;
    return { name, provider: layered(layers, hooks), ...(model === undefined ? {} : { model }) };
  });
  return new FailoverProvider(candidates, hooks.onFailover);
}

function layered(layers: ProviderLayers, hooks: ProviderHooks): Provider {
  const { name, firstDeltaTimeoutMs, idleTimeoutMs, callTimeoutMs, budget, retry, breaker } = layers;
  let provider: Provider = new TimeoutsProvider(layers.provider, {
    ...(firstDeltaTimeoutMs === undefined ? {} : { firstDeltaTimeoutMs }),
    ...(idleTimeoutMs === undefined ? {} : { idleTimeoutMs }),
  });
  provider = new ObservedProvider(provider, (code) => hooks.onError?.(name, code));
  if (budget !== undefined) provider = new RateLimitedProvider(provider, budget);
  if (retry !== undefined && retry.maxAttempts > 1) {
    const bounded = { ...retry, ...(callTimeoutMs === undefined ? {} : { budgetMs: callTimeoutMs }) };
    provider = new RetryingProvider(provider, bounded, (event) => hooks.onRetry?.(name, event));
  }
  if (breaker !== undefined) {
    provider = new BreakerProvider(provider, breaker, (state) => hooks.onBreakerChange?.(name, state));
  }
  return callTimeoutMs === undefined ? provider : new TimeoutsProvider(provider, { callTimeoutMs });
}

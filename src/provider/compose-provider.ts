/*
 * Composes one provider from layers. From the outside in, each with the reason for its place:
 *
 *   failover      calls the next provider if the layers below failed, or are silent for too long
 *   whole call    one time limit over all attempts and the waits between them
 *   breaker       counts calls, not attempts; while it is open nothing waits and nothing is retried
 *   retry         for the last provider only, before the first delta, within the whole call's time:
 *                 while another provider is left, calling it is quicker than waiting
 *   rate limit    takes one call from the bucket for every attempt, as the provider counts them
 *   observed      reports the failure of every attempt to metrics, but not refusals by our own limit
 *   silence       first delta, idle and reasoning limits, again for each attempt
 *   the provider
 */

import { type ErrorCode, SluiceError } from '../domain/errors.js';
import { type InputKind } from '../domain/media.js';
import { CallGate, type GateCandidate } from './call-gate.js';
import { FailoverProvider, type FailoverCandidate, type FailoverEvent, type FailoverOptions } from './failover.js';
import { type Provider, type ProviderRequest } from './provider.js';
import { BreakerProvider, type BreakerOptions, type BreakerState } from './resilience/breaker.js';
import { type CallBudget, RateLimitedProvider } from './resilience/rate-limit.js';
import { type RetryEvent, type RetryOptions, RetryingProvider } from './resilience/retry.js';
import { type TimeoutOptions, TimeoutsProvider } from './timeouts.js';
import { openStream, ProviderLayer, type StreamOpening, watched } from './stream-opening.js';

export interface ProviderLayers {
  /** For metrics and logs: `openai`, `demo`. */
  readonly name: string;
  readonly provider: Provider;
  /** For fallbacks: what this provider calls the model. Absent: the model of the request. */
  readonly model?: string;
  /** Whether a model takes this kind of input. Absent: every kind. */
  readonly takes?: (model: string, kind: InputKind) => boolean;
  readonly firstDeltaTimeoutMs?: number;
  readonly idleTimeoutMs?: number;
  readonly callTimeoutMs?: number;
  readonly reasoningTimeoutMs?: number;
  /** Absent, like each of the following: no such layer. */
  readonly budget?: CallBudget;
  readonly retry?: Omit<RetryOptions, 'budgetMs'>;
  readonly breaker?: BreakerOptions;
}

export interface ProviderHooks {
  readonly onRetry?: (provider: string, event: RetryEvent) => void;
  readonly onBreakerChange?: (provider: string, state: BreakerState) => void;
  /**
   * Every failed attempt, also those that were retried. Never a cancel, never our own rate limit.
   */
  readonly onError?: (provider: string, code: ErrorCode) => void;
  readonly onFailover?: (event: FailoverEvent) => void;
}

export interface ComposeOptions extends Pick<FailoverOptions, 'movesOn' | 'hedgeAfterMs' | 'hedges'> {
  /** How long a new turn waits for a place in a bucket. Default 0. */
  readonly maxWaitMs?: number;
}

export interface ComposedProvider {
  readonly provider: Provider;
  /** Checked before a turn exists. */
  readonly gate: CallGate;
}

/**
 * Composes the providers. The first is called first; the next ones when it fails, or is silent,
 * before its first delta.
 */
export function composeProvider(
  providers: readonly [ProviderLayers, ...ProviderLayers[]],
  hooks: ProviderHooks = {},
  { maxWaitMs = 0, ...options }: ComposeOptions = {},
): ComposedProvider {
  const lines = providers.map((layers, i) => layered(layers, hooks, i === providers.length - 1));
  const { onFailover } = hooks;
  const provider = new FailoverProvider(
    lines.map(({ candidate }) => candidate),
    { ...options, ...(onFailover === undefined ? {} : { onFailover }) },
  );
  return {
    provider,
    gate: new CallGate(
      lines.map(({ gate }) => gate),
      maxWaitMs,
    ),
  };
}

function layered(
  layers: ProviderLayers,
  hooks: ProviderHooks,
  last: boolean,
): { readonly candidate: FailoverCandidate; readonly gate: GateCandidate } {
  const { name, model, takes, callTimeoutMs, budget, retry, breaker } = layers;
  let provider: Provider = new TimeoutsProvider(layers.provider, silenceOf(layers));
  provider = new ObservedProvider(provider, (code) => hooks.onError?.(name, code));
  if (budget !== undefined) provider = new RateLimitedProvider(provider, budget, name);
  if (last && retry !== undefined && retry.maxAttempts > 1) {
    const bounded = { ...retry, ...(callTimeoutMs === undefined ? {} : { budgetMs: callTimeoutMs }) };
    provider = new RetryingProvider(provider, bounded, (event) => hooks.onRetry?.(name, event));
  }
  let closedForMs: (() => number) | undefined;
  if (breaker !== undefined) {
    const broken = new BreakerProvider(provider, breaker, (state) => hooks.onBreakerChange?.(name, state));
    closedForMs = () => broken.closedForMs();
    provider = broken;
  }
  if (callTimeoutMs !== undefined) provider = new TimeoutsProvider(provider, { callTimeoutMs });
  return {
    candidate: {
      name,
      provider,
      ...(model === undefined ? {} : { model }),
      ...(takes === undefined ? {} : { takes }),
    },
    gate: {
      name,
      ...(closedForMs === undefined ? {} : { closedForMs }),
      ...(budget === undefined ? {} : { budget }),
    },
  };
}

function silenceOf({ firstDeltaTimeoutMs, idleTimeoutMs, reasoningTimeoutMs }: ProviderLayers): TimeoutOptions {
  return {
    ...(firstDeltaTimeoutMs === undefined ? {} : { firstDeltaTimeoutMs }),
    ...(idleTimeoutMs === undefined ? {} : { idleTimeoutMs }),
    ...(reasoningTimeoutMs === undefined ? {} : { reasoningTimeoutMs }),
  };
}

/** Reports every failed call to a provider, for metrics. Changes nothing. */
class ObservedProvider extends ProviderLayer {
  readonly #inner: Provider;
  readonly #onError: (code: ErrorCode) => void;

  constructor(inner: Provider, onError: (code: ErrorCode) => void) {
    super();
    this.#inner = inner;
    this.#onError = onError;
  }

  override async open(request: ProviderRequest, signal: AbortSignal): Promise<StreamOpening> {
    const report = (error: unknown): void => {
      const code = error instanceof SluiceError ? error.code : 'server_error';
      // Cancels are not failures; an abort by the time limit of the whole call is.
      if (!signal.aborted || code === 'provider_timeout') this.#onError(code);
    };
    try {
      const opening = await openStream(this.#inner, request, signal);
      return watched(opening, { onEnd: (thrown) => thrown !== undefined && report(thrown.error) });
    } catch (error) {
      report(error);
      throw error;
    }
  }
}

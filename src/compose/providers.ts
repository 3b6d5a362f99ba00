/*
 * Wires the providers of the configuration: each from the registry, in its layers, with its limits,
 * prices and metrics.
 */

import { type AppConfig, type ProviderSettings } from '../config/schema.js';
import { type ErrorCode, type SluiceError } from '../domain/errors.js';
import { type InputKind } from '../domain/media.js';
import { type Usage } from '../domain/response.js';
import { type Log } from '../observability/log.js';
import { type Metrics } from '../observability/metrics.js';
import { type CallGate } from '../provider/call-gate.js';
import { composeProvider, type ProviderLayers } from '../provider/compose-provider.js';
import { HedgeBudget } from '../provider/failover.js';
import { providerName, Prices } from '../provider/prices.js';
import { type Provider } from '../provider/provider.js';
import { providerType } from '../provider/registry.js';
import { type State } from '../state/state.js';
import { type ScheduleRead } from '../provider/wire/paced-socket.js';

export interface ComposedProviders {
  readonly provider: Provider;
  readonly gate: CallGate;
  /**
   * Returns the cost in US dollars, or null if the price is unknown or cost is not tracked. Without
   * a provider name, the first provider's prices apply.
   */
  readonly cost: (model: string, usage: Usage, provider: string | null) => number | null;
  /** Whether a model of the first provider takes this kind of input. */
  readonly takes: (model: string, kind: InputKind) => boolean;
  /** Counts a call to a model without a known price. */
  readonly countUnpriced: (model: string, usage: Usage, provider: string | null) => void;
  readonly close: () => Promise<void>;
}

interface Surroundings {
  readonly state: State;
  readonly logger: Log;
  readonly metrics: Metrics;
  readonly scheduleRead: ScheduleRead;
}

const BREAKER_VALUES = { closed: 0, half_open: 1, open: 2 } as const;

export async function composeProviders(config: AppConfig, around: Surroundings): Promise<ComposedProviders> {
  const { logger, metrics } = around;
  const { step, all } = { step: config.middleware.provider, all: [config.provider, ...config.fallbacks] };
  const open = async (settings: ProviderSettings, i: number) => {
    const name = providerName(settings, i);
    return { name, ...(await providerType(settings).open(settings, { name, scheduleRead: around.scheduleRead })) };
  };
  const opened = await Promise.all(all.map(open));
  const [first, ...others] = all.map((settings, i): ProviderLayers => {
    const { name = '', provider } = opened[i] ?? {};
    if (provider === undefined) throw new Error('unable to compose a provider; it was not opened');
    if (step.enabled) metrics.of.breaker_state.set({ provider: name }, BREAKER_VALUES.closed);
    return layersOf(config, settings, i, name, provider, around.state);
  });
  if (first === undefined) throw new Error('unable to compose a provider; there is none');

  const prices = await Prices.load(config);
  for (const warning of prices.warnings()) logger.warn({}, warning);
  const cost: ComposedProviders['cost'] = (model, usage, name) => prices.cost(model, usage, name);
  const causes = new Set<string>(step.failover.on);
  const hooks = {
    onRetry: () => metrics.of.provider_retries_total.inc(),
    onError: (_name: string, code: ErrorCode) => metrics.of.provider_errors_total.inc({ code }),
    onBreakerChange: (name: string, breaker: keyof typeof BREAKER_VALUES) => {
      metrics.of.breaker_state.set({ provider: name }, BREAKER_VALUES[breaker]);
      logger.warn({ provider: name, breaker }, 'circuit breaker changed');
    },
    onFailover: ({ from, to, code }: { from: string; to: string; code: ErrorCode | null }) => {
      metrics.of.provider_failovers_total.inc({ cause: code === null ? 'silence' : 'failure' });
      logger.debug({ from, to, code }, 'next provider called');
    },
  };
  const { provider, gate } = composeProvider([first, ...others], hooks, {
    movesOn: (error) => causes.has(causeOf(error)),
    maxWaitMs: step.rate_limit?.max_wait ?? 0,
    ...(step.enabled ? { hedgeAfterMs: step.failover.after, hedges: new HedgeBudget(step.failover.hedge_ratio) } : {}),
  });
  const close = async (): Promise<void> => void (await Promise.all(opened.map((one) => one.close())));
  const countUnpriced: ComposedProviders['countUnpriced'] = (model, usage, name) => {
    if (prices.isUnpriced(model, usage, name)) metrics.of.unpriced_calls_total.inc({ model });
  };
  const takes: ComposedProviders['takes'] = (model, kind) => first.takes?.(model, kind) ?? true;
  return { provider, gate, cost, takes, countUnpriced, close };
}

function layersOf(
  { middleware: { provider: step } }: AppConfig,
  settings: ProviderSettings,
  index: number,
  name: string,
  provider: Provider,
  state: State,
): ProviderLayers {
  const { config: call, model } = settings;
  const retry = settings.retry ?? step.retry;
  const breaker = settings.breaker ?? step.breaker;
  return {
    name,
    provider,
    ...(index === 0 ? {} : { model }),
    takes: (of, kind) => providerType(settings).takes(settings, of).has(kind),
    firstDeltaTimeoutMs: call.first_delta_timeout,
    idleTimeoutMs: call.idle_timeout,
    callTimeoutMs: call.timeout,
    reasoningTimeoutMs: call.reasoning_timeout,
    ...(step.enabled
      ? {
          ...(step.rate_limit === null ? {} : { budget: budgetOf(step.rate_limit, state, name) }),
          retry: { maxAttempts: retry.max_attempts, backoff: retry.backoff },
          breaker: { failures: breaker.failures, openForMs: breaker.open_for },
        }
      : {}),
  };
}

function budgetOf(
  limit: { readonly requests_per_minute: number; readonly burst: number },
  state: State,
  provider: string,
): NonNullable<ProviderLayers['budget']> {
  const bucket = {
    key: `provider:${provider}`,
    capacity: limit.burst,
    refillPerSecond: limit.requests_per_minute / 60,
  };
  return { take: (cost) => state.limiter.take(bucket, cost) };
}

/** Returns the name of a failure in `failover.on`. */
function causeOf({ code }: SluiceError): string {
  switch (code) {
    case 'rate_limit_exceeded':
      return 'rate_limit';
    case 'provider_unavailable':
      return 'unavailable';
    case 'provider_timeout':
      return 'timeout';
    case 'provider_refused':
      return 'refused';
    case 'context_length_exceeded':
      return 'context_length';
    case 'content_policy_violation':
      return 'content_policy';
    default:
      return 'error';
  }
}

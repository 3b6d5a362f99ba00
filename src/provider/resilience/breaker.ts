/* Stops asking a provider that keeps failing, by cockatiel, so that callers learn at once what they would learn after a timeout. */

import {
  circuitBreaker,
  type CircuitBreakerPolicy,
  CircuitState,
  ConsecutiveBreaker,
  handleType,
  isBrokenCircuitError,
} from 'cockatiel';
import { type ErrorCode, SluiceError } from '../../domain/errors.js';
import { begin, type Begun, handedStream } from '../handed-stream.js';
import { Provider, type ProviderPart, type ProviderRequest } from '../provider.js';
import { untilAborted } from './until-aborted.js';

export interface BreakerOptions {
  /** So many failed calls in a row open it. */
  readonly failures: number;
  /** For so long nobody is let through; then one call is, and its first delta closes it again. */
  readonly openForMs: number;
}

export type BreakerState = 'closed' | 'open' | 'half_open';

/** The provider's own failures. Callers' mistakes, rate limits (its or ours) and cancels say nothing about its health. */
const FAILURES: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'provider_error',
  'provider_unavailable',
  'provider_stream_interrupted',
  'provider_timeout',
  'server_error',
]);

/** Marks what cockatiel shall count; never leaves this file. */
class Counted {
  constructor(readonly error: unknown) {}
}

export class BreakerProvider extends Provider {
  readonly #inner: Provider;
  readonly #openForMs: number;
  readonly #policy: CircuitBreakerPolicy;
  #openedAtMs = 0;

  constructor(inner: Provider, options: BreakerOptions, onChange: (state: BreakerState) => void = () => undefined) {
    super();
    this.#inner = inner;
    this.#openForMs = options.openForMs;
    this.#policy = circuitBreaker(handleType(Counted), {
      halfOpenAfter: options.openForMs,
      breaker: new ConsecutiveBreaker(options.failures),
    });
    this.#policy.onBreak(() => (this.#openedAtMs = Date.now()));
    this.#policy.onStateChange((state) => onChange(nameOf(state)));
  }

  get state(): BreakerState {
    return nameOf(this.#policy.state);
  }

  /**
   * While it is closed, a call counts when it ends: a provider that speaks and then breaks off is failing. The one call that
   * tries whether it is well again counts at its first delta, and others are refused meanwhile.
   */
  override stream(request: ProviderRequest, signal: AbortSignal): AsyncIterable<ProviderPart> {
    return handedStream(() => {
      if (this.#policy.state === CircuitState.HalfOpen) throw this.#refusal();
      const trial = this.#policy.state === CircuitState.Open;
      const begun = Promise.withResolvers<Begun>();
      const execution = this.#policy.execute(async () => {
        const ended = Promise.withResolvers<void>();
        try {
          const answer = await begin(this.#inner.stream(request, signal));
          begun.resolve({
            ...answer,
            onEnd: (thrown) => (thrown === undefined ? ended.resolve() : ended.reject(thrown.error)),
            onReturn: ended.resolve,
          });
          if (trial) ended.promise.catch(() => undefined);
          else await ended.promise;
        } catch (error) {
          // Cockatiel would take a cancelled trial for a success: nothing was learnt, so it stays open.
          throw counts(error, signal) || (trial && signal.aborted) ? new Counted(error) : error;
        }
      });
      execution.catch((thrown: unknown) => {
        if (isBrokenCircuitError(thrown)) begun.reject(this.#refusal());
        else begun.reject(thrown instanceof Counted ? thrown.error : thrown);
      });
      return untilAborted(begun.promise, signal);
    });
  }

  #refusal(): SluiceError {
    const retryAfterMs = Math.max(1000, this.#openedAtMs + this.#openForMs - Date.now());
    return new SluiceError(
      'provider_unavailable',
      'unable to ask the provider; it failed several times in a row and is left alone for a while; try again later',
      { retryAfterMs },
    );
  }
}

function counts(error: unknown, signal: AbortSignal): boolean {
  if (!(error instanceof SluiceError)) return false;
  // Of what ends a call from outside, only our own time limit speaks of the provider.
  return signal.aborted ? error.code === 'provider_timeout' : FAILURES.has(error.code);
}

function nameOf(state: CircuitState): BreakerState {
  if (state === CircuitState.Closed) return 'closed';
  return state === CircuitState.HalfOpen ? 'half_open' : 'open';
}

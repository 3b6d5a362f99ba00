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
import { systemTime, type Time } from '../../domain/time.js';
import { begin, type Begun, handedStream } from '../handed-stream.js';
import { Provider, type ProviderPart, type ProviderRequest } from '../provider.js';
import { untilAborted } from './until-aborted.js';

export interface BreakerOptions {
  /** So many failed calls in a row open it. */
  readonly failures: number;
  /** For how long all calls are refused. Then one call is let through, and its first delta closes the breaker. */
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

/** When to look again while a trial runs. */
const TRIAL_MS = 1_000;

/** Marks what cockatiel shall count; never leaves this file. */
class Counted {
  constructor(readonly error: unknown) {}
}

export class BreakerProvider extends Provider {
  readonly #inner: Provider;
  readonly #openForMs: number;
  readonly #policy: CircuitBreakerPolicy;
  readonly #time: Time;
  #openedAtMs = 0;

  constructor(
    inner: Provider,
    options: BreakerOptions,
    onChange: (state: BreakerState) => void = () => undefined,
    time: Time = systemTime,
  ) {
    super();
    this.#time = time;
    this.#inner = inner;
    this.#openForMs = options.openForMs;
    this.#policy = circuitBreaker(handleType(Counted), {
      halfOpenAfter: options.openForMs,
      breaker: new ConsecutiveBreaker(options.failures),
    });
    let last: BreakerState = 'closed';
    const report = (state: BreakerState): void => {
      if (state !== last) onChange(state);
      last = state;
    };
    this.#policy.onBreak(() => {
      this.#openedAtMs = this.#time.now();
      // Without a call nothing else would say that the next one is let through.
      this.#time.after(options.openForMs, () => {
        if (this.closedForMs() === 0 && this.#policy.state === CircuitState.Open) report('half_open');
      });
    });
    this.#policy.onStateChange((state) => report(nameOf(state)));
  }

  /** Milliseconds until a call is let through; 0: now. While one call tries the provider, others wait for its outcome. */
  closedForMs(): number {
    if (this.#policy.state === CircuitState.Closed) return 0;
    if (this.#policy.state === CircuitState.HalfOpen) return TRIAL_MS;
    return Math.max(0, this.#openedAtMs + this.#openForMs - this.#time.now());
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
    const retryAfterMs = Math.max(1000, this.#openedAtMs + this.#openForMs - this.#time.now());
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

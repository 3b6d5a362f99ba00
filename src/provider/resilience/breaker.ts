/*
 * A circuit breaker, by cockatiel. Stops calling a provider that keeps failing, so that callers
 * fail at once instead of after a timeout.
 */

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
import { openStream, ProviderLayer, type StreamOpening, untilAborted, watched } from '../stream-opening.js';
import { Overtaken, type Provider, type ProviderRequest } from '../provider.js';

export interface BreakerOptions {
  /** Number of consecutive failed calls that opens it. */
  readonly failures: number;
  /**
   * For how long all calls are refused. Then one call is let through, and its first delta closes
   * the breaker. A call that is silent for as long again counts as failed, and closes the breaker
   * if it delivers later.
   */
  readonly openForMs: number;
}

export type BreakerState = 'closed' | 'open' | 'half_open';

/**
 * The provider's own failures. Mistakes of callers, rate limits (its or ours) and cancels are not
 * signs of its health.
 */
const FAILURES: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'provider_error',
  'provider_unavailable',
  'provider_stream_interrupted',
  'provider_timeout',
  'server_error',
]);

/** The wait that a refusal reports while a trial runs. */
const TRIAL_MS = 1_000;

/** The failure of a silent trial, for the breaker only; the call itself continues. */
const SILENT = new Error('the trial is silent');

/** Marks the errors that cockatiel counts. Never leaves this file. */
class Counted {
  constructor(readonly error: unknown) {}
}

export class BreakerProvider extends ProviderLayer {
  readonly #inner: Provider;
  readonly #openForMs: number;
  readonly #policy: CircuitBreakerPolicy;
  readonly #time: Time;
  #openedAtMs = 0;
  /** Whether a trial delivered after it had counted as failed. */
  #deliveredLate = false;

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
    const deliveredLate = (): boolean => this.#deliveredLate;
    const pause = {
      get duration() {
        return deliveredLate() ? 0 : options.openForMs;
      },
      next: () => pause,
    };
    this.#policy = circuitBreaker(handleType(Counted), {
      halfOpenAfter: pause,
      breaker: new ConsecutiveBreaker(options.failures),
    });
    let last: BreakerState = 'closed';
    const report = (state: BreakerState): void => {
      if (state !== last) onChange(state);
      last = state;
    };
    this.#policy.onBreak(() => {
      this.#openedAtMs = this.#time.now();
      // Without a call, nothing else reports that the next one is allowed.
      this.#time.after(options.openForMs, () => {
        if (this.closedForMs() === 0 && this.#policy.state === CircuitState.Open) report('half_open');
      });
    });
    this.#policy.onStateChange((state) => report(nameOf(state)));
  }

  /**
   * Milliseconds until a call is allowed; 0 means now. While a trial runs, other calls wait for its
   * outcome.
   */
  closedForMs(): number {
    if (this.#policy.state === CircuitState.Closed) return 0;
    if (this.#policy.state === CircuitState.HalfOpen) return TRIAL_MS;
    return Math.max(0, this.#openedAtMs + this.#openForMs - this.#time.now());
  }

  get state(): BreakerState {
    return nameOf(this.#policy.state);
  }

  /**
   * Calls the inner provider. While the breaker is closed, a call counts when it ends, because a
   * provider that breaks off an answer is failing. A trial call counts at its first delta. Other
   * calls are refused during the trial.
   */
  override open(request: ProviderRequest, signal: AbortSignal): Promise<StreamOpening> {
    if (this.#policy.state === CircuitState.HalfOpen) return Promise.reject(this.#refusal());
    const trial = this.#policy.state === CircuitState.Open;
    const opened = Promise.withResolvers<StreamOpening>();
    const execution = this.#policy.execute(async () => {
      const ended = Promise.withResolvers<void>();
      try {
        const opening = openStream(this.#inner, request, signal).then((answer) =>
          opened.resolve(
            watched(answer, {
              onEnd: (thrown) => (thrown === undefined ? ended.resolve() : ended.reject(thrown.error)),
              onReturn: ended.resolve,
            }),
          ),
        );
        await (trial ? this.#rejectIfSilent(opening, opened.reject) : opening);
        if (trial) ended.promise.catch(() => undefined);
        else await ended.promise;
      } catch (error) {
        // Cockatiel would count a cancelled trial as a success. It shows nothing, so the breaker
        // stays open.
        throw error === SILENT || counts(error, signal) || (trial && signal.aborted) ? new Counted(error) : error;
      }
    });
    execution.catch((thrown: unknown) => {
      if (thrown instanceof Counted && thrown.error === SILENT) return;
      if (isBrokenCircuitError(thrown)) opened.reject(this.#refusal());
      else opened.reject(thrown instanceof Counted ? thrown.error : thrown);
    });
    return untilAborted(opened.promise, signal);
  }

  /**
   * Resolves with the first delta of a trial. Rejects with `SILENT` when the trial is silent for
   * `openForMs`.
   * @param onLateFailure called with a failure after that
   */
  #rejectIfSilent(opening: Promise<void>, onLateFailure: (error: unknown) => void): Promise<void> {
    const outcome = Promise.withResolvers<void>();
    let late = false;
    const cancel = this.#time.after(this.#openForMs, () => {
      late = true;
      outcome.reject(SILENT);
    });
    opening.then(
      () => {
        cancel();
        if (late) this.#closeLate();
        else outcome.resolve();
      },
      (error: unknown) => {
        cancel();
        if (late) onLateFailure(error);
        else outcome.reject(error as Error);
      },
    );
    return outcome.promise;
  }

  /**
   * Closes the breaker after a late delivery, with a trial that needs no call. If another trial
   * runs, that trial decides.
   */
  #closeLate(): void {
    if (this.#policy.state !== CircuitState.Open) return;
    this.#deliveredLate = true;
    void this.#policy.execute(() => undefined).finally(() => (this.#deliveredLate = false));
  }

  #refusal(): SluiceError {
    const retryAfterMs = Math.max(1000, this.#openedAtMs + this.#openForMs - this.#time.now());
    return new SluiceError(
      'provider_unavailable',
      'unable to call the provider; it failed several times in a row and is paused for a while; try again later',
      { retryAfterMs },
    );
  }
}

function counts(error: unknown, signal: AbortSignal): boolean {
  const { reason } = signal as { readonly reason: unknown };
  if (reason instanceof Overtaken) return reason.silent;
  if (!(error instanceof SluiceError)) return false;
  // Of all aborts, only our own call timeout and an overtaken silence count as failures of the
  // provider.
  return signal.aborted ? error.code === 'provider_timeout' : FAILURES.has(error.code);
}

function nameOf(state: CircuitState): BreakerState {
  if (state === CircuitState.Closed) return 'closed';
  return state === CircuitState.HalfOpen ? 'half_open' : 'open';
}

/*
 * Decides before a turn exists whether a provider could be asked at all, so that a refusal costs nothing and is not stored. Takes the turn's
 * place in the bucket of the provider that will be asked first.
 */

import { SluiceError } from '../domain/errors.js';
import { sleep, systemTime, type Time } from '../domain/time.js';
import { type CallBudget } from './resilience/rate-limit.js';

export interface GateCandidate {
  readonly name: string;
  /** Milliseconds until the breaker lets a call through; 0: now. Absent: there is no breaker. */
  readonly closedForMs?: () => number;
  /** Absent: no rate limit. */
  readonly budget?: CallBudget;
}

/** A turn's place at a provider. */
export interface CallPlace {
  /** Whose bucket the first call has been taken from; null: none's. */
  readonly paid: string | null;
  /** Returns it: the provider was not asked. */
  readonly giveBack: () => Promise<void>;
}

export const FREE_PLACE: CallPlace = { paid: null, giveBack: () => Promise.resolve() };

/** No provider can be asked: every breaker is open. Unlike a call that failed, nothing was tried, so this is 503. */
export class ProvidersPaused extends SluiceError {
  override readonly status = 503;

  constructor(retryAfterMs: number) {
    super(
      'provider_unavailable',
      'unable to start a turn; the provider failed several times in a row and is paused; try again later',
      { retryAfterMs },
    );
  }
}

const LEAST_RETRY_MS = 1_000;

export class CallGate {
  readonly #candidates: readonly GateCandidate[];
  readonly #maxWaitMs: number;
  readonly #time: Time;

  /** @param maxWaitMs how long a turn waits for a place before it is refused */
  constructor(candidates: readonly GateCandidate[], maxWaitMs: number, time: Time = systemTime) {
    this.#candidates = candidates;
    this.#maxWaitMs = maxWaitMs;
    this.#time = time;
  }

  /** @throws ProvidersPaused, or SluiceError `rate_limit_exceeded` */
  async enter(): Promise<CallPlace> {
    const deadline = this.#time.now() + this.#maxWaitMs;
    for (;;) {
      const open = this.#candidates.filter(({ closedForMs }) => (closedForMs?.() ?? 0) === 0);
      if (open.length === 0) throw new ProvidersPaused(this.#pausedForMs());
      const { place, retryAfterMs } = await this.#take(open);
      if (place !== undefined) return place;
      if (this.#time.now() + retryAfterMs > deadline) throw limited(retryAfterMs);
      await sleep(this.#time, Math.max(1, retryAfterMs));
    }
  }

  /** A place at the first that has one, or how long until one has. */
  async #take(open: readonly GateCandidate[]): Promise<{ readonly place?: CallPlace; readonly retryAfterMs: number }> {
    let soonest = Infinity;
    for (const { name, budget } of open) {
      if (budget === undefined) return { place: FREE_PLACE, retryAfterMs: 0 };
      const { allowed, retryAfterMs } = await budget.take(1);
      if (allowed) return { place: placeAt(name, budget), retryAfterMs: 0 };
      soonest = Math.min(soonest, retryAfterMs);
    }
    return { retryAfterMs: soonest };
  }

  #pausedForMs(): number {
    return Math.max(LEAST_RETRY_MS, Math.min(...this.#candidates.map(({ closedForMs }) => closedForMs?.() ?? 0)));
  }
}

function placeAt(name: string, budget: CallBudget): CallPlace {
  let taken = true;
  return {
    paid: name,
    giveBack: async () => {
      if (!taken) return;
      taken = false;
      await budget.take(-1);
    },
  };
}

function limited(retryAfterMs: number): SluiceError {
  return new SluiceError(
    'rate_limit_exceeded',
    "unable to start a turn; the gateway's own rate limit towards the provider is reached; try again later",
    Number.isFinite(retryAfterMs) ? { retryAfterMs } : {},
  );
}

/*
 * Decides before a turn exists whether a provider can be called, so that a refusal costs nothing
 * and is not stored. Takes the turn's place in the bucket of the provider that will be called
 * first.
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
  /** The provider whose bucket the first call was taken from, or null. */
  readonly paid: string | null;
  /** Returns the place to the bucket, because the provider was not called. */
  readonly giveBack: () => Promise<void>;
}

export const FREE_PLACE: CallPlace = { paid: null, giveBack: () => Promise.resolve() };

/**
 * No provider can be called: every breaker is open. Unlike a failed call, nothing was tried, so the
 * status is 503.
 */
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

  /** Takes a place at the first provider that has one, or returns the time until one is free. */
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

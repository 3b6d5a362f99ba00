/*
 * Limits operations that are not turns: reads, lists, changes of conversations, cancels,
 * subscribes, resumes. Each process has one bucket per caller. The limit protects the replica, so
 * it is synchronous: it reads no store and keeps the order of frames.
 */

import { SluiceError } from '../domain/errors.js';
import { type Principal, callerKey } from '../domain/principal.js';
import { systemTime, type Time } from '../domain/time.js';

export interface OperationLimitsOptions {
  /** Operations in a full bucket, and operations that are refilled in a minute. At least 1. */
  readonly perMinute: number;
  /** The same by the class of the caller, where it differs. */
  readonly perMinuteOf?: Readonly<Record<string, number>>;
  /** Called for each refused operation. */
  readonly onRefused?: () => void;
  readonly time?: Time;
}

const MINUTE_MS = 60_000;
/** Callers remembered at once, about 100 bytes each. */
const CALLERS_MAX = 10_000;

export class OperationLimits {
  readonly #options: OperationLimitsOptions;
  readonly #time: Time;
  readonly #perMinuteOf: ReadonlyMap<string, number>;
  /**
   * When the bucket of each caller is full again, on the monotonic clock. Ordered by last use, so
   * the first entry is the best one to drop. A caller without an entry has a full bucket.
   */
  readonly #fullAt = new Map<string, number>();

  constructor(options: OperationLimitsOptions) {
    this.#options = options;
    this.#time = options.time ?? systemTime;
    this.#perMinuteOf = new Map(Object.entries(options.perMinuteOf ?? {}));
  }

  /** Number of callers remembered now. */
  get size(): number {
    return this.#fullAt.size;
  }

  /**
   * Counts one operation of `caller`. A refused operation takes nothing.
   * @param cost operations to count, at least 1; at most a whole bucket is taken
   * @throws SluiceError `rate_limit_exceeded`, with the time after which the same operation fits
   */
  take(caller: Principal, cost = 1): void {
    const now = this.#time.now();
    const key = callerKey(caller);
    const perMinute = this.#perMinuteOf.get(caller.limitsClass ?? '') ?? this.#options.perMinute;
    const costMs = Math.min((cost * MINUTE_MS) / perMinute, MINUTE_MS);
    const fullAt = Math.max(now, this.#fullAt.get(key) ?? now) + costMs;
    const waitMs = fullAt - now - MINUTE_MS;
    // Summing fractions of milliseconds must not refuse the last operation of a bucket.
    if (waitMs > 1e-6) {
      this.#options.onRefused?.();
      throw usedUp(perMinute, waitMs);
    }
    this.#fullAt.delete(key);
    this.#fullAt.set(key, fullAt);
    this.#forget(now);
  }

  /** Drops callers whose bucket is full again, and the least recently seen ones above the bound. */
  #forget(now: number): void {
    for (const [key, fullAt] of this.#fullAt) {
      if (fullAt > now && this.#fullAt.size <= CALLERS_MAX) return;
      this.#fullAt.delete(key);
    }
  }
}

function usedUp(perMinute: number, waitMs: number): SluiceError {
  const seconds = Math.max(1, Math.ceil(waitMs / 1_000));
  return new SluiceError(
    'rate_limit_exceeded',
    `unable to serve this operation; the limit of ${perMinute} operations a minute is used up; try again in ${seconds} s`,
    { retryAfterMs: Math.ceil(waitMs) },
  );
}

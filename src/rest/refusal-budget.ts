/*
 * Bounds refused requests, as sockets bound refused frames: one bucket for each sender, weighted by
 * the size of the body. A sender with an empty bucket gets 429 from its headers alone, so that
 * malformed requests cannot keep the process busy.
 */

import { SluiceError } from '../domain/errors.js';
import { systemTime, type Time } from '../domain/time.js';

export interface RefusalBudgetOptions {
  /** Size of the bucket, and its refill within a minute. At least 1. */
  readonly perMinute: number;
  readonly time?: Time;
}

const MINUTE_MS = 60_000;
/**
 * Each full multiple of this in a refused body counts as one more request, because reading it cost
 * as much.
 */
const BODY_BYTES_PER_REFUSAL = 65_536;
/** Most senders that are remembered, about 100 bytes each. */
const SENDERS_MAX = 10_000;

export class RefusalBudget {
  readonly #msPerRefusal: number;
  readonly #time: Time;
  /**
   * When the bucket of each sender is full again, ordered by last use. A sender without an entry
   * has a full bucket.
   */
  readonly #fullAt = new Map<string, number>();

  constructor({ perMinute, time = systemTime }: RefusalBudgetOptions) {
    this.#msPerRefusal = MINUTE_MS / perMinute;
    this.#time = time;
  }

  /**
   * Checks the bucket of a sender before its request is read.
   * @throws SluiceError `rate_limit_exceeded` if the bucket is empty
   */
  check(sender: string): void {
    const waitMs = (this.#fullAt.get(sender) ?? 0) - this.#time.now() - MINUTE_MS + this.#msPerRefusal;
    // Allow for rounding, so that the last request of a bucket is not refused.
    if (waitMs <= 1e-6) return;
    throw new SluiceError(
      'rate_limit_exceeded',
      'unable to serve this request; too many of your requests were refused; correct them and try again later',
      { retryAfterMs: Math.ceil(waitMs) },
    );
  }

  /** Counts a refused request. The bucket may become negative by at most one request. */
  count(sender: string, bodyBytes: number): void {
    const now = this.#time.now();
    const cost = (1 + Math.floor(bodyBytes / BODY_BYTES_PER_REFUSAL)) * this.#msPerRefusal;
    const fullAt = Math.max(now, this.#fullAt.get(sender) ?? now) + cost;
    this.#fullAt.delete(sender);
    this.#fullAt.set(sender, fullAt);
    for (const [key, at] of this.#fullAt) {
      if (at > now && this.#fullAt.size <= SENDERS_MAX) break;
      this.#fullAt.delete(key);
    }
  }
}

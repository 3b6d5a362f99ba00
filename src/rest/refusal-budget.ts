/*
 * Bounds refused requests, as sockets bound refused frames: one bucket per sender, weighed by the size of the body. A sender whose bucket is
 * empty gets 429 from its headers alone, so that malformed requests cannot be used to keep the process busy.
 */

import { SluiceError } from '../domain/errors.js';
import { systemTime, type Time } from '../domain/time.js';

export interface RefusalBudgetOptions {
  /** Size of the bucket, and what flows into it within a minute. At least 1. */
  readonly perMinute: number;
  readonly time?: Time;
}

const MINUTE_MS = 60_000;
/** A refused body counts once more for each of these: reading it cost as much as several small ones. */
const BODY_BYTES_PER_REFUSAL = 65_536;
/** Senders remembered at once, about 100 bytes each. */
const SENDERS_MAX = 10_000;

export class RefusalBudget {
  readonly #msPerRefusal: number;
  readonly #time: Time;
  /** When the bucket of each sender is full again. Ordered by last use; a sender without an entry has a full bucket. */
  readonly #fullAt = new Map<string, number>();

  constructor({ perMinute, time = systemTime }: RefusalBudgetOptions) {
    this.#msPerRefusal = MINUTE_MS / perMinute;
    this.#time = time;
  }

  /** @throws SluiceError `rate_limit_exceeded` if the bucket of `sender` is empty */
  check(sender: string): void {
    const waitMs = (this.#fullAt.get(sender) ?? 0) - this.#time.now() - MINUTE_MS + this.#msPerRefusal;
    // Summing fractions of milliseconds must not refuse the last request of a bucket.
    if (waitMs <= 1e-6) return;
    throw new SluiceError(
      'rate_limit_exceeded',
      'unable to serve this request; too many of your requests were refused; correct them and try again later',
      { retryAfterMs: Math.ceil(waitMs) },
    );
  }

  /** Counts a refused request. The bucket may go below empty, by one request at most. */
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

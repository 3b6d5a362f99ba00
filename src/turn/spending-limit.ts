/*
 * A budget of which a turn reserves what it is expected to use, and settles what it did use. A turn that used more than is left takes the
 * bucket below zero: the caller's next turn waits until that has refilled, whichever replica it comes to.
 */

import { type Bucket, type BucketState, type RateLimiter } from '../state/rate-limiter.js';

export class SpendingLimit {
  readonly capacity: number;
  readonly #limiter: RateLimiter;
  readonly #name: string;
  readonly #refillPerSecond: number;

  /** `capacity` units flow in every `perSeconds`. */
  constructor(limiter: RateLimiter, name: string, capacity: number, perSeconds: number) {
    this.#limiter = limiter;
    this.#name = name;
    this.capacity = capacity;
    this.#refillPerSecond = capacity / perSeconds;
  }

  /** Takes `amount`, or nothing. A turn that expects more than the whole budget needs all of it: it would never fit otherwise. */
  async reserve(who: string, amount: number): Promise<{ readonly state: BucketState; readonly reserved: number }> {
    if (this.capacity < 1) return { state: NOTHING_EVER, reserved: 0 };
    const reserved = Math.min(this.capacity, amount);
    return { state: await this.#limiter.take(this.#bucket(who), reserved), reserved };
  }

  /**
   * Counts `used` in the place of what was reserved.
   * @returns the bucket after that, or undefined where nothing changed
   */
  async settle(who: string, reserved: number, used: number): Promise<BucketState | undefined> {
    if (used === reserved || this.capacity < 1) return undefined;
    return this.#limiter.charge(this.#bucket(who), used - reserved);
  }

  #bucket(who: string): Bucket {
    const { capacity } = this;
    return { key: `limit:${this.#name}:${who}`, capacity, refillPerSecond: this.#refillPerSecond };
  }
}

/** A budget of nothing never has anything. */
const NOTHING_EVER: BucketState = { allowed: false, remaining: 0, retryAfterMs: 86_400_000, resetMs: 86_400_000 };

/*
 * A budget from which a turn reserves its expected use, and against which it settles its real use.
 * A turn that used more than is left takes the bucket below zero. The caller's next turn is refused
 * on every replica until the bucket has refilled.
 */

import { type Bucket, type BucketState, type RateLimiter } from '../state/rate-limiter.js';

export class SpendingLimit {
  readonly capacity: number;
  readonly #limiter: RateLimiter;
  readonly #name: string;
  readonly #refillPerSecond: number;

  /** @param capacity units in a full bucket, refilled within `perSeconds` seconds */
  constructor(limiter: RateLimiter, name: string, capacity: number, perSeconds: number) {
    this.#limiter = limiter;
    this.#name = name;
    this.capacity = capacity;
    this.#refillPerSecond = capacity / perSeconds;
  }

  /**
   * Takes `amount` units, or none. A turn that expects more than the whole budget takes all of it,
   * since it would never fit otherwise.
   */
  async reserve(who: string, amount: number): Promise<{ readonly state: BucketState; readonly reserved: number }> {
    if (this.capacity < 1) return { state: NOTHING_EVER, reserved: 0 };
    const reserved = Math.min(this.capacity, amount);
    return { state: await this.#limiter.take(this.#bucket(who), reserved), reserved };
  }

  /**
   * Replaces the reserved units by the used ones.
   * @returns the bucket after that, or undefined if nothing changed
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

/** State of a budget with a capacity of 0. */
const NOTHING_EVER: BucketState = { allowed: false, remaining: 0, retryAfterMs: 86_400_000, resetMs: 86_400_000 };

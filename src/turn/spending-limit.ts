/*
 * A budget of which a turn reserves what it is expected to use, and settles what it did use. More than is left cannot be taken from
 * a bucket, so what was used beyond it is remembered here, and paid before this caller's next turn.
 */

import { type BucketState, type RateLimiter } from '../state/rate-limiter.js';

/** Callers whose debt is remembered; the oldest is forgotten first. */
const MOST_DEBTORS = 10_000;

export class SpendingLimit {
  readonly capacity: number;
  readonly #limiter: RateLimiter;
  readonly #name: string;
  readonly #refillPerSecond: number;
  readonly #debts = new Map<string, number>();

  /** `capacity` units flow in every `perSeconds`. */
  constructor(limiter: RateLimiter, name: string, capacity: number, perSeconds: number) {
    this.#limiter = limiter;
    this.#name = name;
    this.capacity = capacity;
    this.#refillPerSecond = capacity / perSeconds;
  }

  /**
   * Takes `amount` and the caller's debt, or nothing. A turn that expects more than the whole budget needs all of it: it would
   * never fit otherwise.
   */
  async reserve(who: string, amount: number): Promise<{ readonly state: BucketState; readonly reserved: number }> {
    if (this.capacity < 1) return { state: NOTHING_EVER, reserved: 0 };
    const debt = this.#debts.get(who) ?? 0;
    const cost = Math.min(this.capacity, amount + debt);
    const reserved = Math.min(amount, cost);
    const state = await this.#limiter.take(this.#bucket(who), cost);
    if (state.allowed) this.#owe(who, reserved - cost);
    return { state, reserved };
  }

  async settle(who: string, reserved: number, used: number): Promise<void> {
    const more = used - reserved;
    if (more === 0 || this.capacity < 1) return;
    const bucket = this.#bucket(who);
    const state = await this.#limiter.take(bucket, more);
    if (state.allowed) return;
    const emptied = state.remaining > 0 && (await this.#limiter.take(bucket, state.remaining)).allowed;
    this.#owe(who, more - (emptied ? state.remaining : 0));
  }

  #bucket(who: string) {
    const { capacity } = this;
    return { key: `limit:${this.#name}:${who}`, capacity, refillPerSecond: this.#refillPerSecond };
  }

  /** Changes what a caller owes. */
  #owe(who: string, by: number): void {
    if (by === 0) return;
    const debt = Math.max(0, (this.#debts.get(who) ?? 0) + by);
    this.#debts.delete(who);
    if (debt === 0) return;
    this.#debts.set(who, debt);
    if (this.#debts.size <= MOST_DEBTORS) return;
    const [oldest] = this.#debts.keys();
    if (oldest !== undefined) this.#debts.delete(oldest);
  }
}

/** A budget of nothing never has anything. */
const NOTHING_EVER: BucketState = { allowed: false, remaining: 0, retryAfterMs: 86_400_000, resetMs: 86_400_000 };

/*
 * Token buckets in this process's memory. A bucket is a level and the time at which it was
 * computed, so it is exact. Full buckets are dropped, so that callers that send one request take no
 * memory afterwards.
 */

import { systemTime, type Time } from '../../domain/time.js';
import { type Bucket, type BucketState, bucketState, RateLimiter } from '../rate-limiter.js';

interface Level {
  tokens: number;
  atMs: number;
  /** When the bucket is full again, by `Time.now()`; from then on it need not be stored. */
  fullAtMs: number;
}

/** Full buckets are dropped once every this many calls. */
const SWEEP_EVERY = 1024;

export class MemoryRateLimiter extends RateLimiter {
  readonly #levels = new Map<string, Level>();
  readonly #time: Time;
  #takes = 0;

  constructor(time: Time = systemTime) {
    super();
    this.#time = time;
  }

  /** Number of buckets that are not full. */
  get size(): number {
    return this.#levels.size;
  }

  override take(bucket: Bucket, cost: number): Promise<BucketState> {
    return Promise.resolve(this.#change(bucket, cost, false));
  }

  override charge(bucket: Bucket, amount: number): Promise<BucketState> {
    return Promise.resolve(this.#change(bucket, amount, true));
  }

  /** Takes `cost` tokens. @param always whether to take them even if the bucket holds fewer */
  #change(bucket: Bucket, cost: number, always: boolean): BucketState {
    const now = this.#time.now();
    if (++this.#takes % SWEEP_EVERY === 0) this.#sweep(now);
    const { capacity, refillPerSecond } = bucket;
    const level = this.#levels.get(bucket.key);
    // Guard against time running backwards, and cap the level if the configured capacity became
    // smaller.
    const passedMs = level === undefined ? 0 : Math.max(0, now - level.atMs);
    const before = Math.min(capacity, (level?.tokens ?? capacity) + (passedMs * refillPerSecond) / 1000);
    // Allow for floating-point error, so that a token that is due is not refused.
    const allowed = always || cost <= 0 || before + 1e-9 >= cost;
    const after = before - cost;
    const tokens = allowed ? Math.min(capacity, always ? after : Math.max(after, Math.min(before, 0))) : before;
    const state = bucketState(bucket, cost, allowed, tokens);
    if (tokens < capacity) this.#levels.set(bucket.key, { tokens, atMs: now, fullAtMs: now + state.resetMs });
    else this.#levels.delete(bucket.key);
    return state;
  }

  #sweep(now: number): void {
    for (const [key, level] of this.#levels) if (level.fullAtMs <= now) this.#levels.delete(key);
  }
}

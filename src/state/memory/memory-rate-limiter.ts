/*
 * Token buckets in this process: what state.type memory has in the place of Redis. Exact, not approximate: a bucket is a level and
 * the time it was true. Forgets buckets that are full again, so that callers who come once cost nothing for ever.
 */

import { systemTime, type Time } from '../../domain/time.js';
import { type Bucket, type BucketState, bucketState, RateLimiter } from '../rate-limiter.js';

interface Level {
  tokens: number;
  atMs: number;
  /** When it is full again; from then on it need not be remembered. */
  fullAtMs: number;
}

/** Full buckets are looked for after this many takes. */
const SWEEP_EVERY = 1024;

export class MemoryRateLimiter extends RateLimiter {
  readonly #levels = new Map<string, Level>();
  readonly #time: Time;
  #takes = 0;

  constructor(time: Time = systemTime) {
    super();
    this.#time = time;
  }

  /** How many buckets are remembered. */
  get size(): number {
    return this.#levels.size;
  }

  override take(bucket: Bucket, cost: number): Promise<BucketState> {
    return Promise.resolve(this.#change(bucket, cost, false));
  }

  override charge(bucket: Bucket, amount: number): Promise<BucketState> {
    return Promise.resolve(this.#change(bucket, amount, true));
  }

  /** `always`: also where the bucket holds less than `cost`. */
  #change(bucket: Bucket, cost: number, always: boolean): BucketState {
    const now = this.#time.now();
    if (++this.#takes % SWEEP_EVERY === 0) this.#sweep(now);
    const { capacity, refillPerSecond } = bucket;
    const level = this.#levels.get(bucket.key);
    // Time must not run back, and a bucket whose capacity was made smaller holds no more than that.
    const passedMs = level === undefined ? 0 : Math.max(0, now - level.atMs);
    const before = Math.min(capacity, (level?.tokens ?? capacity) + (passedMs * refillPerSecond) / 1000);
    // Counting in fractions, a token that is due must not be missed by a rounding.
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

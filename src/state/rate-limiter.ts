/* A token bucket shared by all replicas. */

export interface Bucket {
  /** Names the bucket; never contains a secret. */
  readonly key: string;
  readonly capacity: number;
  readonly refillPerSecond: number;
}

export interface BucketState {
  readonly allowed: boolean;
  /** What is left after this call, rounded down; 0 for a bucket below zero. */
  readonly remaining: number;
  /** When `cost` would fit, in milliseconds from now; 0 when it was allowed. */
  readonly retryAfterMs: number;
  /** When the bucket is full again, in milliseconds from now. */
  readonly resetMs: number;
}

export abstract class RateLimiter {
  /** Takes `cost` (0 or more; 0 only looks) from the bucket if it is there, else takes nothing. */
  abstract take(bucket: Bucket, cost: number): Promise<BucketState>;

  /**
   * Takes `amount` whether or not it is there: the bucket may go below zero, and admits nothing until it has refilled. A negative
   * amount gives back, up to the capacity.
   */
  abstract charge(bucket: Bucket, amount: number): Promise<BucketState>;
}

/** What is told of a bucket that holds `tokens` after a call of `cost`. */
export function bucketState(bucket: Bucket, cost: number, allowed: boolean, tokens: number): BucketState {
  const { capacity, refillPerSecond } = bucket;
  return {
    allowed,
    // Counting in fractions, a token that is there must not be missed by a rounding.
    remaining: Math.max(0, Math.floor(tokens + 1e-9)),
    retryAfterMs: allowed ? 0 : cost > capacity ? Infinity : waitMs(cost - tokens, refillPerSecond),
    resetMs: waitMs(capacity - tokens, refillPerSecond),
  };
}

/** Until so many tokens have flowed in, in whole milliseconds; Infinity: never. */
function waitMs(tokens: number, refillPerSecond: number): number {
  return tokens <= 0 ? 0 : Math.ceil(Number(((tokens * 1000) / refillPerSecond).toFixed(6)));
}

/* The contract of token buckets that all replicas share. */

export interface Bucket {
  /** Name of the bucket. Never contains a secret. */
  readonly key: string;
  readonly capacity: number;
  readonly refillPerSecond: number;
}

export interface BucketState {
  readonly allowed: boolean;
  /** Tokens left after this call, rounded down; 0 for a bucket below zero. */
  readonly remaining: number;
  /** Milliseconds until `cost` would fit; 0 if it was allowed; Infinity if it never fits. */
  readonly retryAfterMs: number;
  /** Milliseconds until the bucket is full again. */
  readonly resetMs: number;
}

export abstract class RateLimiter {
  /**
   * Takes `cost` tokens if the bucket holds them, otherwise none.
   * @param cost 0 or more; 0 reads the bucket and changes nothing
   */
  abstract take(bucket: Bucket, cost: number): Promise<BucketState>;

  /**
   * Takes `amount` tokens even if the bucket holds fewer. A bucket below zero admits nothing until
   * it has refilled. A negative amount returns tokens, up to the capacity.
   */
  abstract charge(bucket: Bucket, amount: number): Promise<BucketState>;
}

/**
 * Returns the state to report for a bucket after a call.
 * @param cost tokens that the call requested
 * @param tokens tokens in the bucket after the call; may be negative
 */
export function bucketState(bucket: Bucket, cost: number, allowed: boolean, tokens: number): BucketState {
  const { capacity, refillPerSecond } = bucket;
  return {
    allowed,
    // Allow for floating-point error, so that a whole token is not rounded down.
    remaining: Math.max(0, Math.floor(tokens + 1e-9)),
    retryAfterMs: allowed ? 0 : cost > capacity ? Infinity : waitMs(cost - tokens, refillPerSecond),
    resetMs: waitMs(capacity - tokens, refillPerSecond),
  };
}

/** Returns the whole milliseconds until `tokens` have been refilled; Infinity if they never are. */
function waitMs(tokens: number, refillPerSecond: number): number {
  return tokens <= 0 ? 0 : Math.ceil(Number(((tokens * 1000) / refillPerSecond).toFixed(6)));
}

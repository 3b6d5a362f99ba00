/* A token bucket shared by all replicas. */

export interface Bucket {
  /** Names the bucket; never contains a secret. */
  readonly key: string;
  readonly capacity: number;
  readonly refillPerSecond: number;
}

export interface BucketState {
  readonly allowed: boolean;
  /** What is left after this call, rounded down. */
  readonly remaining: number;
  /** When `cost` would fit, in milliseconds from now; 0 when it was allowed. */
  readonly retryAfterMs: number;
  /** When the bucket is full again, in milliseconds from now. */
  readonly resetMs: number;
}

export abstract class RateLimiter {
  /** Takes `cost` from the bucket if it is there, else takes nothing. A negative cost gives back, up to the capacity. */
  abstract take(bucket: Bucket, cost: number): Promise<BucketState>;
}

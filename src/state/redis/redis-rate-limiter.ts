/*
 * Token buckets that all replicas share, by Redis' time. While Redis is away each replica goes on with its share of every bucket, in its own
 * memory, and says so: limits stay about what they are, and nobody waits for a store that is not there.
 */

import { MemoryRateLimiter } from '../memory/memory-rate-limiter.js';
import { type Bucket, type BucketState, bucketState, RateLimiter } from '../rate-limiter.js';
import { type Heartbeat } from './heartbeat.js';
import { type RedisKeys } from './keys.js';
import { type RedisHooks } from './options.js';
import { type RedisCommands } from './redis-commands.js';
import { type Scripts } from './scripts.js';

export interface RedisRateLimiterOptions {
  readonly commands: RedisCommands;
  readonly keys: RedisKeys;
  readonly scripts: Scripts;
  readonly heartbeat: Heartbeat;
  readonly hooks: RedisHooks;
}

export class RedisRateLimiter extends RateLimiter {
  readonly #options: RedisRateLimiterOptions;
  #local: MemoryRateLimiter | undefined;

  constructor(options: RedisRateLimiterOptions) {
    super();
    this.#options = options;
  }

  override async take(bucket: Bucket, cost: number): Promise<BucketState> {
    const { commands, keys, scripts, heartbeat } = this.#options;
    // Once it is known to be away, only the heartbeat asks whether it is back.
    if (this.#local !== undefined && !heartbeat.isUp) return this.#takeShare(this.#local, bucket, cost);
    try {
      const { key, capacity, refillPerSecond } = bucket;
      const reply = await commands.run(scripts.get('take'), [keys.rate(key)], [capacity, refillPerSecond, cost]);
      this.#goShared();
      // take.lua: 1 where it was allowed, the level.
      const [allowed, tokens] = reply as readonly [number, string];
      return bucketState(bucket, cost, allowed === 1, Number(tokens));
    } catch {
      return this.#takeShare(this.#goLocal(), bucket, cost);
    }
  }

  #takeShare(local: MemoryRateLimiter, bucket: Bucket, cost: number): Promise<BucketState> {
    const { replicas } = this.#options.heartbeat;
    const share = {
      key: bucket.key,
      // A share of less than what is asked for would refuse it for ever.
      capacity: Math.max(bucket.capacity / replicas, Math.min(cost, bucket.capacity)),
      refillPerSecond: bucket.refillPerSecond / replicas,
    };
    return local.take(share, cost);
  }

  #goLocal(): MemoryRateLimiter {
    if (this.#local === undefined) {
      this.#local = new MemoryRateLimiter();
      this.#options.hooks.onLimiterLocal?.(true, this.#options.heartbeat.replicas);
    }
    return this.#local;
  }

  #goShared(): void {
    if (this.#local === undefined) return;
    this.#local = undefined;
    this.#options.hooks.onLimiterLocal?.(false, this.#options.heartbeat.replicas);
  }
}

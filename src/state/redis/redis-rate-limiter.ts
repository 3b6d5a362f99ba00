/*
 * Token buckets that all replicas share, by the clock of Redis. While Redis does not answer, each
 * replica uses its share of every bucket, in its own memory, and reports that. Limits stay about
 * the same, and no caller waits for an unavailable store.
 */

import { systemTime, type Time } from '../../domain/time.js';
import { MemoryRateLimiter } from '../memory/memory-rate-limiter.js';
import { type Bucket, type BucketState, bucketState, RateLimiter } from '../rate-limiter.js';
import { type Heartbeat } from './connection/heartbeat.js';
import { type RedisKeys } from './redis-keys.js';
import { type RedisHooks } from './redis-options.js';
import { type RedisCommands } from './connection/redis-commands.js';
import { type Scripts } from './scripts.js';

export interface RedisRateLimiterOptions {
  readonly commands: Pick<RedisCommands, 'run'>;
  readonly keys: RedisKeys;
  readonly scripts: Scripts;
  readonly heartbeat: Pick<Heartbeat, 'isUp' | 'replicas'>;
  readonly hooks: RedisHooks;
  /**
   * How long Redis must have been up, in milliseconds, without a failed command of this limiter,
   * before buckets are shared again.
   */
  readonly settleMs: number;
  readonly time?: Time;
}

export class RedisRateLimiter extends RateLimiter {
  readonly #options: RedisRateLimiterOptions;
  readonly #time: Time;
  /**
   * Its levels are not reset when buckets are shared again: an unstable Redis must not grant a full
   * share with each outage.
   */
  readonly #local: MemoryRateLimiter;
  /** Differs from that of every other limiter that shares the buckets. */
  readonly #name: string;
  #calls = 0;
  /** When Redis may be used again, by `Time.now()`. Undefined while buckets are shared. */
  #localUntil: number | undefined;

  constructor(options: RedisRateLimiterOptions) {
    super();
    this.#options = options;
    this.#time = options.time ?? systemTime;
    this.#local = new MemoryRateLimiter(this.#time);
    this.#name = this.#time.unique().slice(0, 12);
  }

  override take(bucket: Bucket, cost: number): Promise<BucketState> {
    return this.#change(bucket, cost, false);
  }

  override charge(bucket: Bucket, amount: number): Promise<BucketState> {
    return this.#change(bucket, amount, true);
  }

  async #change(bucket: Bucket, cost: number, always: boolean): Promise<BucketState> {
    const { commands, keys, scripts } = this.#options;
    if (this.#staysLocal()) return this.#changeShare(bucket, cost, always);
    try {
      const { key, capacity, refillPerSecond } = bucket;
      // Sent again with the same nonce after a lost reply, so that take.lua counts the call once.
      const nonce = `${this.#name}.${(++this.#calls).toString(36)}`;
      const args = [capacity, refillPerSecond, cost, always ? 1 : 0, nonce];
      const reply = await commands.run(scripts.get('take'), [keys.rate(key)], args);
      this.#goShared();
      // take.lua returns 1 if the cost was allowed, and the level.
      const [allowed, tokens] = reply as readonly [number, string];
      return bucketState(bucket, cost, allowed === 1, Number(tokens));
    } catch {
      this.#goLocal();
      return this.#changeShare(bucket, cost, always);
    }
  }

  /**
   * Changes this replica's share of a bucket. A call that costs more than the whole share is
   * allowed if the share is full, and leaves it below zero by the rest. So large calls pass, and
   * over time the replica admits no more than its share.
   */
  async #changeShare(bucket: Bucket, cost: number, always: boolean): Promise<BucketState> {
    const { replicas } = this.#options.heartbeat;
    const share = {
      key: bucket.key,
      capacity: bucket.capacity / replicas,
      refillPerSecond: bucket.refillPerSecond / replicas,
    };
    if (always) return this.#local.charge(share, cost);
    if (cost > bucket.capacity) return this.#local.take(share, cost);
    const state = await this.#local.take(share, Math.min(cost, share.capacity));
    return state.allowed && cost > share.capacity ? this.#local.charge(share, cost - share.capacity) : state;
  }

  /**
   * Whether to use the local share without trying Redis: while Redis is down, and for `settleMs`
   * after that.
   */
  #staysLocal(): boolean {
    if (this.#localUntil === undefined) return false;
    if (!this.#options.heartbeat.isUp) this.#localUntil = this.#time.now() + this.#options.settleMs;
    return this.#time.now() < this.#localUntil;
  }

  #goLocal(): void {
    const { hooks, heartbeat, settleMs } = this.#options;
    const wasShared = this.#localUntil === undefined;
    this.#localUntil = this.#time.now() + settleMs;
    if (wasShared) hooks.onLimiterLocal?.(true, heartbeat.replicas);
  }

  #goShared(): void {
    // Two commands can be in flight: one fails and switches to local shares, then the reply of the
    // earlier one arrives. That reply must not switch back, since it says nothing about Redis now.
    // Only replies after `#localUntil` switch to shared buckets.
    if (this.#localUntil === undefined || this.#time.now() < this.#localUntil) return;
    this.#localUntil = undefined;
    this.#options.hooks.onLimiterLocal?.(false, this.#options.heartbeat.replicas);
  }
}

/*
 * The shared rate limiter while Redis is away, on a clock of the test. The contract suites run it
 * over a real Redis.
 */

import { beforeEach, describe, expect, it } from '@jest/globals';
import { LOG_TIMES } from '../../../../src/state/event-log.js';
import { RedisKeys } from '../../../../src/state/redis/redis-keys.js';
import { RedisRateLimiter } from '../../../../src/state/redis/redis-rate-limiter.js';
import { Scripts } from '../../../../src/state/redis/scripts.js';
import { HandTime } from '../../../support/hand-time.js';

const SETTLE_MS = 5_000;

let time: HandTime;
let heartbeat: { isUp: boolean; replicas: number };
let fails: boolean;
let asked: number;
let reported: boolean[];
let limiter: RedisRateLimiter;
beforeEach(() => {
  time = new HandTime();
  heartbeat = { isUp: true, replicas: 4 };
  [fails, asked, reported] = [false, 0, []];
  limiter = new RedisRateLimiter({
    commands: {
      run: () => {
        asked += 1;
        return fails ? Promise.reject(new Error('away')) : Promise.resolve([1, '7']);
      },
    },
    keys: new RedisKeys('t:'),
    scripts: new Scripts({ times: LOG_TIMES, ttlMs: 1_000, sharded: false }),
    heartbeat,
    hooks: { onLimiterLocal: (local) => reported.push(local) },
    settleMs: SETTLE_MS,
    time,
  });
});
const bucket = (capacity: number, refillPerSecond = 1) => ({ key: 'k', capacity, refillPerSecond });
async function loseRedis(): Promise<void> {
  fails = true;
  heartbeat.isUp = false;
  await limiter.take({ ...bucket(1), key: 'other' }, 0);
}

describe('RedisRateLimiter without Redis', () => {
  it("admits a call above the replica's share, and refills the debt over time", async () => {
    await loseRedis();
    // The share of 100 is 25, refilled by a quarter of a token a second.
    expect(await limiter.take(bucket(100), 60)).toMatchObject({ allowed: true, remaining: 0 });
    const refused = await limiter.take(bucket(100), 60);
    // 35 are owed, and a full share is 25.
    expect(refused).toMatchObject({ allowed: false, retryAfterMs: 240_000 });
    time.pass(239_999);
    expect(await limiter.take(bucket(100), 60)).toMatchObject({ allowed: false });
    time.pass(1);
    expect(await limiter.take(bucket(100), 60)).toMatchObject({ allowed: true });
  });

  it('admits large calls beside small ones that leave room', async () => {
    await loseRedis();
    let [large, small] = [0, 0];
    for (let second = 0; second < 4_000; second++) {
      time.pass(1_000);
      if (second % 8 === 0 && (await limiter.take(bucket(100), 1)).allowed) small += 1;
      if ((await limiter.take(bucket(100), 60)).allowed) large += 1;
    }
    expect(large).toBeGreaterThanOrEqual(7);
    // The share, 1,000 tokens of refill, and the overdraft of the last large call.
    expect(large * 60 + small).toBeLessThanOrEqual(25 + 1_000 + 35);
  });

  it('refuses a call above the whole bucket for ever', async () => {
    await loseRedis();
    expect(await limiter.take(bucket(100), 101)).toMatchObject({ allowed: false, retryAfterMs: Infinity });
  });

  it('charges the local share of a bucket below zero', async () => {
    await loseRedis();
    await limiter.charge(bucket(100), 30);
    expect(await limiter.take(bucket(100), 1)).toMatchObject({ allowed: false, retryAfterMs: 24_000 });
  });

  it('stays local until Redis has been up for a while, and reports each change once', async () => {
    await loseRedis();
    fails = false;
    heartbeat.isUp = true;
    const before = asked;
    time.pass(SETTLE_MS - 1);
    await limiter.take(bucket(8), 1);
    expect([asked - before, reported]).toEqual([0, [true]]);
    time.pass(1);
    expect(await limiter.take(bucket(8), 1)).toMatchObject({ remaining: 7 });
    expect(reported).toEqual([true, false]);
  });

  it('stays local while single commands fail or the heartbeat misses occasionally', async () => {
    for (let i = 0; i < 20; i++) {
      fails = true;
      await limiter.take(bucket(8), 0);
      fails = false;
      time.pass(SETTLE_MS - 1);
      heartbeat.isUp = i % 2 === 0;
      await limiter.take(bucket(8), 0);
      heartbeat.isUp = true;
      if (i % 2 === 0) time.pass(1);
    }
    expect(reported.filter((local) => local).length).toBeLessThanOrEqual(2);
  });

  it('grants one local share in total, not one for each outage of Redis', async () => {
    let admitted = 0;
    for (let i = 0; i < 5; i++) {
      fails = true;
      for (let n = 0; n < 10; n++) if ((await limiter.take(bucket(40, 0.001), 1)).allowed) admitted += 1;
      fails = false;
      time.pass(SETTLE_MS);
      await limiter.take(bucket(40, 0.001), 0);
    }
    // The share is 10.
    expect(admitted).toBe(10);
    expect(reported).toHaveLength(10);
  });
});

import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { systemTime } from '../../../../src/domain/time.js';
import { MemoryRateLimiter } from '../../../../src/state/memory/memory-rate-limiter.js';

function limiter() {
  const clock = { nowMs: 5_000_000 };
  return { clock, buckets: new MemoryRateLimiter({ ...systemTime, now: () => clock.nowMs }) };
}
const bucket = (capacity: number, refillPerSecond: number, key = 'k') => ({ key, capacity, refillPerSecond });

describe('MemoryRateLimiter', () => {
  it('admits a burst, then refuses with the time to wait', async () => {
    const { clock, buckets } = limiter();
    const b = bucket(3, 1);
    expect(await buckets.take(b, 1)).toEqual({ allowed: true, remaining: 2, retryAfterMs: 0, resetMs: 1000 });
    expect(await buckets.take(b, 2)).toEqual({ allowed: true, remaining: 0, retryAfterMs: 0, resetMs: 3000 });
    expect(await buckets.take(b, 1)).toEqual({ allowed: false, remaining: 0, retryAfterMs: 1000, resetMs: 3000 });
    clock.nowMs += 999;
    expect(await buckets.take(b, 1)).toMatchObject({ allowed: false, retryAfterMs: 1 });
    clock.nowMs += 1;
    expect(await buckets.take(b, 1)).toMatchObject({ allowed: true, remaining: 0 });
  });

  it('keeps buckets apart by key', async () => {
    const { buckets } = limiter();
    await buckets.take(bucket(1, 1, 'a'), 1);
    expect(await buckets.take(bucket(1, 1, 'b'), 1)).toMatchObject({ allowed: true });
  });

  it('takes nothing for a refused call, and never more than there is', async () => {
    const { buckets } = limiter();
    const b = bucket(10, 1);
    expect(await buckets.take(b, 11)).toEqual({ allowed: false, remaining: 10, retryAfterMs: Infinity, resetMs: 0 });
    expect(await buckets.take(b, 10)).toMatchObject({ allowed: true, remaining: 0 });
  });

  it('refunds a negative cost, up to the capacity', async () => {
    const { buckets } = limiter();
    const b = bucket(10, 1);
    await buckets.take(b, 10);
    expect(await buckets.charge(b, -4)).toMatchObject({ allowed: true, remaining: 4 });
    expect(await buckets.charge(b, -40)).toMatchObject({ allowed: true, remaining: 10, resetMs: 0 });
  });

  it('checks without taking at cost 0, and holds no more than a smaller capacity', async () => {
    const { buckets } = limiter();
    await buckets.take(bucket(100, 1), 50);
    expect(await buckets.take(bucket(20, 1), 0)).toMatchObject({ allowed: true, remaining: 20 });
    expect(await buckets.take(bucket(100, 1), 0)).toMatchObject({ remaining: 100 });
  });

  it('does not refill when its clock is set back', async () => {
    const { clock, buckets } = limiter();
    await buckets.take(bucket(1, 1), 1);
    clock.nowMs -= 10_000;
    expect(await buckets.take(bucket(1, 1), 1)).toMatchObject({ allowed: false });
  });

  it('removes buckets that are full again', async () => {
    const { clock, buckets } = limiter();
    for (let i = 0; i < 1000; i++) await buckets.take(bucket(1, 1, `k${i}`), 1);
    expect(buckets.size).toBe(1000);
    clock.nowMs += 1000;
    for (let i = 0; i < 1024; i++) await buckets.take(bucket(5000, 1, 'one'), 1);
    expect(buckets.size).toBe(1);
  });

  it('admits the same cost after retryAfterMs, and refuses it a millisecond earlier', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 1000 }),
        fc.integer({ min: 1, max: 6000 }),
        fc.array(fc.record({ cost: fc.integer({ min: 1, max: 20 }), afterMs: fc.integer({ min: 0, max: 500 }) }), {
          maxLength: 30,
        }),
        async (capacity, perMinute, takes) => {
          const { clock, buckets } = limiter();
          const b = bucket(capacity, perMinute / 60);
          const start = clock.nowMs;
          let taken = 0;
          for (const { cost, afterMs } of takes) {
            clock.nowMs += afterMs;
            const { allowed, retryAfterMs } = await buckets.take(b, cost);
            if (allowed) taken += cost;
            // Never more than a burst and the refill since.
            expect(taken).toBeLessThanOrEqual(capacity + ((clock.nowMs - start) / 1000) * b.refillPerSecond + 1e-6);
            if (allowed || retryAfterMs === Infinity) continue;
            clock.nowMs += retryAfterMs - 1;
            expect((await buckets.take(b, cost)).allowed).toBe(false);
            clock.nowMs += 1;
            expect((await buckets.take(b, cost)).allowed).toBe(true);
            taken += cost;
          }
        },
      ),
      { seed: 4711, numRuns: 200 },
    );
  });
});

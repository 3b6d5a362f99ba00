/* The contract of RateLimiter. */

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { SpendingLimit } from '../../../src/turn/spending-limit.js';
import { type ContractStore, type OpenStore } from './contract-store.js';

export function describeRateLimiter(name: string, open: OpenStore): void {
  describe(`rate limiter: ${name}`, () => {
    let store: ContractStore;
    beforeEach(async () => {
      store = await open();
    });
    afterEach(() => store.close());
    // So slow that nothing refills while a test runs.
    const slow = (capacity: number, key = 'user:ann') => ({ key, capacity, refillPerSecond: 0.001 });

    it('grants a burst to all replicas together, then refuses with the time to wait', async () => {
      const bucket = slow(3);
      expect(await store.state.limiter.take(bucket, 1)).toMatchObject({ allowed: true, remaining: 2, retryAfterMs: 0 });
      expect(await store.other.limiter.take(bucket, 2)).toMatchObject({ allowed: true, remaining: 0 });
      const refused = await store.state.limiter.take(bucket, 1);
      expect(refused).toMatchObject({ allowed: false, remaining: 0 });
      expect(refused.retryAfterMs).toBeGreaterThan(900_000);
      expect(refused.retryAfterMs).toBeLessThanOrEqual(1_000_000);
      expect(refused.resetMs).toBeGreaterThan(2_900_000);
      expect(refused.resetMs).toBeLessThanOrEqual(3_000_000);
    });

    it('grants exactly its capacity to a crowd', async () => {
      const results = await Promise.all(
        Array.from({ length: 30 }, (_, i) => (i % 2 === 0 ? store.state : store.other).limiter.take(slow(10), 1)),
      );
      expect(results.filter(({ allowed }) => allowed)).toHaveLength(10);
    });

    it('refills with time, and never past its capacity', async () => {
      const bucket = { key: 'user:bob', capacity: 2, refillPerSecond: 50 };
      await store.state.limiter.take(bucket, 2);
      await store.pass(200);
      expect(await store.state.limiter.take(bucket, 2)).toMatchObject({ allowed: true });
      expect(await store.state.limiter.take({ ...bucket, refillPerSecond: 0.001 }, 2)).toMatchObject({
        allowed: false,
      });
    });

    it('takes nothing for a refused call, and keeps buckets apart', async () => {
      await store.state.limiter.take(slow(3), 1);
      expect(await store.state.limiter.take(slow(3), 5)).toMatchObject({ allowed: false, retryAfterMs: Infinity });
      expect(await store.state.limiter.take(slow(3), 2)).toMatchObject({ allowed: true, remaining: 0 });
      expect(await store.state.limiter.take(slow(3, 'user:cid'), 3)).toMatchObject({ allowed: true });
    });

    it('refunds unused tokens, up to its capacity', async () => {
      await store.state.limiter.take(slow(4), 4);
      expect(await store.other.limiter.charge(slow(4), -3)).toMatchObject({ allowed: true, remaining: 3 });
      expect(await store.other.limiter.charge(slow(4), -100)).toMatchObject({
        allowed: true,
        remaining: 4,
        resetMs: 0,
      });
    });

    it('goes below zero when charged, and admits nothing at any replica until the debt has refilled [LIMIT-2]', async () => {
      const bucket = slow(10);
      await store.state.limiter.take(bucket, 8);
      // 2 are left: the bucket owes 5 after this.
      expect(await store.state.limiter.charge(bucket, 7)).toMatchObject({ allowed: true, remaining: 0 });
      const refused = await store.other.limiter.take(bucket, 1);
      expect(refused).toMatchObject({ allowed: false, remaining: 0 });
      expect(refused.retryAfterMs).toBeGreaterThan(5_900_000);
      expect(refused.retryAfterMs).toBeLessThanOrEqual(6_000_000);
      expect(refused.resetMs).toBeGreaterThan(14_900_000);
      // A check pays nothing, and several charges add up.
      await store.state.limiter.take(bucket, 0);
      await Promise.all([store.state, store.other].map(({ limiter }) => limiter.charge(bucket, 1)));
      expect(await store.state.limiter.charge(bucket, -8)).toMatchObject({ allowed: true, remaining: 1 });
      expect(await store.other.limiter.take(bucket, 1)).toMatchObject({ allowed: true, remaining: 0 });
    });

    it('holds a budget of ten against fifty turns of one at two replicas, and against what they overspent [LIMIT-5]', async () => {
      const budgets = [store.state, store.other].map(({ limiter }) => new SpendingLimit(limiter, 'cost', 10, 86_400));
      const reserving = budgets.flatMap((budget) => Array.from({ length: 25 }, () => budget.reserve('ann', 1)));
      const admitted = (await Promise.all(reserving)).filter(({ state }) => state.allowed);
      expect(admitted).toHaveLength(10);
      // Each turn used two: the budget owes ten, which is a day.
      for (const [i, { reserved }] of admitted.entries()) await budgets[i % 2]?.settle('ann', reserved, 2);
      for (const budget of budgets) {
        const { state } = await budget.reserve('ann', 1);
        expect(state.allowed).toBe(false);
        expect(state.retryAfterMs).toBeGreaterThan(86_400_000);
      }
    });

    it('refills a debt with time', async () => {
      const bucket = { key: 'user:eve', capacity: 10, refillPerSecond: 50 };
      await store.state.limiter.charge(bucket, 15);
      expect(await store.other.limiter.take({ ...bucket, refillPerSecond: 0.001 }, 1)).toMatchObject({
        allowed: false,
      });
      await store.pass(400);
      expect(await store.other.limiter.take(bucket, 1)).toMatchObject({ allowed: true });
    });
  });
}

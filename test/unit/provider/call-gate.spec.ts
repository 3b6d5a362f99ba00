import { describe, expect, it } from '@jest/globals';
import { CallGate } from '../../../src/provider/call-gate.js';
import { OwnRateLimit, RateLimitedProvider } from '../../../src/provider/resilience/rate-limit.js';
import { collect, providerRequest, textOf } from '../../support/provider-request.js';
import { fail, say, ScriptedProvider } from '../../support/scripted-provider.js';

/** A bucket with so many places. An empty bucket has the next place after `retryAfterMs`. */
function bucket(left: number, retryAfterMs = 30_000) {
  const taken: number[] = [];
  return {
    taken,
    take: (cost: number) => {
      taken.push(cost);
      const allowed = left >= cost;
      if (allowed) left -= cost;
      return Promise.resolve({ allowed, retryAfterMs: allowed ? 0 : retryAfterMs });
    },
  };
}

describe('CallGate', () => {
  it('refuses with 503 and the shortest wait while every breaker is open', async () => {
    const gate = new CallGate(
      [
        { name: 'a', closedForMs: () => 9_000 },
        { name: 'b', closedForMs: () => 4_000 },
      ],
      0,
    );
    await expect(gate.enter()).rejects.toMatchObject({
      code: 'provider_unavailable',
      status: 503,
      retryAfterMs: 4_000,
    });
  });

  it('admits a turn while one of several providers can be called', async () => {
    const gate = new CallGate(
      [
        { name: 'a', closedForMs: () => 9_000 },
        { name: 'b', closedForMs: () => 0 },
      ],
      0,
    );
    expect((await gate.enter()).paid).toBeNull();
  });

  it('refuses with 429 and the wait when the bucket has no place within max_wait', async () => {
    const gate = new CallGate([{ name: 'a', budget: bucket(0) }], 1_000);
    await expect(gate.enter()).rejects.toMatchObject({
      code: 'rate_limit_exceeded',
      status: 429,
      retryAfterMs: 30_000,
    });
  });

  it('waits for a place that is free within max_wait', async () => {
    let tries = 0;
    const budget = { take: () => Promise.resolve({ allowed: ++tries > 1, retryAfterMs: tries > 1 ? 0 : 5 }) };
    expect((await new CallGate([{ name: 'a', budget }], 60_000).enter()).paid).toBe('a');
  });

  it('returns a place once', async () => {
    const budget = bucket(1);
    const place = await new CallGate([{ name: 'a', budget }], 0).enter();
    await place.giveBack();
    await place.giveBack();
    expect(budget.taken).toEqual([1, -1]);
  });
});

describe('RateLimitedProvider', () => {
  it('does not take again for the first call of a request that admission has paid for', async () => {
    const budget = bucket(1);
    const provider = new RateLimitedProvider(new ScriptedProvider([[say('a')]]), budget, 'a');
    const never = new AbortController().signal;
    const paid = providerRequest('Hi', { paid: 'a' });
    expect(textOf((await collect(provider.stream(paid, never))).parts)).toBe('a');
    expect(budget.taken).toEqual([]);
    await collect(provider.stream(paid, never));
    await collect(provider.stream(providerRequest('Hi', { paid: 'b' }), never));
    expect(budget.taken).toEqual([1, 1]);
  });

  it("throws the gateway's own limit if the provider was not called, and a plain limit on a retry", async () => {
    const never = new AbortController().signal;
    const calls = async (left: number, times: number) => {
      const failing = new ScriptedProvider([[fail('provider_unavailable')]]);
      const provider = new RateLimitedProvider(failing, bucket(left), 'a');
      const request = providerRequest('Hi');
      const errors: unknown[] = [];
      for (let i = 0; i < times; i++) errors.push((await collect(provider.stream(request, never))).error);
      return errors;
    };
    const limit = { code: 'rate_limit_exceeded', retryAfterMs: 30_000 };
    const [own] = await calls(0, 1);
    expect(own).toMatchObject(limit);
    expect(own).toBeInstanceOf(OwnRateLimit);
    const [failed, retried] = await calls(1, 2);
    expect(failed).toMatchObject({ code: 'provider_unavailable' });
    expect(retried).toMatchObject(limit);
    expect(retried).not.toBeInstanceOf(OwnRateLimit);
    expect((await calls(0, 2))[1]).toBeInstanceOf(OwnRateLimit);
  });
});

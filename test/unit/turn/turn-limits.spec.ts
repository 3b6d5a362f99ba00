/* The limits of a caller, counted by the memory limiter on a clock of the test. */

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { type Principal } from '../../../src/domain/principal.js';
import { type Usage, ZERO_USAGE } from '../../../src/domain/response.js';
import { systemTime } from '../../../src/domain/time.js';
import { MemoryRateLimiter } from '../../../src/state/memory/memory-rate-limiter.js';
import { userMessage } from '../../../src/protocol/responses/input-items.js';
import { type Provider } from '../../../src/provider/provider.js';
import { SluiceError } from '../../../src/domain/errors.js';
import { HANG, say } from '../../support/scripted-provider.js';
import { LimitRefusal, type LimitSettings, TurnLimits, type TurnPermit } from '../../../src/turn/turn-limits.js';
import { ALICE, away, type HarnessOptions, ORIGIN, requestOf, TurnHarness } from './turn-harness.js';

const NONE: LimitSettings = {
  requestsPerMinute: null,
  tokensPerMinute: null,
  concurrentTurns: null,
  costPerDayUsd: null,
};
const userOf = (user: string | null, credential = 'k'): Principal => ({
  kind: user === null ? 'key' : 'token',
  owner: user === null ? 't' : `t/${user}`,
  tenant: 't',
  user,
  credential,
  scopes: new Set(['chat']),
  limitsClass: null,
  trusted: false,
  binding: null,
  issuedAtMs: null,
  expiresAtMs: null,
});
const ANN = userOf('ann');

let now: number;
let limiter: MemoryRateLimiter;
beforeEach(() => {
  now = 0;
  limiter = new MemoryRateLimiter({ ...systemTime, now: () => now });
});
const limits = (settings: Partial<LimitSettings>, classes: Record<string, Partial<LimitSettings>> = {}): TurnLimits =>
  new TurnLimits(
    limiter,
    { ...NONE, ...settings },
    (_model, usage) => usage.output_tokens / 1_000,
    Object.fromEntries(Object.entries(classes).map(([name, own]) => [name, { ...NONE, ...settings, ...own }])),
  );
/** A turn that is expected to use `maxOutputTokens` and some 10 tokens more. */
const take = (of: TurnLimits, caller = ANN, maxOutputTokens: number | null = 0): Promise<TurnPermit> =>
  of.take({
    caller,
    prompt: null,
    system: '',
    request: { input: [userMessage('Hello')], store: true, background: false },
    source: { kind: 'none' },
    model: 'model-a',
    maxOutputTokens,
  });
const refusalOf = async (taking: Promise<TurnPermit>): Promise<LimitRefusal> => {
  const thrown: unknown = await taking.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (thrown instanceof LimitRefusal) return thrown;
  throw new Error('it was let in');
};
const used = (tokens: number, costUsd: number | null = null) => {
  const usage: Usage = { ...ZERO_USAGE, total_tokens: tokens };
  return { usage, costUsd, provider: 'openai' };
};

describe('without limits', () => {
  it('admits every caller and reports no limits', async () => {
    const permit = await take(limits({}));
    expect(permit.limits).toEqual({});
    await permit.settle(used(5));
    expect(limiter.size).toBe(0);
  });
});

describe('requests a minute', () => {
  it('takes requests one by one and refills them over time', async () => {
    const two = limits({ requestsPerMinute: 2 });
    expect((await take(two)).limits.requests).toEqual({ limit: 2, remaining: 1, resetMs: 30_000 });
    expect((await take(two)).limits.requests).toEqual({ limit: 2, remaining: 0, resetMs: 60_000 });
    const refusal = await refusalOf(take(two));
    expect(refusal).toMatchObject({ code: 'rate_limit_exceeded', retryAfterMs: 30_000, retryable: true });
    expect(refusal.message).toMatch(/2 requests a minute.*30 s/u);
    expect(refusal.limits.requests).toEqual({ limit: 2, remaining: 0, resetMs: 60_000 });
    now += 30_000;
    await take(two);
  });

  it('counts a user, or a server key, over all replicas', async () => {
    const [one, another] = [limits({ requestsPerMinute: 1 }), limits({ requestsPerMinute: 1 })];
    await take(one);
    await refusalOf(take(another));
    for (const other of [userOf('bob'), userOf(null, 'key-1'), userOf(null, 'key-2')]) await take(another, other);
  });

  it('takes the limits of the class of the caller, and the usual ones of an unknown class [AUTH-6]', async () => {
    const three = limits({ requestsPerMinute: 1 }, { gold: { requestsPerMinute: 3 } });
    const gold = { ...userOf('bob'), limitsClass: 'gold' };
    expect((await take(three, gold)).limits.requests).toMatchObject({ limit: 3, remaining: 2 });
    expect((await take(three)).limits.requests).toMatchObject({ limit: 1, remaining: 0 });
    const unknown = { ...userOf('cid'), limitsClass: 'constructor' };
    expect((await take(three, unknown)).limits.requests).toMatchObject({ limit: 1, remaining: 0 });
  });

  it('settles a reservation against the limits of its class, on another replica too [AUTH-6]', async () => {
    const classes = { gold: { tokensPerMinute: 2_000 } };
    const gold = { ...userOf('bob'), limitsClass: 'gold' };
    const { reserved } = await take(limits({ tokensPerMinute: 100 }, classes), gold, 1_000);
    expect(reserved).toMatchObject({ limitsClass: 'gold' });
    const other = limits({ tokensPerMinute: 100 }, classes);
    if (reserved !== undefined) await other.settle(reserved, used(500));
    expect((await take(other, gold)).limits.tokens).toMatchObject({ limit: 2_000 });
    expect((await take(other, gold)).limits.tokens?.remaining).toBeGreaterThan(1_400);
  });

  it('refunds the request of a turn that never began, once', async () => {
    const one = limits({ requestsPerMinute: 1 });
    const permit = await take(one);
    await permit.giveBack();
    await take(one);
    await permit.giveBack();
    await refusalOf(take(one));
  });
});

describe('concurrent turns', () => {
  it('releases the concurrency place of an ended turn once', async () => {
    const two = limits({ concurrentTurns: 2 });
    const [first] = [await take(two), await take(two)];
    expect(await refusalOf(take(two))).toMatchObject({ retryAfterMs: 1_000 });
    await take(two, userOf('bob'));
    first.leave();
    await first.settle(used(1));
    const third = await take(two);
    await refusalOf(take(two));
    await third.giveBack();
    await take(two);
  });

  it('releases the concurrency place at once when another limit refuses the turn', async () => {
    const one = limits({ concurrentTurns: 1, requestsPerMinute: 1 });
    (await take(one)).leave();
    expect((await refusalOf(take(one))).message).toContain('requests a minute');
    now += 60_000;
    await take(one);
  });
});

describe('tokens a minute', () => {
  it('reserves the expected tokens and settles the used ones', async () => {
    const thousand = limits({ tokensPerMinute: 1_000 });
    const permit = await take(thousand, ANN, 400);
    const expected = 1_000 - (permit.limits.tokens?.remaining ?? NaN);
    expect(expected).toBeGreaterThan(400);
    expect(expected).toBeLessThan(450);
    await permit.settle(used(100));
    expect((await take(thousand, ANN, 400)).limits.tokens?.remaining).toBe(1_000 - 100 - expected);
  });

  it('refunds tokens if the provider was never called, keeps them if usage is unknown', async () => {
    const thousand = limits({ tokensPerMinute: 1_000 });
    const first = await take(thousand, ANN, 400);
    await first.settle({ usage: null, costUsd: null, provider: null });
    const second = await take(thousand, ANN, 400);
    expect(second.limits).toEqual(first.limits);
    await second.settle({ usage: null, costUsd: null, provider: 'openai' });
    expect((await take(thousand, ANN, 0)).limits.tokens?.remaining).toBeLessThan(600);
  });

  it('makes the next turn wait until overused tokens have refilled', async () => {
    const thousand = limits({ tokensPerMinute: 1_000 });
    await (await take(thousand)).settle(used(1_600));
    // 600 are owed and some 10 expected: 61 % of a minute.
    const { retryAfterMs, limits: state } = await refusalOf(take(thousand));
    expect(state.tokens?.remaining).toBe(0);
    expect(retryAfterMs).toBeGreaterThan(36_000);
    expect(retryAfterMs).toBeLessThan(38_000);
    now += retryAfterMs ?? 0;
    await take(thousand);
    now += 2_000;
    await take(thousand);
  });

  it('admits a turn that expects more than the whole bucket when the bucket is full', async () => {
    const few = limits({ tokensPerMinute: 100 });
    const permit = await take(few, ANN, 5_000);
    expect(permit.limits.tokens?.remaining).toBe(0);
    await permit.settle(used(40));
    const refusal = await refusalOf(take(few, ANN, 5_000));
    expect(refusal.retryAfterMs).toBe(24_000);
  });

  it('refunds the request when the token limit refuses the turn', async () => {
    const both = limits({ requestsPerMinute: 2, tokensPerMinute: 100 });
    await take(both, ANN, 5_000);
    // The refused turn has used no request, as its headers show.
    expect((await refusalOf(take(both, ANN, 5_000))).limits.requests?.remaining).toBe(1);
    now += 60_000;
    expect((await take(both, ANN, 5_000)).limits.requests?.remaining).toBe(1);
  });

  it('reports the token refusal when the request cannot be refunded', async () => {
    const both = limits({ requestsPerMinute: 2, tokensPerMinute: 100 });
    await take(both, ANN, 5_000);
    limiter.charge = () => Promise.reject(away());
    expect((await refusalOf(take(both, ANN, 5_000))).message).toContain('100 tokens a minute');
  });
});

describe('cost a day', () => {
  it('refuses a caller that used its budget up, and refills evenly', async () => {
    const dollar = limits({ costPerDayUsd: 1 });
    await (await take(dollar)).settle(used(1, 0.75));
    await (await take(dollar)).settle(used(1, 0.5));
    const { retryAfterMs, message } = await refusalOf(take(dollar));
    expect(message).toContain('1 US dollars a day');
    // A quarter of a dollar is owed, which refills in a quarter of a day.
    expect(retryAfterMs).toBeGreaterThan(21_600_000 - 1_000);
    expect(retryAfterMs).toBeLessThan(21_600_000 + 1_000);
    now += retryAfterMs ?? 0;
    await take(dollar);
  });

  it('admits no more turns at once than it can pay for, over all replicas [LIMIT-5]', async () => {
    // Each turn may write 1,000 tokens, which cost a dollar.
    const replicas = [limits({ costPerDayUsd: 10 }), limits({ costPerDayUsd: 10 })];
    const taking = Array.from({ length: 250 }, (_, i) => {
      const replica = replicas[i % 2];
      return replica === undefined ? Promise.reject(new Error('there are two')) : take(replica, ANN, 1_000);
    });
    const results = await Promise.allSettled(taking);
    const admitted = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    expect(admitted).toHaveLength(10);
    // The unused part of the reservation is refunded.
    for (const permit of admitted) await permit.settle(used(1, 0.1));
    const again = await Promise.allSettled(taking.map(() => take(limits({ costPerDayUsd: 10 }), ANN, 1_000)));
    expect(again.filter(({ status }) => status === 'fulfilled')).toHaveLength(9);
  });

  it('makes the next turn wait at every replica until what was overspent has refilled [LIMIT-5]', async () => {
    await (await take(limits({ costPerDayUsd: 1 }))).settle(used(1, 3));
    const { retryAfterMs } = await refusalOf(take(limits({ costPerDayUsd: 1 })));
    // Two dollars are owed, which refill in two days.
    expect(retryAfterMs).toBeGreaterThan(2 * 86_400_000);
    expect(retryAfterMs).toBeLessThan(2 * 86_400_000 + 1_000);
  });

  it('charges nothing when no provider was reached, and the reservation when usage is unknown [LIMIT-5]', async () => {
    const dollar = limits({ costPerDayUsd: 1 });
    await (await take(dollar, ANN, 1_000)).settle({ usage: null, costUsd: null, provider: null });
    await (await take(dollar, ANN, 1_000)).settle({ usage: null, costUsd: null, provider: 'openai' });
    await refusalOf(take(dollar, ANN, 1_000));
  });

  it('charges nothing when the price is unknown, and admits no caller at a budget of 0', async () => {
    const cent = limits({ costPerDayUsd: 0.01 });
    for (let i = 0; i < 3; i++) await (await take(cent)).settle(used(1_000, null));
    expect(await refusalOf(take(limits({ costPerDayUsd: 0 })))).toMatchObject({ retryAfterMs: 86_400_000 });
  });
});

describe('a turn', () => {
  let harness: TurnHarness;
  afterEach(() => harness.close());
  const harnessWith = (limits: Partial<LimitSettings>, options: HarnessOptions = {}): void => {
    harness = new TurnHarness({ limits, ...options });
  };
  const refused = (request = requestOf('Hi')): Promise<void> =>
    expect(harness.turns.create(ALICE, request, ORIGIN)).rejects.toMatchObject({ code: 'rate_limit_exceeded' });

  it('ends a turn that costs more than the daily budget and refuses the next [LIMIT-5]', async () => {
    harnessWith(
      { costPerDayUsd: 0.4 },
      { accounting: { cost: (_model, _usage, provider) => (provider === null ? 0.1 : 0.5) } },
    );
    const id = await harness.play(requestOf('Hi'));
    expect((await harness.types(id)).at(-1)).toBe('completed');
    await refused();
  });

  it('refunds everything when its log could not be opened, and releases its key [LIMIT-6]', async () => {
    harnessWith({ requestsPerMinute: 1, concurrentTurns: 1, tokensPerMinute: 2_000 });
    harness.faults.fail('createWith', 1);
    const options = { idempotency: { key: 'k', fingerprint: 'f' } };
    await expect(harness.turns.create(ALICE, requestOf('Hi'), ORIGIN, options)).rejects.toMatchObject({
      code: 'state_unavailable',
    });
    const { limits } = await harness.turns.create(ALICE, requestOf('Hi'), ORIGIN, options);
    expect(limits.requests).toMatchObject({ limit: 1, remaining: 0 });
    await harness.turns.whenIdle();
    await refused();
    // The key is known: it is the same turn and counts nothing.
    expect(await harness.turns.create(ALICE, requestOf('Hi'), ORIGIN, options)).toMatchObject({ limits: {} });
  });

  it('counts a turn that waits for its conversation as running [LIMIT-4]', async () => {
    harnessWith({ concurrentTurns: 2 }, { answers: [[say('a'), HANG], [say('b')]] });
    const conversation = await harness.conversation();
    const first = await harness.turns.create(ALICE, requestOf('Hi', { conversation }), ORIGIN);
    const second = await harness.turns.create(ALICE, requestOf('Hi', { conversation }), ORIGIN);
    await refused();
    for (const { responseId } of [first, second]) await harness.turns.cancel(ALICE, responseId);
    await harness.turns.whenIdle();
    await harness.play(requestOf('Hi'));
  });

  it('charges nothing for a turn that reached no provider [LIMIT-5]', async () => {
    const unreachable: Provider = {
      // eslint-disable-next-line require-yield
      async *stream() {
        throw new SluiceError('provider_unavailable', 'unable to reach the provider; nothing listens there');
      },
    };
    harnessWith({ costPerDayUsd: 0.5, tokensPerMinute: 1_050 }, { provider: unreachable });
    for (let i = 0; i < 3; i++)
      expect((await harness.types(await harness.play(requestOf('Hi')))).at(-1)).toBe('failed');
  });

  it('settles the turn of a lost replica once, on the replica that ends it [LIMIT-9]', async () => {
    const time = { ...systemTime, now: () => now };
    const options: HarnessOptions = {
      limits: { costPerDayUsd: 1, tokensPerMinute: 3_000 },
      accounting: { cost: (_model, { output_tokens }) => output_tokens / 2_000 },
    };
    harness = new TurnHarness({ ...options, answers: [[say('Half an'), HANG]], time });
    const other = new TurnHarness({ ...options, beside: harness });
    // Half a dollar is reserved for each: there is no room for a third.
    const ids = [];
    for (let i = 0; i < 2; i++) ids.push((await harness.turns.create(ALICE, requestOf('Hi'), ORIGIN)).responseId);
    await refused();
    for (const id of ids)
      while (!(await harness.types(id)).includes('output_text.delta')) await new Promise(setImmediate);
    now += 8_000;
    expect(await other.sweep.sweep()).toBe(2);
    await harness.turns.whenIdle();
    const response = await other.reader.retrieve(ALICE, ids[0] ?? '');
    expect(response).toMatchObject({
      status: 'failed',
      usage: { output_tokens: 2 },
      sluice: { usage_estimated: true },
    });
    expect(await other.metric('llm_cost_usd{model="model-a"}')).toBeCloseTo(2 * 0.001);
    // Two turns of 2 tokens cost 1,000 millionths each, and 8 s of a day have refilled: each was
    // settled exactly once.
    const state = await harness.plain.limiter.take(
      { key: 'limit:cost:user:acme/alice', capacity: 1_000_000, refillPerSecond: 0 },
      0,
    );
    expect(state.remaining).toBe(1_000_000 - 2 * 1_000 + Math.floor((8 * 1_000_000) / 86_400));
    await other.close();
  });
});

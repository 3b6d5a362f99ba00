/* The limit on operations, on a clock of the test. */

import { beforeEach, describe, expect, it } from '@jest/globals';
import { SluiceError } from '../../../src/domain/errors.js';
import { type Principal } from '../../../src/domain/principal.js';
import { systemTime } from '../../../src/domain/time.js';
import { OperationLimits } from '../../../src/turn/operation-limits.js';
import { ALICE, BOB } from './turn-harness.js';

let now: number;
let refusals: number;
beforeEach(() => {
  now = 1_000;
  refusals = 0;
});
const limits = (perMinute: number): OperationLimits =>
  new OperationLimits({ perMinute, onRefused: () => (refusals += 1), time: { ...systemTime, now: () => now } });
const refusalOf = (take: () => void): SluiceError => {
  try {
    take();
  } catch (thrown) {
    if (thrown instanceof SluiceError) return thrown;
    throw thrown;
  }
  throw new Error('it was admitted');
};

describe('OperationLimits', () => {
  it('takes the limit of the class of the caller [AUTH-6]', () => {
    const one = new OperationLimits({
      perMinute: 1,
      perMinuteOf: { gold: 3 },
      time: { ...systemTime, now: () => now },
    });
    const gold = { ...BOB, limitsClass: 'gold' };
    for (let i = 0; i < 3; i++) one.take(gold);
    expect(refusalOf(() => one.take(gold)).retryAfterMs).toBe(20_000);
    one.take(ALICE);
    expect(refusalOf(() => one.take(ALICE)).retryAfterMs).toBe(60_000);
  });

  it('admits a full bucket at once, then refuses with the time to wait [LIMIT-7]', () => {
    const six = limits(6);
    for (let i = 0; i < 6; i++) six.take(ALICE);
    const refusal = refusalOf(() => six.take(ALICE));
    expect(refusal).toMatchObject({ code: 'rate_limit_exceeded', status: 429, retryAfterMs: 10_000 });
    expect(refusal.message).toMatch(/6 operations a minute.*10 s/u);
    expect(refusals).toBe(1);
    now += 9_999;
    expect(refusalOf(() => six.take(ALICE)).retryAfterMs).toBe(1);
    now += 1;
    six.take(ALICE);
  });

  it('counts each caller apart from every other caller [LIMIT-7]', () => {
    const one = limits(1);
    one.take(ALICE);
    one.take(BOB);
    const key = (credential: string): Principal => ({ ...ALICE, user: null, owner: 'acme', credential });
    one.take(key('key-1'));
    one.take(key('key-2'));
    for (const caller of [ALICE, BOB, key('key-1')]) refusalOf(() => one.take(caller));
  });

  it('admits an operation that costs more than the bucket when the bucket is full', () => {
    const ten = limits(10);
    ten.take(ALICE, 25);
    expect(refusalOf(() => ten.take(ALICE, 25)).retryAfterMs).toBe(60_000);
    now += 60_000;
    ten.take(ALICE, 25);
  });

  it('admits every operation of a bucket whose refill is no whole number of milliseconds', () => {
    const many = limits(7_001);
    for (let i = 0; i < 7_001; i++) many.take(ALICE);
    refusalOf(() => many.take(ALICE));
  });

  it('forgets callers whose bucket is full again, and remembers at most 10,000 callers', () => {
    const few = limits(2);
    const user = (i: number): Principal => ({ ...ALICE, owner: `acme/${i}`, user: String(i) });
    for (let i = 0; i < 10_050; i++) few.take(user(i));
    expect(few.size).toBe(10_000);
    now += 30_000;
    few.take(ALICE);
    expect(few.size).toBe(1);
  });
});

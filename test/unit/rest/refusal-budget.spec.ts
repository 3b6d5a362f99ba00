import { describe, expect, it } from '@jest/globals';
import { SluiceError } from '../../../src/domain/errors.js';
import { RefusalBudget } from '../../../src/rest/refusal-budget.js';
import { HandTime } from '../../support/hand-time.js';

function refusal(check: () => void): SluiceError | undefined {
  try {
    check();
  } catch (error) {
    if (error instanceof SluiceError) return error;
    throw error;
  }
  return undefined;
}

describe('the budget of refusals', () => {
  it('refuses a sender that used its bucket up until one refusal has refilled [REST-24]', () => {
    const time = new HandTime();
    const budget = new RefusalBudget({ perMinute: 6, time });
    for (let i = 0; i < 6; i++) {
      expect(refusal(() => budget.check('a'))).toBeUndefined();
      budget.count('a', 0);
    }
    expect(refusal(() => budget.check('a'))).toMatchObject({ code: 'rate_limit_exceeded', retryAfterMs: 10_000 });
    time.pass(9_999);
    expect(refusal(() => budget.check('a'))).toMatchObject({ retryAfterMs: 1 });
    time.pass(1);
    expect(refusal(() => budget.check('a'))).toBeUndefined();
  });

  it('leaves other senders unaffected by an empty bucket [REST-24]', () => {
    const budget = new RefusalBudget({ perMinute: 1, time: new HandTime() });
    budget.count('a', 0);
    expect(refusal(() => budget.check('a'))).toBeDefined();
    expect(refusal(() => budget.check('b'))).toBeUndefined();
  });

  it('counts a body once more for each 64 KiB [REST-24]', () => {
    const budget = new RefusalBudget({ perMinute: 4, time: new HandTime() });
    budget.count('a', 65_535);
    budget.count('a', 65_536);
    expect(refusal(() => budget.check('a'))).toBeUndefined();
    budget.count('a', 0);
    expect(refusal(() => budget.check('a'))).toBeDefined();
  });

  it('refills a bucket of refusals within a minute, independent of the wall clock', () => {
    const time = new HandTime();
    const budget = new RefusalBudget({ perMinute: 2, time });
    for (let i = 0; i < 2; i++) budget.count('a', 0);
    time.jump(-3_600_000);
    expect(refusal(() => budget.check('a'))).toBeDefined();
    time.pass(60_000);
    for (let i = 0; i < 2; i++) {
      expect(refusal(() => budget.check('a'))).toBeUndefined();
      budget.count('a', 0);
    }
    expect(refusal(() => budget.check('a'))).toBeDefined();
  });

  it('keeps a bounded number of senders, those refused last', () => {
    const budget = new RefusalBudget({ perMinute: 1, time: new HandTime() });
    for (let i = 0; i <= 10_000; i++) budget.count(`s${i}`, 0);
    expect(refusal(() => budget.check('s0'))).toBeUndefined();
    expect(refusal(() => budget.check('s1'))).toBeDefined();
    expect(refusal(() => budget.check('s10000'))).toBeDefined();
  });
});

import { describe, expect, it } from '@jest/globals';
import { chooseVersion } from '../../../src/templating/version-weights.js';

const shares = (weights: Readonly<Record<string, number>>, prompt = 'p/q'): Record<string, number> => {
  const counts: Record<string, number> = {};
  for (let i = 0; i < 10_000; i++) {
    const version = chooseVersion(weights, prompt, `conv_${i}`);
    counts[version] = (counts[version] ?? 0) + 1;
  }
  return counts;
};

describe('chooseVersion', () => {
  it('gives each version its share, and one of weight 0 nothing', () => {
    const { old, next, gone } = shares({ old: 90, next: 10, gone: 0 });
    expect(old).toBeGreaterThan(8_800);
    expect(next).toBeGreaterThan(800);
    expect(gone).toBeUndefined();
    expect(shares({ a: 0, b: 1, c: 0 })).toEqual({ b: 10_000 });
  });

  it('chooses the same version for the same key', () => {
    const weights = { a: 1, b: 1 };
    for (let i = 0; i < 100; i++) {
      expect(chooseVersion(weights, 'p', `conv_${i}`)).toBe(chooseVersion(weights, 'p', `conv_${i}`));
    }
  });

  it('moves conversations to the last version only when its weight grows', () => {
    for (let i = 0; i < 1_000; i++) {
      const before = chooseVersion({ old: 90, next: 10 }, 'p', `conv_${i}`);
      const after = chooseVersion({ old: 50, next: 50 }, 'p', `conv_${i}`);
      if (before === 'next') expect(after).toBe('next');
    }
  });
});

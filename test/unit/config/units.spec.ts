import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { formatDuration, formatSize, parseDuration, parseSize } from '../../../src/config/units.js';

describe('parseDuration and formatDuration', () => {
  it.each([
    ['250ms', 250],
    ['30s', 30_000],
    ['5m', 300_000],
    ['24h', 86_400_000],
    ['1.5s', 1_500],
    ['7', 7],
  ])('parses %s as %d ms', (text, ms) => expect(parseDuration(text)).toBe(ms));

  it.each(['', 's', '-1s', '1 s', '1sec', '1e3', '∞'])('refuses %j as a duration', (text) =>
    expect(parseDuration(text)).toBeUndefined(),
  );

  it('parses every formatted value back to the same value', () => {
    fc.assert(
      fc.property(fc.nat(1_000_000_000), (ms) => parseDuration(formatDuration(ms)) === ms),
      { seed: 1 },
    );
    fc.assert(
      fc.property(fc.nat(1_000_000_000), (bytes) => parseSize(formatSize(bytes)) === bytes),
      { seed: 1 },
    );
  });
});

describe('parseSize and formatSize', () => {
  it.each([
    ['1MiB', 1_048_576],
    ['64KiB', 65_536],
    ['1KB', 1_000],
    ['12', 12],
  ])('parses %s as %d bytes', (text, bytes) => expect(parseSize(text)).toBe(bytes));
  it('knows no other unit', () => expect(parseSize('1GB')).toBeUndefined());
});

/* Lines about what can happen often: one in a while, and no occurrence is left out. */

import { expect, it } from '@jest/globals';
import { RareLine } from '../../../src/observability/rare-line.js';
import { HandTime } from '../../support/hand-time.js';

it('reports the first occurrence at once, and those of an interval with the next line', () => {
  const time = new HandTime();
  const line = new RareLine(10_000, time);
  expect(line.count()).toBe(1);
  expect([line.count(), line.count(3)]).toEqual([undefined, undefined]);
  time.pass(9_999);
  expect(line.count()).toBeUndefined();
  time.pass(1);
  expect(line.count(2)).toBe(7);
});

it('reports an occurrence that counts for nothing', () => {
  expect(new RareLine(10_000, new HandTime()).count(0)).toBe(0);
});

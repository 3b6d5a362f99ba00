/* A lane: first in, first out, one at a time. */

import { describe, expect, it } from '@jest/globals';
import { Lane, type LaneTask } from '../../../src/gateway/lanes/lane.js';

function task(name: string, log: string[]): LaneTask & { end: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return {
    run: async () => {
      log.push(`${name} begins`);
      await promise;
      log.push(`${name} ends`);
    },
    end: resolve,
  };
}

describe('Lane', () => {
  it('begins the first at once and the next when the one before it has ended', async () => {
    const log: string[] = [];
    const lane = new Lane();
    const [a, b, c] = [task('a', log), task('b', log), task('c', log)];
    lane.push(a);
    lane.push(b);
    expect(log).toEqual(['a begins']);
    expect([...lane.tasks]).toEqual([a, b]);
    b.end();
    a.end();
    await new Promise(setImmediate);
    expect(log).toEqual(['a begins', 'a ends', 'b begins', 'b ends']);
    expect(lane.size).toBe(0);
    lane.push(c);
    expect(log.at(-1)).toBe('c begins');
    c.end();
  });

  it('runs a task that another task pushes', async () => {
    const log: string[] = [];
    const lane = new Lane();
    const later = task('later', log);
    later.end();
    lane.push({
      run: async () => {
        await Promise.resolve();
        lane.push(later);
      },
    });
    await new Promise(setImmediate);
    expect(log).toEqual(['later begins', 'later ends']);
  });
});

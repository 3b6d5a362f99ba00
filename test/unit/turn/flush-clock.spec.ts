/* The one clock by which deltas wait: nobody while few turns run, and nobody longer than its window. */

import { setImmediate as nextTick } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { FlushClock } from '../../../src/turn/flush-clock.js';

describe('FlushClock', () => {
  it('lets nothing wait while few turns run', async () => {
    const clock = new FlushClock({ maxWindowMs: 40 });
    const done: string[] = [];
    clock.gather(() => done.push('text'));
    expect(done).toEqual(['text']);
    clock.schedule(() => done.push('delta'));
    await nextTick();
    expect(done).toEqual(['text', 'delta']);
  });

  describe('while many turns run', () => {
    let clock: FlushClock;
    const done: string[] = [];

    beforeEach(() => {
      jest.useFakeTimers();
      done.length = 0;
      clock = new FlushClock({ maxWindowMs: 40 });
      clock.turns = 100;
    });
    afterEach(() => {
      jest.useRealTimers();
    });

    it('opens a window as long as there are turns, and no longer than the greatest', () => {
      clock.turns = 10;
      expect(clock.windowMs).toBe(10);
      clock.turns = 1_000;
      expect(clock.windowMs).toBe(40);
    });

    it('flushes all that waits at one tick', () => {
      clock.schedule(() => done.push('a'));
      jest.advanceTimersByTime(30);
      clock.schedule(() => done.push('b'));
      jest.advanceTimersByTime(9);
      expect(done).toEqual([]);
      jest.advanceTimersByTime(1);
      expect(done).toEqual(['a', 'b']);
    });

    it('writes what a delivered text leads to with the same tick', () => {
      clock.gather(() => {
        done.push('delivered');
        clock.schedule(() => done.push('written'));
      });
      clock.schedule(() => done.push('waited'));
      jest.advanceTimersByTime(45);
      expect(done).toEqual(['delivered', 'waited', 'written']);
    });

    it('reads and writes some streams after the others, in one tick', () => {
      for (let i = 0; i < 40; i++) {
        clock.gather(() => {
          done.push('read');
          clock.schedule(() => done.push('written'));
        });
      }
      jest.advanceTimersByTime(60);
      const runs = done
        .join(' ')
        .match(/(?:read ?)+|(?:written ?)+/gu)
        ?.map((run) => run.trim().split(' ').length);
      expect(runs).toEqual([16, 16, 16, 16, 8, 8]);
    });

    it('ticks again for text that came during a tick', () => {
      clock.gather(() => clock.gather(() => done.push('later')));
      jest.advanceTimersByTime(41);
      expect(done).toEqual([]);
      jest.advanceTimersByTime(40);
      expect(done).toEqual(['later']);
    });

    it('counts the next window from tick to tick', () => {
      clock.schedule(() => done.push('first'));
      jest.advanceTimersByTime(40);
      jest.advanceTimersByTime(15);
      clock.schedule(() => done.push('second'));
      jest.advanceTimersByTime(25);
      expect(done).toEqual(['first', 'second']);
    });
  });
});

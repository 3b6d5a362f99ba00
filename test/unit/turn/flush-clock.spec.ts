/*
 * The shared clock of waiting deltas: no wait while few turns run, and never longer than its
 * window.
 */

import { setImmediate as nextTick } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { FlushClock } from '../../../src/turn/flush-clock.js';

describe('FlushClock', () => {
  it('does not delay deltas while few turns run', async () => {
    const clock = new FlushClock({ maxWindowMs: 40 });
    const done: string[] = [];
    expect(clock.scheduleRead(() => done.push('text'))).toBe(false);
    clock.schedule(() => done.push('delta'));
    await nextTick();
    expect(done).toEqual(['delta']);
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

    it('opens a window proportional to the number of turns, up to the maximum', () => {
      clock.turns = 10;
      expect(clock.windowMs).toBe(10);
      clock.turns = 1_000;
      expect(clock.windowMs).toBe(40);
    });

    it('flushes all waiting deltas in one tick', () => {
      clock.schedule(() => done.push('a'));
      jest.advanceTimersByTime(30);
      clock.schedule(() => done.push('b'));
      jest.advanceTimersByTime(9);
      expect(done).toEqual([]);
      jest.advanceTimersByTime(1);
      expect(done).toEqual(['a', 'b']);
    });

    it('writes the events that delivered text causes in the same tick', () => {
      clock.scheduleRead(() => {
        done.push('delivered');
        clock.schedule(() => done.push('written'));
      });
      clock.schedule(() => done.push('waited'));
      jest.advanceTimersByTime(45);
      expect(done).toEqual(['delivered', 'waited', 'written']);
    });

    it('reads and writes several streams one after the other in one tick', () => {
      for (let i = 0; i < 40; i++) {
        clock.scheduleRead(() => {
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

    it('ticks again for text that arrived during a tick', () => {
      clock.scheduleRead(() => clock.scheduleRead(() => done.push('later')));
      jest.advanceTimersByTime(41);
      expect(done).toEqual([]);
      jest.advanceTimersByTime(40);
      expect(done).toEqual(['later']);
    });

    it('counts the next window from the start of the last tick', () => {
      clock.schedule(() => done.push('first'));
      jest.advanceTimersByTime(40);
      jest.advanceTimersByTime(15);
      clock.schedule(() => done.push('second'));
      jest.advanceTimersByTime(25);
      expect(done).toEqual(['first', 'second']);
    });
  });
});

import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { Overload } from '../../../src/lifecycle/overload.js';

describe('overload', () => {
  it('follows the turns in flight', () => {
    let turns = 4;
    const overload = new Overload(() => turns, { maxLagMs: 1_000, windowMs: 1_000, maxTurns: 5 });
    expect(overload.overloaded).toBe(false);
    turns = 5;
    expect(overload.overloaded).toBe(true);
    expect(overload.figures()).toEqual({ event_loop_lag_ms: 0, turns_in_flight: 5 });
  });

  it('sees an event loop that does not turn, and sees it recover', async () => {
    const overload = new Overload(() => 0, { maxLagMs: 100, windowMs: 60, maxTurns: null });
    overload.onApplicationBootstrap();
    try {
      const blockedUntil = performance.now() + 12_000;
      // The window's own timer fires between two blocks, so the state below is what a probe would have seen.
      while (!overload.overloaded && performance.now() < blockedUntil) {
        const until = performance.now() + 400;
        while (performance.now() < until);
        await sleep(1);
      }
      expect(overload.overloaded).toBe(true);
      const recoverUntil = performance.now() + 10_000;
      while (overload.overloaded && performance.now() < recoverUntil) await sleep(20);
      expect(overload.overloaded).toBe(false);
    } finally {
      overload.onApplicationShutdown();
    }
  });
});

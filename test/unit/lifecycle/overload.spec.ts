import { describe, expect, it } from '@jest/globals';
import { type Time, systemTime } from '../../../src/domain/time.js';
import { Overload, type TurnLoad } from '../../../src/lifecycle/overload.js';

/**
 * A clock that a test moves. Timers that became due meanwhile fire late, as after a blocked event
 * loop.
 */
class ManualTime implements Time {
  #now = 0;
  #timers: { readonly at: number; readonly work: () => void }[] = [];

  readonly now = (): number => this.#now;
  readonly date = systemTime.date;
  readonly soon = systemTime.soon;
  readonly random = systemTime.random;
  readonly unique = systemTime.unique;

  after(ms: number, work: () => void): () => void {
    const timer = { at: this.#now + ms, work };
    this.#timers.push(timer);
    return () => void (this.#timers = this.#timers.filter((other) => other !== timer));
  }

  /** Blocks the event loop for `ms`, then runs the timers that became due. */
  block(ms: number): void {
    this.#now += ms;
    const due = this.#timers.filter(({ at }) => at <= this.#now);
    this.#timers = this.#timers.filter(({ at }) => at > this.#now);
    for (const { work } of due) work();
  }

  /** Lets the event loop turn every millisecond. */
  turn(ms: number): void {
    for (let i = 0; i < ms; i++) this.block(1);
  }
}

const IDLE: TurnLoad = { turns: 0, bytes: 0, full: false };

function loop(): { time: ManualTime; overload: Overload } {
  const time = new ManualTime();
  const overload = new Overload(IDLE, { maxLagMs: 250, averageOverMs: 3_000 }, time);
  overload.onApplicationBootstrap();
  time.turn(1_000);
  return { time, overload };
}
/**
 * Blocks the loop for `ms` again and again until it counts as lagging; returns how long that took.
 */
function blockUntilLagging(ms: number): number {
  const { time, overload } = loop();
  const since = time.now();
  while (!overload.lagging && time.now() - since < 60_000) time.block(ms);
  return time.now() - since;
}

describe('overload', () => {
  it('reports overload while the room for turns is full', () => {
    const load = { ...IDLE, turns: 5, bytes: 70, full: false };
    const overload = new Overload(load, { maxLagMs: 250, averageOverMs: 3_000 });
    expect(overload.overloaded).toBe(false);
    load.full = true;
    expect(overload.overloaded).toBe(true);
    expect(overload.lagging).toBe(false);
    expect(overload.figures()).toEqual({ event_loop_lag_ms: 0, turns_in_flight: 5, turn_bytes: 70 });
  });

  it.each([500, 2_000, 10_000, 600_000])('does not report overload after a single pause of %i ms', (ms) => {
    const { time, overload } = loop();
    time.block(ms);
    expect(overload.lagging).toBe(false);
    time.turn(1_000);
    expect(overload.lagging).toBe(false);
  });

  it.each([
    [350, 8_000],
    [500, 4_500],
    [2_000, 6_000],
  ])('reports overload when the event loop turns every %i ms for a while', (ms, withinMs) => {
    const tookMs = blockUntilLagging(ms);
    expect(tookMs).toBeLessThanOrEqual(withinMs);
    expect(tookMs).toBeGreaterThan(ms);
  });

  it('never reports overload when the event loop turns every 200 ms', () => {
    expect(blockUntilLagging(200)).toBeGreaterThanOrEqual(60_000);
  });

  it('ends the overload within seconds after the event loop turns again', () => {
    const { time, overload } = loop();
    for (let i = 0; i < 100; i++) time.block(2_000);
    expect(overload.overloaded).toBe(true);
    time.turn(3_000);
    expect(overload.overloaded).toBe(false);
  });

  it('measures nothing after the shutdown', () => {
    const { time, overload } = loop();
    overload.onApplicationShutdown();
    for (let i = 0; i < 100; i++) time.block(2_000);
    expect(overload.overloaded).toBe(false);
  });

  it('measures the event loop of this process', async () => {
    const overload = new Overload(IDLE, { maxLagMs: 1_000, averageOverMs: 3_000 });
    overload.onApplicationBootstrap();
    // Due right after the first tick, so that both run when the block ends.
    const figures = new Promise((resolve) => systemTime.after(51, () => resolve(overload.figures())));
    const until = performance.now() + 400;
    while (performance.now() < until);
    const { event_loop_lag_ms: lagMs } = (await figures) as { event_loop_lag_ms: number };
    overload.onApplicationShutdown();
    // 350 ms late, weighted by 400 ms of 3 s.
    expect(lagMs).toBeGreaterThanOrEqual(40);
  });
});

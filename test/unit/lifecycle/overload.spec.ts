import { describe, expect, it } from '@jest/globals';
import { type Time, systemTime } from '../../../src/domain/time.js';
import { Overload } from '../../../src/lifecycle/overload.js';

/** A clock that stands still until a test moves it; timers that became due meanwhile fire late, as after a blocked event loop. */
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

  /** The event loop does not turn for so long; then it runs what became due. */
  block(ms: number): void {
    this.#now += ms;
    const due = this.#timers.filter(({ at }) => at <= this.#now);
    this.#timers = this.#timers.filter(({ at }) => at > this.#now);
    for (const { work } of due) work();
  }

  /** The event loop turns every millisecond. */
  turn(ms: number): void {
    for (let i = 0; i < ms; i++) this.block(1);
  }
}

describe('overload', () => {
  it('follows the turns in flight', () => {
    let turns = 4;
    const overload = new Overload(() => turns, { maxLagMs: 1_000, windowMs: 1_000, maxTurns: 5 });
    expect(overload.overloaded).toBe(false);
    turns = 5;
    expect(overload.overloaded).toBe(true);
    expect(overload.figures()).toEqual({ event_loop_lag_ms: 0, turns_in_flight: 5 });
  });

  it('reports a blocked event loop, and its recovery one window later', () => {
    const time = new ManualTime();
    const overload = new Overload(() => 0, { maxLagMs: 100, windowMs: 60, maxTurns: null }, time);
    overload.onApplicationBootstrap();
    time.turn(60);
    expect(overload.figures()['event_loop_lag_ms']).toBe(0);
    // Longer than a window, so that the window and the tick that measures it become due together.
    time.block(400);
    expect(overload.figures()['event_loop_lag_ms']).toBe(380);
    expect(overload.overloaded).toBe(true);
    time.turn(60);
    expect(overload.overloaded).toBe(false);
    overload.onApplicationShutdown();
    time.block(400);
    expect(overload.overloaded).toBe(false);
  });

  it('judges by the mean of a window, so that one long block among many short waits is no overload', () => {
    const time = new ManualTime();
    const overload = new Overload(() => 0, { maxLagMs: 100, windowMs: 1_000, maxTurns: null }, time);
    overload.onApplicationBootstrap();
    time.turn(600);
    time.block(400);
    expect(overload.figures()['event_loop_lag_ms']).toBe(Math.round(380 / 31));
    expect(overload.overloaded).toBe(false);
    for (let i = 0; i < 5; i++) time.block(250);
    expect(overload.overloaded).toBe(true);
  });

  it('measures the event loop of this process', async () => {
    const overload = new Overload(() => 0, { maxLagMs: 100, windowMs: 60, maxTurns: null });
    overload.onApplicationBootstrap();
    // Due right after the first tick, so that both run when the block ends and no later window comes between them.
    const figures = new Promise((resolve) => systemTime.after(21, () => resolve(overload.figures())));
    const until = performance.now() + 400;
    while (performance.now() < until);
    const { event_loop_lag_ms: lagMs } = (await figures) as { event_loop_lag_ms: number };
    overload.onApplicationShutdown();
    expect(lagMs).toBeGreaterThanOrEqual(379);
  });
});

/* Whether this replica has more to do than it can: by event-loop lag, or by turns in flight. */

import { type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { every, systemTime, type Time } from '../domain/time.js';
import { type OverloadProbe } from './readiness.js';

export interface OverloadOptions {
  /** Mean lag of the event loop over one window, from which on the replica counts as overloaded. */
  readonly maxLagMs: number;
  readonly windowMs: number;
  /** Null: no limit. */
  readonly maxTurns: number | null;
}

const TICK_MS = 20;

export class Overload implements OverloadProbe, OnApplicationBootstrap, OnApplicationShutdown {
  #lagMs = 0;
  #stop = (): void => undefined;

  constructor(
    private readonly turnsInFlight: () => number,
    private readonly options: OverloadOptions,
    private readonly time: Time = systemTime,
  ) {}

  /**
   * Measures how late a short timer fires. The tick that measures also ends the window: a loop that was blocked for longer than a window
   * runs its late timers one after the other, and a window that another timer ends could end before the late tick was counted.
   */
  onApplicationBootstrap(): void {
    let dueAt = this.time.now() + TICK_MS;
    let windowEndsAt = this.time.now() + this.options.windowMs;
    let ticks = 0;
    let sumMs = 0;
    this.#stop = every(this.time, TICK_MS, () => {
      const now = this.time.now();
      ticks++;
      sumMs += Math.max(0, now - dueAt);
      dueAt = now + TICK_MS;
      if (now < windowEndsAt) return;
      this.#lagMs = sumMs / ticks;
      [ticks, sumMs, windowEndsAt] = [0, 0, now + this.options.windowMs];
    });
  }

  onApplicationShutdown(): void {
    this.#stop();
  }

  get overloaded(): boolean {
    const { maxLagMs, maxTurns } = this.options;
    return this.#lagMs >= maxLagMs || (maxTurns !== null && this.turnsInFlight() >= maxTurns);
  }

  figures(): Readonly<Record<string, number>> {
    return { event_loop_lag_ms: Math.round(this.#lagMs), turns_in_flight: this.turnsInFlight() };
  }
}

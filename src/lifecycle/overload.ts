/* Detects overload of this replica: its event loop lags, or its room for turns is full. */

import { type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { every, systemTime, type Time } from '../domain/time.js';
import { type OverloadProbe } from './readiness.js';

/** The load of the replica. */
export interface TurnLoad {
  readonly turns: number;
  readonly bytes: number;
  readonly full: boolean;
}

export interface OverloadOptions {
  /**
   * Average lag of the event loop, in milliseconds, from which on the replica counts as overloaded.
   */
  readonly maxLagMs: number;
  /**
   * Time constant of the average, in milliseconds: a lag of that age counts for a third. At least
   * three times `LONGEST_MS`.
   */
  readonly averageOverMs: number;
}

/** Each wake-up of an idle process costs as much as a delta, so there are few. */
const TICK_MS = 50;
/**
 * Upper bound of the time that one tick counts for: a single pause of any length (garbage
 * collection, a stopped process) is no overload.
 */
const LONGEST_MS = 1_000;

export class Overload implements OverloadProbe, OnApplicationBootstrap, OnApplicationShutdown {
  #lagMs = 0;
  #stop = (): void => undefined;

  constructor(
    private readonly load: TurnLoad,
    private readonly options: OverloadOptions,
    private readonly time: Time = systemTime,
  ) {}

  /**
   * Measures how late a short timer fires. Each tick weighs as much as the time since the tick
   * before it.
   */
  onApplicationBootstrap(): void {
    let dueAt = this.time.now() + TICK_MS;
    this.#stop = every(this.time, TICK_MS, () => {
      const now = this.time.now();
      this.#add(Math.max(0, now - dueAt));
      dueAt = now + TICK_MS;
    });
  }

  onApplicationShutdown(): void {
    this.#stop();
  }

  /** Whether the event loop lags: more turns would only slow down the running ones. */
  get lagging(): boolean {
    return this.#lagMs >= this.options.maxLagMs;
  }

  get overloaded(): boolean {
    return this.lagging || this.load.full;
  }

  figures(): Readonly<Record<string, number>> {
    const { turns, bytes } = this.load;
    return { event_loop_lag_ms: Math.round(this.#lagMs), turns_in_flight: turns, turn_bytes: bytes };
  }

  #add(lateMs: number): void {
    const { maxLagMs, averageOverMs } = this.options;
    const weight = 1 - Math.exp(-Math.min(lateMs + TICK_MS, LONGEST_MS) / averageOverMs);
    this.#lagMs += weight * (Math.min(lateMs, 2 * maxLagMs) - this.#lagMs);
  }
}

/* Whether this replica has more to do than it can: by event-loop lag, or by turns in flight. */

import { monitorEventLoopDelay } from 'node:perf_hooks';
import { type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { type OverloadProbe } from './readiness.js';

export interface OverloadOptions {
  /** Mean lag of the event loop over one window, from which on the replica counts as overloaded. */
  readonly maxLagMs: number;
  readonly windowMs: number;
  /** Null: no limit. */
  readonly maxTurns: number | null;
}

const RESOLUTION_MS = 20;

export class Overload implements OverloadProbe, OnApplicationBootstrap, OnApplicationShutdown {
  readonly #histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  #lagMs = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly turnsInFlight: () => number,
    private readonly options: OverloadOptions,
  ) {}

  onApplicationBootstrap(): void {
    this.#histogram.enable();
    this.#timer = setInterval(() => this.#sample(), this.options.windowMs).unref();
  }

  onApplicationShutdown(): void {
    clearInterval(this.#timer);
    this.#histogram.disable();
  }

  get overloaded(): boolean {
    const { maxLagMs, maxTurns } = this.options;
    return this.#lagMs >= maxLagMs || (maxTurns !== null && this.turnsInFlight() >= maxTurns);
  }

  figures(): Readonly<Record<string, number>> {
    return { event_loop_lag_ms: Math.round(this.#lagMs), turns_in_flight: this.turnsInFlight() };
  }

  /** The histogram holds the time between two ticks of its own timer, so what exceeds the timer's period is lag. */
  #sample(): void {
    const meanMs = this.#histogram.count === 0 ? 0 : this.#histogram.mean / 1e6;
    this.#lagMs = Math.max(0, meanMs - RESOLUTION_MS);
    this.#histogram.reset();
  }
}

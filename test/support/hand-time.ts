/*
 * Time that a test moves by hand: `pass` lets it go by and runs what is due, `jump` sets the wall
 * clock alone.
 */

import { type Time } from '../../src/domain/time.js';

interface Timer {
  readonly at: number;
  readonly work: () => void;
}

export class HandTime implements Time {
  #nowMs: number;
  #dateMs: number;
  #unique = 0;
  readonly #timers = new Set<Timer>();

  constructor(dateMs = 1_800_000_000_000, nowMs = 1_000_000) {
    this.#dateMs = dateMs;
    this.#nowMs = nowMs;
  }

  now(): number {
    return this.#nowMs;
  }

  date(): number {
    return this.#dateMs;
  }

  after(ms: number, work: () => void): () => void {
    const timer = { at: this.#nowMs + ms, work };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }

  soon(work: () => void): void {
    setImmediate(work);
  }

  random(): number {
    return 0.5;
  }

  unique(): string {
    return (++this.#unique).toString(16).padStart(32, '0');
  }

  /**
   * Lets `ms` milliseconds go by on both clocks; runs the timers that fall due, in order, each at
   * its own time.
   */
  pass(ms: number): void {
    const until = this.#nowMs + ms;
    for (;;) {
      const [next] = [...this.#timers].filter(({ at }) => at <= until).sort((a, b) => a.at - b.at);
      if (next === undefined) break;
      this.#timers.delete(next);
      this.#move(Math.max(0, next.at - this.#nowMs));
      next.work();
    }
    this.#move(until - this.#nowMs);
  }

  /**
   * Lets `ms` milliseconds go by in which no timer runs, as for a process that was stopped: `pass`
   * runs what fell due.
   */
  stall(ms: number): void {
    this.#move(ms);
  }

  /** Sets the wall clock forward by `ms`, or back; nothing else notices. */
  jump(ms: number): void {
    this.#dateMs += ms;
  }

  #move(ms: number): void {
    this.#nowMs += ms;
    this.#dateMs += ms;
  }
}

/*
 * The simulated clock and the queue of everything that will happen. One event runs at a time, and
 * all that follows from it within the same moment (promises) runs before the next. The seed decides
 * the order of events that are due together.
 */

import { type Time } from '../../src/domain/time.js';
import { type Random } from './random.js';

/** A process whose events can be held back or dropped. */
export class Host {
  readonly name: string;
  state: 'up' | 'paused' | 'crashed' = 'up';
  /** How far its wall clock is off, in milliseconds. */
  skewMs = 0;

  constructor(name: string) {
    this.name = name;
  }
}

interface Event {
  readonly at: number;
  readonly order: number;
  readonly host: Host | null;
  readonly label: string;
  readonly work: () => void;
}

const EPOCH_MS = 1_800_000_000_000;
/** Longest a timer is late, in milliseconds. */
const LATE_MS = 0.5;
/**
 * After so many events the event loop of the test process turns once, so that its runner stays
 * responsive.
 */
const TURN_EVERY = 5_000;

export class Scheduler {
  readonly #random: Random;
  readonly #events: Event[] = [];
  readonly #onEvent: ((line: string) => void) | undefined;
  #uniques = 0;
  now = 0;
  steps = 0;

  /** @param onEvent is called with a line for each event; absent: no lines are made */
  constructor(random: Random, onEvent?: (line: string) => void) {
    this.#random = random;
    this.#onEvent = onEvent;
  }

  /**
   * Runs `work` on `host` in `ms` milliseconds; null: outside of every host. Returns what cancels
   * it.
   */
  post(host: Host | null, ms: number, label: string, work: () => void): () => void {
    const event = { at: this.now + Math.max(0, ms), order: this.#random.next(), host, label, work };
    if (host?.state !== 'crashed') this.#events.push(event);
    return () => {
      const index = this.#events.indexOf(event);
      if (index >= 0) this.#removeAt(index);
    };
  }

  /** Adds a line to the trace. */
  note(line: () => string): void {
    this.#onEvent?.(`${this.now.toFixed(1).padStart(9)}  ${line()}`);
  }

  /**
   * Runs events until `done`. False: that did not come by `limitMs` of simulated time, or nothing
   * was left to run.
   */
  async run(done: () => boolean, limitMs: number): Promise<boolean> {
    while (!done()) {
      const next = this.#take(limitMs);
      if (next === undefined) return false;
      this.now = Math.max(this.now, next.at);
      if (next.label !== '') this.note(() => `${next.host?.name ?? 'world'} ${next.label}`);
      next.work();
      this.steps += 1;
      await quiet(this.steps % TURN_EVERY === 0);
    }
    return true;
  }

  crash(host: Host): void {
    host.state = 'crashed';
    for (let i = this.#events.length - 1; i >= 0; i--) if (this.#events[i]?.host === host) this.#removeAt(i);
  }

  /** Time as a process on `host` sees it. */
  timeOf(host: Host): Time {
    return {
      now: () => 1_000_000 + this.now,
      date: () => EPOCH_MS + this.now + host.skewMs,
      after: (ms, work) => this.post(host, ms + this.#random.between(0, LATE_MS), '', work),
      soon: (work) => void this.post(host, this.#random.between(0, 0.02), '', work),
      random: () => this.#random.next(),
      unique: () => (++this.#uniques).toString(16).padStart(32, '0'),
    };
  }

  #take(limitMs: number): Event | undefined {
    let best = -1;
    let first: Event | undefined;
    for (let i = 0; i < this.#events.length; i++) {
      const event = this.#events[i];
      if (event === undefined || event.host?.state === 'paused') continue;
      if (first !== undefined && (event.at > first.at || (event.at === first.at && event.order >= first.order)))
        continue;
      first = event;
      best = i;
    }
    if (first === undefined || first.at > limitMs) return undefined;
    this.#removeAt(best);
    return first;
  }

  /** The order in the array means nothing. */
  #removeAt(index: number): void {
    const last = this.#events.pop();
    if (last !== undefined && index < this.#events.length) this.#events[index] = last;
  }
}

/**
 * Resolves when all pending promise callbacks have run: ticks run only after the queue of promises
 * is empty. A tick that they queued (the journal writes in one) runs too, but what follows from it
 * in promises runs beside the next event. Waiting for that too takes a third more time.
 */
function quiet(turn: boolean): Promise<void> {
  return new Promise((resolve) => {
    if (turn) setImmediate(resolve);
    else process.nextTick(resolve);
  });
}

/*
 * Counts the checks of a turn's output guard and measures their total time: the guard's span lasts
 * as long as the stream, its work does not.
 */

import { type Time } from '../domain/time.js';
import { type Span } from '../observability/tracing.js';
import { type OutputGuard } from '../validation/output-guard.js';

export class GuardTimes {
  readonly #time: Time;
  #checks = 0;
  #busyMs = 0;
  /** Unix milliseconds. */
  #firstAtMs = 0;

  constructor(time: Time) {
    this.#time = time;
  }

  timing(guard: OutputGuard): OutputGuard {
    return {
      push: (text) => this.#timed(() => guard.push(text)),
      end: () => this.#timed(() => guard.end()),
      waiting: () => guard.waiting?.(),
      conclude: async () => guard.conclude?.(),
      get held() {
        return guard.held ?? 0;
      },
    };
  }

  /** Records one span from the first check to now, or none if there was no check. */
  record(parent: Span): void {
    if (this.#checks === 0) return;
    const attributes = { 'sluice.guard.checks': this.#checks, 'sluice.guard.busy_ms': this.#busyMs };
    parent.child('guard output', { attributes, startedAtMs: this.#firstAtMs }).end();
  }

  #timed<T>(check: () => T): T {
    const since = this.#time.now();
    if (this.#checks === 0) this.#firstAtMs = this.#time.date();
    this.#checks += 1;
    try {
      return check();
    } finally {
      this.#busyMs += this.#time.now() - since;
    }
  }
}

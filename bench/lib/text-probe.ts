/*
 * Reads the text that came out at the far end: how many provider deltas are in it, and how long
 * each tagged one was on its way. Knows nothing of frames; deltas may be joined or cut anywhere.
 */

import { sinceTag, TAG_LENGTH, TAG_START } from './clock.js';

/** Counts of one window, shared by all streams of a run. */
export class Tally {
  deltas = 0;
  events = 0;
  readonly latencyMs: number[] = [];
  readonly firstDeltaMs: number[] = [];
  responses = 0;
  failures = 0;
  /** What the first failure said. */
  firstFailure = '';

  reset(): void {
    this.deltas = 0;
    this.events = 0;
    this.latencyMs.length = 0;
    this.firstDeltaMs.length = 0;
    this.responses = 0;
    this.failures = 0;
    this.firstFailure = '';
  }

  fail(why = ''): void {
    this.failures += 1;
    this.firstFailure ||= why;
  }
}

export class TextProbe {
  readonly #tally: Tally;
  /** A tag that has begun but not ended. */
  #carry = '';

  constructor(tally: Tally) {
    this.#tally = tally;
  }

  /** Takes the text of one event. Every provider delta begins with its only space. */
  push(delta: string, nowMs: number): void {
    const tally = this.#tally;
    tally.events += 1;
    for (let at = delta.indexOf(' '); at >= 0; at = delta.indexOf(' ', at + 1)) tally.deltas += 1;
    const text = this.#carry + delta;
    this.#carry = '';
    for (let at = text.indexOf(TAG_START); at >= 0; at = text.indexOf(TAG_START, at + 1)) {
      if (at + TAG_LENGTH > text.length) {
        this.#carry = text.slice(at);
        return;
      }
      tally.latencyMs.push(sinceTag(text, at, nowMs));
    }
  }
}

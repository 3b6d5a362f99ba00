/* How long the REST routes wait for what, in milliseconds. */

import { type SseOptions } from './sse.js';

export class RestTimes {
  readonly sse: SseOptions = { keepAliveMs: 15_000, stallMs: 15_000, lingerMs: 1_000 };
  /** A cancelled turn ends within 2 s of its live owner, within 12 s of a lost one. */
  readonly cancelWaitMs: number = 12_000;
  /**
   * A stream's head is sent at its first event, or after so long without one: until then a refusal still is an HTTP status, and a
   * client that follows a silent turn does not wait for the head.
   */
  readonly firstEventMs: number = 500;
  /** The same for a chat completion, whose first step is its first delta: what fails before that is an HTTP status. */
  readonly firstChunkMs: number = 10_000;

  constructor(times: Partial<RestTimes> = {}) {
    Object.assign(this, times);
  }
}

/* The time limits of the REST routes, in milliseconds, and what ends their answers early. */

import { type ServerResponse } from 'node:http';
import { type Interruption } from './open-answers.js';
import { type SseOptions } from './sse.js';

export class RestTimes {
  readonly sse: SseOptions = { keepAliveMs: 15_000, stallMs: 15_000, lingerMs: 1_000 };
  /**
   * How long a cancel waits. A turn ends within 2 s on a live owner, within 12 s after a lost one.
   */
  readonly cancelWaitMs: number = 12_000;
  /**
   * When a stream's head is sent if there is no event before. Until then a refusal is still an HTTP
   * status, and a client that follows a silent turn does not wait longer for the head.
   */
  readonly firstEventMs: number = 500;
  /**
   * The same for a chat completion, which waits for its first delta. An earlier failure is an HTTP
   * status.
   */
  readonly firstChunkMs: number = 10_000;

  /** Returns what ends an answer early. */
  readonly interruptionOf: (answer: ServerResponse) => Interruption | undefined = () => undefined;

  constructor(times: Partial<RestTimes> = {}) {
    Object.assign(this, times);
  }

  /** Returns the options of one stream. */
  sseOf(answer: ServerResponse): SseOptions {
    return { ...this.sse, interruption: this.interruptionOf(answer) };
  }
}

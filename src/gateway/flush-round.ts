/*
 * Flushes all connections that were woken in one round of the event loop together, so that an event
 * that many of them follow is framed once. A gateway has one instance.
 */

import { type LoggedEvent } from '../domain/event.js';
import { type Time } from '../domain/time.js';
import { textFrame } from './raw-socket.js';

/** A connection that can be woken. */
export interface Flushable {
  /** The last round it was woken for; −1 before the first. Written by FlushRound only. */
  wokenFor: number;
  flush(): void;
}

export class FlushRound {
  readonly #time: Time;
  /**
   * The connections of the next round. A list, not a set: one response can wake thousands of
   * connections at once.
   */
  #woken: Flushable[] = [];
  /** Number of the next round. */
  #round = 0;
  readonly #frames = new Map<LoggedEvent, Buffer>();
  #flushing = false;

  constructor(time: Time) {
    this.#time = time;
  }

  /** Flushes `connection` once in the next round. */
  add(connection: Flushable): void {
    if (connection.wokenFor === this.#round) return;
    connection.wokenFor = this.#round;
    if (this.#woken.length === 0) this.#time.soon(this.#flush);
    this.#woken.push(connection);
  }

  /** Returns the event as a text frame of the default lane. */
  frameOf(event: LoggedEvent): Buffer {
    let frame = this.#frames.get(event);
    if (frame === undefined) {
      frame = textFrame(event.json);
      // Cache only during a shared flush; otherwise nothing clears the cache.
      if (this.#flushing) this.#frames.set(event, frame);
    }
    return frame;
  }

  readonly #flush = (): void => {
    const woken = this.#woken;
    this.#woken = [];
    this.#round += 1;
    this.#flushing = true;
    try {
      for (const connection of woken) connection.flush();
    } finally {
      this.#flushing = false;
      this.#frames.clear();
    }
  };
}

/*
 * Flushes all connections that were woken in one round of the event loop together, so that an event
 * that many of them follow is framed once. A gateway has one instance.
 */

import { type LoggedEvent } from '../domain/event.js';
import { type Time } from '../domain/time.js';
import { textFrame } from './raw-socket.js';

interface Flushable {
  flush(): void;
}

export class FlushRound {
  readonly #time: Time;
  readonly #woken = new Set<Flushable>();
  readonly #frames = new Map<LoggedEvent, Buffer>();
  #scheduled = false;
  #flushing = false;

  constructor(time: Time) {
    this.#time = time;
  }

  /** Flushes `connection` in the next round. */
  add(connection: Flushable): void {
    this.#woken.add(connection);
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#time.soon(() => this.#flush());
  }

  /** Removes a connection that was added. */
  delete(connection: Flushable): void {
    this.#woken.delete(connection);
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

  #flush(): void {
    this.#scheduled = false;
    const woken = [...this.#woken];
    this.#woken.clear();
    this.#flushing = true;
    try {
      for (const connection of woken) connection.flush();
    } finally {
      this.#flushing = false;
      this.#frames.clear();
    }
  }
}

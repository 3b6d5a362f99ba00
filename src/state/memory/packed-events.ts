/*
 * The events of an ended response as bytes. The log is complete, and the garbage collector would
 * otherwise traverse thousands of strings again and again for ten minutes.
 */

import { type LoggedEvent, type ResponseEventType } from '../../domain/event.js';

/** Offset of the type in the JSON of an event: `serialize` writes the type first. */
const TYPE_AT = '{"type":"'.length;

export class PackedEvents {
  readonly #bytes: Buffer;
  /** End offset of each event. */
  readonly #ends: Uint32Array;

  /** @param events all events of a log, contiguous from number 0 */
  constructor(events: readonly LoggedEvent[]) {
    let text = '';
    for (const { json } of events) text += json;
    this.#bytes = Buffer.from(text);
    const isAscii = this.#bytes.length === text.length;
    this.#ends = new Uint32Array(events.length);
    let at = 0;
    let end = 0;
    for (const { json } of events) this.#ends[at++] = end += isAscii ? json.length : Buffer.byteLength(json);
  }

  get length(): number {
    return this.#ends.length;
  }

  get byteLength(): number {
    return this.#bytes.length;
  }

  /** Returns events `from` to `to` − 1, like `Array.slice` with non-negative arguments. */
  slice(from: number, to: number): LoggedEvent[] {
    const events: LoggedEvent[] = [];
    for (let sequence = from; sequence < Math.min(to, this.length); sequence++) {
      const json = this.#bytes.toString('utf8', sequence === 0 ? 0 : this.#ends[sequence - 1], this.#ends[sequence]);
      // The cast is safe: `serialize` wrote the type.
      const type = json.slice(TYPE_AT, json.indexOf('"', TYPE_AT)) as ResponseEventType;
      events.push({ sequence, type, json });
    }
    return events;
  }
}

/*
 * The events of an ended response as bytes: nothing is added to them any more, and thousands of strings that stay for ten minutes are
 * what a garbage collector would walk over again and again.
 */

import { type LoggedEvent, type ResponseEventType } from '../../domain/event.js';

/** Every event's text begins so: `serialize` writes the type first. */
const TYPE_AT = '{"type":"'.length;

export class PackedEvents {
  readonly #bytes: Buffer;
  /** Where each event ends. */
  readonly #ends: Uint32Array;

  /** @param events all of a log's, contiguous from number 0 */
  constructor(events: readonly LoggedEvent[]) {
    this.#bytes = Buffer.from(events.map(({ json }) => json).join(''));
    this.#ends = new Uint32Array(events.length);
    let end = 0;
    for (const [i, { json }] of events.entries()) {
      end += Buffer.byteLength(json);
      this.#ends[i] = end;
    }
  }

  get length(): number {
    return this.#ends.length;
  }

  get byteLength(): number {
    return this.#bytes.length;
  }

  /** As an array's `slice`, for numbers from 0. */
  slice(from: number, to: number): LoggedEvent[] {
    const events: LoggedEvent[] = [];
    for (let sequence = from; sequence < Math.min(to, this.length); sequence++) {
      const json = this.#bytes.toString('utf8', sequence === 0 ? 0 : this.#ends[sequence - 1], this.#ends[sequence]);
      // Written by `serialize`, whose types these are.
      const type = json.slice(TYPE_AT, json.indexOf('"', TYPE_AT)) as ResponseEventType;
      events.push({ sequence, type, json });
    }
    return events;
  }
}

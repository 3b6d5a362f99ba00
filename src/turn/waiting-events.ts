/*
 * The events of a turn that wait for the next append: joins deltas of one place, and numbers the
 * events when they are appended.
 */

import { EventSerializer, type LoggedEvent, type ResponseEvent } from '../domain/event.js';

export type DeltaEvent = Extract<ResponseEvent, { readonly delta: string }>;

/** The events of one append. */
export interface Batch {
  readonly events: readonly LoggedEvent[];
  readonly deltas: number;
  /** Start of the append, from `Time.now()`. */
  readonly startedAt: number;
}

export class WaitingEvents {
  readonly #serializer = new EventSerializer();
  #events: ResponseEvent[] = [];
  #deltas = 0;
  #next: number;

  /** @param next sequence number of the first event */
  constructor(next: number) {
    this.#next = next;
  }

  get length(): number {
    return this.#events.length;
  }

  /** Number of deltas among them, each joined one counted once. */
  get deltas(): number {
    return this.#deltas;
  }

  /** Sequence number of the next event that joins no delta. */
  get nextSequence(): number {
    return this.#next + this.#events.length;
  }

  add(event: ResponseEvent): void {
    // One event is the usual case, and an empty array would grow to room for many.
    if (this.#events.length === 0) this.#events = [event];
    else this.#events.push(event);
  }

  /** @returns whether it was joined with the delta before it */
  addDelta(event: DeltaEvent): boolean {
    const newest = this.#events[this.#events.length - 1];
    if (newest !== undefined && joins(newest, event)) {
      this.#events[this.#events.length - 1] = { ...newest, delta: newest.delta + event.delta };
      return true;
    }
    this.add(event);
    this.#deltas += 1;
    return false;
  }

  /** Returns the events as they will be in the log, without taking them. `last` follows them. */
  numbered(...last: readonly ResponseEvent[]): LoggedEvent[] {
    const events = last.length === 0 ? this.#events : [...this.#events, ...last];
    return events.map((event, i) => this.#serializer.serialize(event, this.#next + i));
  }

  /** Forgets the events. `appended` of them, and of those that followed, have their numbers. */
  clear(appended: number): void {
    this.#events = [];
    this.#deltas = 0;
    this.#next += appended;
  }
}

function joins(earlier: ResponseEvent, later: DeltaEvent): earlier is DeltaEvent {
  return (
    earlier.type === later.type &&
    earlier.output_index === later.output_index &&
    (!('content_index' in earlier) || !('content_index' in later) || earlier.content_index === later.content_index)
  );
}

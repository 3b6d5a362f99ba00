/*
 * The newest events that this replica has written to each running response, within bounds. If Redis
 * loses its newest writes (a failover to a Redis replica that was behind), the log appends them
 * again with the same numbers and text. Knows no Redis.
 */

import { type LoggedEvent } from '../../../domain/event.js';
import { systemTime, type Time } from '../../../domain/time.js';

export interface WrittenTailsOptions {
  /** Most events stored of one response. */
  readonly maxEvents?: number;
  /** Most characters stored of one response. */
  readonly maxCharacters?: number;
  readonly time?: Time;
}

interface Tail {
  readonly events: LoggedEvent[];
  characters: number;
  usedAtMs: number;
}

/**
 * A tail is dropped after this long without an append: its turn ended elsewhere, or Redis has long
 * replicated the events.
 */
const IDLE_MS = 60_000;
/** Idle tails are dropped once for every this many new responses. */
const SWEEP_EVERY = 256;

export class WrittenTails {
  readonly #tails = new Map<string, Tail>();
  readonly #maxEvents: number;
  readonly #maxCharacters: number;
  readonly #time: Time;
  #started = 0;

  constructor({ maxEvents = 128, maxCharacters = 64 * 1024, time = systemTime }: WrittenTailsOptions = {}) {
    this.#time = time;
    this.#maxEvents = maxEvents;
    this.#maxCharacters = maxCharacters;
  }

  /** Number of responses with a stored tail. */
  get size(): number {
    return this.#tails.size;
  }

  /** Drops the tail of a response. */
  end(responseId: string): void {
    this.#tails.delete(responseId);
  }

  /** Adds events that the log has confirmed. */
  add(responseId: string, events: readonly LoggedEvent[]): void {
    const tail = this.#tails.get(responseId) ?? this.#start(responseId);
    tail.usedAtMs = this.#time.now();
    for (const event of events) {
      tail.events.push(event);
      tail.characters += event.json.length;
    }
    // Trim in large steps: trimming for each event would move the whole list each time.
    if (tail.events.length <= this.#maxEvents * 1.5 && tail.characters <= this.#maxCharacters * 1.5) return;
    let dropped = 0;
    while (tail.events.length - dropped > this.#maxEvents || tail.characters > this.#maxCharacters) {
      tail.characters -= tail.events[dropped]?.json.length ?? 0;
      dropped += 1;
    }
    tail.events.splice(0, dropped);
  }

  /** Returns events `from` to `to` − 1, or undefined if one of them is not stored. */
  between(responseId: string, from: number, to: number): readonly LoggedEvent[] | undefined {
    const events = this.#tails.get(responseId)?.events ?? [];
    const first = events[0]?.sequence;
    if (first === undefined || first > from) return undefined;
    const found = events.slice(from - first, to - first);
    return found.length === to - from ? found : undefined;
  }

  /** Returns all events from number 0 on, or undefined if this replica does not hold all. */
  whole(responseId: string): readonly LoggedEvent[] | undefined {
    const events = this.#tails.get(responseId)?.events;
    return events?.[0]?.sequence === 0 ? events : undefined;
  }

  #start(responseId: string): Tail {
    const now = this.#time.now();
    if (++this.#started % SWEEP_EVERY === 0) {
      for (const [id, { usedAtMs }] of this.#tails) if (now - usedAtMs > IDLE_MS) this.#tails.delete(id);
    }
    const tail = { events: [], characters: 0, usedAtMs: now };
    this.#tails.set(responseId, tail);
    return tail;
  }
}

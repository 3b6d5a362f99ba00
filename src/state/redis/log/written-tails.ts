/*
 * The newest events that this replica has written to each running response, within bounds. Where Redis loses its newest writes (a failover to
 * a replica that was behind), they are written again with the same numbers and the same text. Pure: knows no Redis.
 */

import { type LoggedEvent } from '../../../domain/event.js';

export interface WrittenTailsOptions {
  /** Most events and characters remembered of one response. */
  readonly maxEvents?: number;
  readonly maxCharacters?: number;
}

interface Tail {
  readonly events: LoggedEvent[];
  characters: number;
  usedAtMs: number;
}

/** A response without an append for so long has been left by its turn, or loses only what it would hardly need. */
const IDLE_MS = 60_000;
const LOOK_EVERY = 256;

export class WrittenTails {
  readonly #tails = new Map<string, Tail>();
  readonly #maxEvents: number;
  readonly #maxCharacters: number;
  #begun = 0;

  constructor({ maxEvents = 128, maxCharacters = 64 * 1024 }: WrittenTailsOptions = {}) {
    this.#maxEvents = maxEvents;
    this.#maxCharacters = maxCharacters;
  }

  /** Responses that are remembered. */
  get size(): number {
    return this.#tails.size;
  }

  end(responseId: string): void {
    this.#tails.delete(responseId);
  }

  /** Remembers what the log has confirmed. */
  add(responseId: string, events: readonly LoggedEvent[]): void {
    const tail = this.#tails.get(responseId) ?? this.#begin(responseId);
    tail.usedAtMs = performance.now();
    for (const event of events) {
      tail.events.push(event);
      tail.characters += event.json.length;
    }
    // In large steps, so that a long answer does not move the whole list for each event.
    if (tail.events.length <= this.#maxEvents * 1.5 && tail.characters <= this.#maxCharacters * 1.5) return;
    let dropped = 0;
    while (tail.events.length - dropped > this.#maxEvents || tail.characters > this.#maxCharacters) {
      tail.characters -= tail.events[dropped]?.json.length ?? 0;
      dropped += 1;
    }
    tail.events.splice(0, dropped);
  }

  /** Events `from` to `to` − 1; undefined where they are not all remembered. */
  between(responseId: string, from: number, to: number): readonly LoggedEvent[] | undefined {
    const events = this.#tails.get(responseId)?.events ?? [];
    const first = events[0]?.sequence;
    if (first === undefined || first > from) return undefined;
    const found = events.slice(from - first, to - first);
    return found.length === to - from ? found : undefined;
  }

  #begin(responseId: string): Tail {
    const now = performance.now();
    if (++this.#begun % LOOK_EVERY === 0) {
      for (const [id, { usedAtMs }] of this.#tails) if (now - usedAtMs > IDLE_MS) this.#tails.delete(id);
    }
    const tail = { events: [], characters: 0, usedAtMs: now };
    this.#tails.set(responseId, tail);
    return tail;
  }
}

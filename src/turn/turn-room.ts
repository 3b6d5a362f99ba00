/*
 * The capacity of one replica for turns: bounded in number and in bytes of input, and closed while
 * the event loop lags. A turn enters before anything is read or stored for it, and leaves when it
 * writes nothing more.
 */

import { SluiceError } from '../domain/errors.js';
import { systemTime, type Time } from '../domain/time.js';

export interface TurnRoomOptions {
  /** Maximum number of concurrent turns, including those that wait for their conversation. */
  readonly turns: number;
  /** Bytes of input of those turns, each turn counted with `TURN_BYTES` more. */
  readonly bytes: number;
  /** Whether the event loop lags so much that more turns would slow down the running ones. */
  readonly lagging: () => boolean;
  readonly time?: Time;
}

/**
 * Bytes counted for a turn besides its input. Its log, journal, provider stream and viewers take
 * about six times as much heap; `HEAP_SHARE` allows for that.
 */
const TURN_BYTES = 16_384;
/**
 * Share of the heap that the counted bytes may take. A running turn holds several copies of its
 * input (parsed, stored, sent) and about 90 KB beside them, so a full room uses about half of the
 * heap, whether many small turns or few large ones fill it.
 */
const HEAP_SHARE = 1 / 12;
const RETRY_AFTER_MS = 1_000;
/** Spread of the retry times sent to refused clients, so that they do not return at once. */
const RETRY_SPREAD_MS = 2_000;

/** Returns bounds that fit into a heap of `heapBytes` bytes. */
export function roomWithin(heapBytes: number): { readonly turns: number; readonly bytes: number } {
  const bytes = Math.floor(heapBytes * HEAP_SHARE);
  return { turns: Math.max(1, Math.floor(bytes / TURN_BYTES)), bytes };
}

export class TurnRoom {
  readonly #options: TurnRoomOptions;
  readonly #time: Time;
  #turns = 0;
  #bytes = 0;

  constructor(options: TurnRoomOptions) {
    this.#options = options;
    this.#time = options.time ?? systemTime;
  }

  /** Number of turns inside. */
  get turns(): number {
    return this.#turns;
  }

  /** Bytes counted for the turns inside. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether the next turn would be refused for want of room, however small it is. */
  get full(): boolean {
    return this.#turns > 0 && !this.#fits(TURN_BYTES);
  }

  /**
   * Takes room for a turn.
   * @param inputBytes bytes of its input
   * @returns a function that releases the room; later calls of it have no effect
   * @throws SluiceError `overloaded`
   */
  enter(inputBytes: number): () => void {
    const bytes = TURN_BYTES + inputBytes;
    if (this.#options.lagging()) throw this.#overloaded('its event loop lags');
    // A turn that is larger than the whole room runs alone: it would never fit otherwise.
    if (this.#turns > 0 && !this.#fits(bytes)) throw this.#overloaded('it runs as many turns as it can hold');
    this.#turns += 1;
    this.#bytes += bytes;
    let inside = true;
    return () => {
      if (!inside) return;
      inside = false;
      this.#turns -= 1;
      this.#bytes -= bytes;
    };
  }

  #fits(bytes: number): boolean {
    return this.#turns < this.#options.turns && this.#bytes + bytes <= this.#options.bytes;
  }

  #overloaded(why: string): SluiceError {
    return new SluiceError(
      'overloaded',
      `unable to start a turn; this replica is overloaded, ${why}; try again later`,
      {
        retryAfterMs: Math.round(RETRY_AFTER_MS + this.#time.random() * RETRY_SPREAD_MS),
      },
    );
  }
}

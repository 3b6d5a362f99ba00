/*
 * Bounds the bytes of request bodies that are being received at once, over all callers and for each
 * sender.
 */

import { SluiceError } from '../domain/errors.js';

export interface BodyRoomOptions {
  readonly maxBytes: number;
  /** Called after each change with the number of bytes that are reserved. */
  readonly onChange?: (bytes: number) => void;
}

/**
 * The share that one sender may reserve, so that its slow bodies do not keep out the bodies of
 * others.
 */
const SENDER_SHARE = 4;

export class BodyRoom {
  readonly #options: BodyRoomOptions;
  readonly #bySender = new Map<string, number>();
  #bytes = 0;

  constructor(options: BodyRoomOptions) {
    this.#options = options;
  }

  /**
   * Reserves room for one body. Always succeeds if no other body is being received.
   * @returns a function that releases the room; only its first call has an effect
   * @throws SluiceError `overloaded` if the replica has no room, `rate_limit_exceeded` if the
   * sender has none
   */
  reserve(sender: string, bytes: number): () => void {
    const { maxBytes } = this.#options;
    const own = this.#bySender.get(sender) ?? 0;
    if (own > 0 && own + bytes > maxBytes / SENDER_SHARE) throw full('rate_limit_exceeded', 'you send too many bodies');
    if (this.#bytes > 0 && this.#bytes + bytes > maxBytes)
      throw full('overloaded', 'too many bodies are being received');
    this.#add(sender, bytes);
    let held = true;
    return () => {
      if (held) this.#add(sender, -bytes);
      held = false;
    };
  }

  #add(sender: string, bytes: number): void {
    this.#bytes += bytes;
    const own = (this.#bySender.get(sender) ?? 0) + bytes;
    if (own > 0) this.#bySender.set(sender, own);
    else this.#bySender.delete(sender);
    this.#options.onChange?.(this.#bytes);
  }
}

function full(code: 'overloaded' | 'rate_limit_exceeded', why: string): SluiceError {
  return new SluiceError(code, `unable to receive this request; ${why} at once; try again`, { retryAfterMs: 1_000 });
}

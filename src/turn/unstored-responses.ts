/*
 * The responses of one connection that are not stored (`store: false`), so that its next turns can
 * continue from them. Bounded in bytes for each connection, for each owner and in all. Gone with
 * the connection.
 */

import { type StoredItem } from '../domain/item.js';
import { type Principal, reaches } from '../domain/principal.js';

export interface UnstoredBounds {
  /** Most bytes of one connection; the oldest responses are forgotten first. */
  readonly perConnection: number;
  /** Most bytes of all connections of one owner. Beyond it, a response is not remembered. */
  readonly perOwner: number;
  /** Most bytes of all connections of this replica. */
  readonly total: number;
}

const MIB = 1024 * 1024;
const UNSTORED_BOUNDS: UnstoredBounds = { perConnection: MIB, perOwner: 16 * MIB, total: 128 * MIB };

/** Bytes that a map entry and its key take beside the content. */
const ENTRY_BYTES = 400;

/** The bytes that all connections of a replica hold. */
export class UnstoredRoom {
  readonly bounds: UnstoredBounds;
  readonly #ofOwner = new Map<string, number>();
  #bytes = 0;

  constructor(bounds: UnstoredBounds = UNSTORED_BOUNDS) {
    this.bounds = bounds;
  }

  /** Bytes that are held now. */
  get bytes(): number {
    return this.#bytes;
  }

  /** @returns whether there was room for `bytes` more */
  enter(owner: string, bytes: number): boolean {
    const held = this.#ofOwner.get(owner) ?? 0;
    if (held + bytes > this.bounds.perOwner || this.#bytes + bytes > this.bounds.total) return false;
    this.#ofOwner.set(owner, held + bytes);
    this.#bytes += bytes;
    return true;
  }

  leave(owner: string, bytes: number): void {
    const left = (this.#ofOwner.get(owner) ?? 0) - bytes;
    if (left > 0) this.#ofOwner.set(owner, left);
    else this.#ofOwner.delete(owner);
    this.#bytes -= bytes;
  }
}

interface Remembered {
  readonly owner: string;
  /** The context of a next turn, as JSON: its size is known exactly. */
  readonly json: Buffer;
}

export class UnstoredResponses {
  readonly #room: UnstoredRoom;
  /** Oldest first. */
  readonly #remembered = new Map<string, Remembered>();
  #bytes = 0;
  #closed = false;

  constructor(room: UnstoredRoom) {
    this.#room = room;
  }

  /** Returns the items up to the end of a response, or undefined if it is not remembered. */
  contextOf(caller: Principal, id: string): readonly StoredItem[] | undefined {
    const known = this.#remembered.get(id);
    if (known === undefined || !reaches(caller, known.owner, null)) return undefined;
    // The cast is safe: only `remember` writes these bytes.
    return JSON.parse(known.json.toString()) as readonly StoredItem[];
  }

  /** Remembers the context after a response. One that is too large alone is not remembered. */
  remember(owner: string, id: string, context: readonly StoredItem[]): void {
    const text = JSON.stringify(context);
    const bytes = Buffer.byteLength(text) + ENTRY_BYTES;
    const { perConnection } = this.#room.bounds;
    if (this.#closed || bytes > perConnection) return;
    for (const oldest of this.#remembered.keys()) {
      if (this.#bytes + bytes <= perConnection) break;
      this.forget(oldest);
    }
    if (!this.#room.enter(owner, bytes)) return;
    // An allocation of its own: a slice of the shared pool would keep the pool from being freed.
    const json = Buffer.allocUnsafeSlow(bytes - ENTRY_BYTES);
    json.write(text);
    this.#remembered.set(id, { owner, json });
    this.#bytes += bytes;
  }

  forget(id: string): void {
    const known = this.#remembered.get(id);
    if (known === undefined) return;
    const bytes = known.json.length + ENTRY_BYTES;
    this.#remembered.delete(id);
    this.#bytes -= bytes;
    this.#room.leave(known.owner, bytes);
  }

  /** Forgets everything. A turn that ends later is not remembered. */
  close(): void {
    this.#closed = true;
    for (const id of this.#remembered.keys()) this.forget(id);
  }
}

/*
 * A bound on the bytes of one part of the state in memory: the least recently used entries are
 * evicted. `packed` turns values into bytes, whose size is known exactly and which the garbage
 * collector does not traverse.
 */

import { type StoredItem } from '../../domain/item.js';
import { type StoredResponse } from '../../domain/response.js';

export interface MemoryBudgetOptions {
  readonly maxBytes: number;
  /** Called for each entry that is evicted before it expired. */
  readonly onEvicted?: ((kind: EvictedKind) => void) | undefined;
}

export type EvictedKind = 'conversation' | 'response' | 'deletion' | 'idempotency_key' | 'log';

export interface Budgeted {
  readonly kind: EvictedKind;
  /** Removes the entry from its store. */
  readonly evict: () => void;
  /** Whether a running turn needs the entry. Pinned entries are not evicted. */
  readonly isPinned: () => boolean;
}

/** Bytes that a map entry, its key and the objects around the content take. */
const ENTRY_BYTES = 400;

export class MemoryBudget {
  readonly #options: MemoryBudgetOptions;
  /** Least recently used first. */
  readonly #entries = new Map<string, { readonly of: Budgeted; bytes: number }>();
  #bytes = 0;

  constructor(options: MemoryBudgetOptions) {
    this.#options = options;
  }

  /** Bytes of all entries. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Sets the bytes of `name` and evicts other entries until all fit. `name` itself stays, whatever
   * its size.
   */
  set(name: string, bytes: number, of: Budgeted): void {
    this.delete(name);
    this.#entries.set(name, { of, bytes: bytes + ENTRY_BYTES });
    this.#bytes += bytes + ENTRY_BYTES;
    this.#makeRoom(name);
  }

  /** Marks `name` as most recently used. */
  touch(name: string): void {
    const entry = this.#entries.get(name);
    if (entry === undefined) return;
    this.#entries.delete(name);
    this.#entries.set(name, entry);
  }

  delete(name: string): void {
    this.#bytes -= this.#entries.get(name)?.bytes ?? 0;
    this.#entries.delete(name);
  }

  #makeRoom(newest: string): void {
    // A pinned entry is in use: it moves to the end, so that the next call does not check it first.
    // Each entry is checked once at most, so a budget full of pinned entries ends the loop.
    for (let left = this.#entries.size; left > 0 && this.#bytes > this.#options.maxBytes; left -= 1) {
      const [name, entry] = this.#entries.entries().next().value ?? [];
      if (name === undefined || entry === undefined) return;
      if (name === newest || entry.of.isPinned()) {
        this.touch(name);
        continue;
      }
      this.delete(name);
      entry.of.evict();
      this.#options.onEvicted?.(entry.of.kind);
    }
  }
}

/**
 * Serializes a value into its own allocation: a slice of Node's shared pool would keep the whole
 * pool from being freed.
 */
export function packed(value: StoredItem | StoredResponse): Buffer {
  const json = JSON.stringify(value);
  const bytes = Buffer.allocUnsafeSlow(Buffer.byteLength(json));
  bytes.write(json);
  return bytes;
}

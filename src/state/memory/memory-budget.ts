/* Bytes that a part of the state in memory takes, bounded: what was used least recently goes first. Knows nothing of what it counts. */

export interface MemoryBudgetOptions {
  readonly maxBytes: number;
  /** Called for each entry that is dropped before its time. */
  readonly onEvicted?: ((kind: EvictedKind) => void) | undefined;
}

export type EvictedKind = 'conversation' | 'response' | 'deletion' | 'idempotency_key' | 'log';

export interface Budgeted {
  readonly kind: EvictedKind;
  /** Drops it. */
  readonly evict: () => void;
  /** Whether a running turn needs it: then it stays. */
  readonly isPinned: () => boolean;
}

/** What a map's entry, its key and the objects around the bytes take beside them. */
const ENTRY_BYTES = 400;

export class MemoryBudget {
  readonly #options: MemoryBudgetOptions;
  /** Least recently used first. */
  readonly #entries = new Map<string, { readonly of: Budgeted; bytes: number }>();
  #bytes = 0;

  constructor(options: MemoryBudgetOptions) {
    this.#options = options;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Counts `bytes` for `name`, in place of what was counted for it, and makes room for them. `name` itself stays, whatever its size. */
  set(name: string, bytes: number, of: Budgeted): void {
    this.delete(name);
    this.#entries.set(name, { of, bytes: bytes + ENTRY_BYTES });
    this.#bytes += bytes + ENTRY_BYTES;
    this.#makeRoom(name);
  }

  /** `name` was used. */
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
    // What is pinned is in use: it moves to the end, so that the next one does not look at it again. Each is looked at once at most.
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

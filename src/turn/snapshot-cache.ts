/*
 * Caches snapshots of responses for a short time and within a bound of bytes. Viewers that fall
 * behind the same response share one reading of its log and one copy of its bytes.
 */

import { type Time } from '../domain/time.js';

export interface CachedSnapshot {
  /**
   * Sequence number of the last event that the snapshot contains. With `terminal` it contains all
   * events.
   */
  readonly sequence: number;
  readonly terminal: object | null;
  readonly json: Buffer;
}

export interface SnapshotCacheOptions {
  readonly time: Time;
  readonly maxBytes?: number;
  readonly keepMs?: number;
}

const MAX_BYTES = 16 * 1_024 * 1_024;
const KEEP_MS = 1_000;

interface Entry<Snapshot> {
  readonly reading: Promise<Snapshot | undefined>;
  /** Size in bytes. 0 while the snapshot is being read. */
  bytes: number;
}

export class SnapshotCache<Snapshot extends CachedSnapshot> {
  readonly #time: Time;
  readonly #maxBytes: number;
  readonly #keepMs: number;
  /** Entries by response id, oldest first. */
  readonly #entries = new Map<string, Entry<Snapshot>>();
  #bytes = 0;

  constructor(options: SnapshotCacheOptions) {
    this.#time = options.time;
    this.#maxBytes = options.maxBytes ?? MAX_BYTES;
    this.#keepMs = options.keepMs ?? KEEP_MS;
  }

  /** Bytes held now. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Returns a cached snapshot that contains event `atLeast`, or reads one. A reading that began
   * before that event existed may lack it, and is repeated.
   * @returns what `read` resolves to; undefined if there is no such response
   */
  async get(
    responseId: string,
    atLeast: number,
    read: () => Promise<Snapshot | undefined>,
  ): Promise<Snapshot | undefined> {
    const kept = this.#entries.get(responseId);
    if (kept !== undefined) {
      const snapshot = await kept.reading;
      if (snapshot !== undefined && (snapshot.terminal !== null || snapshot.sequence >= atLeast)) return snapshot;
      if (this.#entries.get(responseId) === kept) this.forget(responseId);
    }
    return (this.#entries.get(responseId) ?? this.#start(responseId, read)).reading;
  }

  forget(responseId: string): void {
    const entry = this.#entries.get(responseId);
    if (entry === undefined) return;
    this.#entries.delete(responseId);
    this.#bytes -= entry.bytes;
  }

  #start(responseId: string, read: () => Promise<Snapshot | undefined>): Entry<Snapshot> {
    const entry: Entry<Snapshot> = { reading: read(), bytes: 0 };
    this.#entries.set(responseId, entry);
    const drop = (): void => {
      if (this.#entries.get(responseId) === entry) this.forget(responseId);
    };
    entry.reading.then((snapshot) => {
      if (snapshot === undefined || this.#entries.get(responseId) !== entry) return drop();
      entry.bytes = snapshot.json.length;
      this.#bytes += entry.bytes;
      this.#time.after(this.#keepMs, drop);
      for (const oldest of this.#entries.keys()) {
        if (this.#bytes <= this.#maxBytes) break;
        this.forget(oldest);
      }
    }, drop);
    return entry;
  }
}

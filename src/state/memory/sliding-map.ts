/*
 * A map whose entries expire a fixed time after their last use, or are evicted earlier if their
 * budget is full.
 */

import { type Time } from '../../domain/time.js';
import { type EvictedKind, type MemoryBudget } from './memory-budget.js';

export interface SlidingMapOptions {
  readonly ttlMs: number;
  readonly time: Time;
  readonly budget: MemoryBudget;
  readonly kind: EvictedKind;
  /** Whether a running turn needs the entry of this key; default: no. */
  readonly isPinned?: (key: string) => boolean;
}

export class SlidingMap<V> {
  readonly #options: SlidingMapOptions;
  readonly #entries = new Map<string, { value: V; expiresAt: number; ttlMs: number }>();

  constructor(options: SlidingMapOptions) {
    this.#options = options;
  }

  /** Returns the value and extends its life, or undefined if it does not exist or has expired. */
  get(key: string): V | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    const now = this.#options.time.now();
    if (entry.expiresAt <= now) {
      this.#drop(key);
      return undefined;
    }
    entry.expiresAt = now + entry.ttlMs;
    this.#options.budget.touch(this.#nameOf(key));
    return entry.value;
  }

  /**
   * @param bytes size of the value, as the budget counts it
   * @param ttlMs time to live of this entry, in milliseconds
   */
  set(key: string, value: V, bytes: number, ttlMs = this.#options.ttlMs): void {
    const { time, budget, kind, isPinned } = this.#options;
    this.#entries.set(key, { value, expiresAt: time.now() + ttlMs, ttlMs });
    budget.set(this.#nameOf(key), bytes, {
      kind,
      evict: () => void this.#entries.delete(key),
      isPinned: () => isPinned?.(key) ?? false,
    });
  }

  /** Deletes an entry. @returns whether it existed */
  delete(key: string): boolean {
    const there = this.get(key) !== undefined;
    this.#drop(key);
    return there;
  }

  /** Iterates over the values that have not expired, without extending their life. */
  *values(): Generator<V> {
    const now = this.#options.time.now();
    for (const entry of this.#entries.values()) if (entry.expiresAt > now) yield entry.value;
  }

  /** Drops expired entries. */
  sweep(): void {
    const now = this.#options.time.now();
    for (const [key, entry] of this.#entries) if (entry.expiresAt <= now) this.#drop(key);
  }

  #drop(key: string): void {
    this.#entries.delete(key);
    this.#options.budget.delete(this.#nameOf(key));
  }

  #nameOf(key: string): string {
    return `${this.#options.kind}:${key}`;
  }
}

/* Idempotency keys in memory. */

import { systemTime, type Time } from '../../domain/time.js';
import { IdempotencyStore, KEY_TTL_MS, type KeyClaim, type KeyUse } from '../idempotency-store.js';
import { MemoryBudget } from './memory-budget.js';

interface Entry {
  readonly fingerprint: string;
  readonly responseId: string;
  readonly expiresAt: number;
  begun: boolean;
}

export class MemoryIdempotencyStore extends IdempotencyStore {
  readonly #entries = new Map<string, Entry>();
  readonly #time: Time;
  readonly #budget: MemoryBudget;
  readonly #isRunning: (responseId: string) => boolean;

  constructor(
    time: Time = systemTime,
    budget: MemoryBudget = new MemoryBudget({ maxBytes: Infinity }),
    isRunning: (responseId: string) => boolean = () => false,
  ) {
    super();
    this.#time = time;
    this.#budget = budget;
    this.#isRunning = isRunning;
  }

  override async claim(use: KeyUse): Promise<KeyClaim> {
    const now = this.#time.now();
    const known = this.#entries.get(idOf(use));
    if (known !== undefined && known.expiresAt > now) {
      this.#budget.touch(idOf(use));
      if (known.fingerprint !== use.fingerprint) return { outcome: 'different' };
      if (known.responseId === use.responseId) return { outcome: 'fresh' };
      const { responseId, begun, expiresAt } = known;
      return { outcome: 'same', responseId, ageMs: now - (expiresAt - KEY_TTL_MS), begun };
    }
    const { fingerprint, responseId } = use;
    const entry: Entry = { fingerprint, responseId, expiresAt: now + KEY_TTL_MS, begun: false };
    const id = idOf(use);
    this.#entries.set(id, entry);
    this.#budget.set(id, 2 * (id.length + fingerprint.length + responseId.length), {
      kind: 'idempotency_key',
      evict: () => void this.#entries.delete(id),
      // An unconfirmed key is needed by a turn that is being created: that turn confirms or
      // releases it.
      isPinned: () => !entry.begun || this.#isRunning(responseId),
    });
    return { outcome: 'fresh' };
  }

  override async confirm(use: KeyUse): Promise<boolean> {
    // If the key has expired, no other use holds it: claim it again.
    const claim = await this.claim(use);
    const known = this.#entries.get(idOf(use));
    if (claim.outcome !== 'fresh' || known === undefined) return false;
    known.begun = true;
    return true;
  }

  override async release(use: KeyUse): Promise<void> {
    const known = this.#entries.get(idOf(use));
    if (known?.responseId === use.responseId && !known.begun) this.#drop(idOf(use));
  }

  override async withdraw(use: KeyUse): Promise<void> {
    if (this.#entries.get(idOf(use))?.responseId === use.responseId) this.#drop(idOf(use));
  }

  override async eraseOwner(owner: string): Promise<void> {
    for (const id of this.#entries.keys()) if (id.startsWith(`${owner}\n`)) this.#drop(id);
  }

  /** Drops expired keys. */
  sweep(): void {
    const now = this.#time.now();
    for (const [id, entry] of this.#entries) if (entry.expiresAt <= now) this.#drop(id);
  }

  #drop(id: string): void {
    this.#entries.delete(id);
    this.#budget.delete(id);
  }
}

/** Returns the name of an entry. An owner has no line break, so two pairs never share a name. */
function idOf(use: KeyUse): string {
  return `${use.owner}\n${use.key}`;
}

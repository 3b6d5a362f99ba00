/* Idempotency keys in memory. */

import { type Clock, systemClock } from '../clock.js';
import { IdempotencyStore, KEY_TTL_MS, type KeyClaim, type KeyUse } from '../idempotency-store.js';

interface Entry {
  readonly fingerprint: string;
  readonly responseId: string;
  readonly expiresAt: number;
}

export class MemoryIdempotencyStore extends IdempotencyStore {
  readonly #entries = new Map<string, Entry>();
  readonly #clock: Clock;

  constructor(clock: Clock = systemClock) {
    super();
    this.#clock = clock;
  }

  override async claim(use: KeyUse): Promise<KeyClaim> {
    const now = this.#clock();
    const known = this.#entries.get(idOf(use));
    if (known !== undefined && known.expiresAt > now) {
      if (known.fingerprint !== use.fingerprint) return { outcome: 'different' };
      if (known.responseId === use.responseId) return { outcome: 'fresh' };
      return { outcome: 'same', responseId: known.responseId, ageMs: now - (known.expiresAt - KEY_TTL_MS) };
    }
    const { fingerprint, responseId } = use;
    this.#entries.set(idOf(use), { fingerprint, responseId, expiresAt: now + KEY_TTL_MS });
    return { outcome: 'fresh' };
  }

  override async release(use: KeyUse): Promise<void> {
    if (this.#entries.get(idOf(use))?.responseId === use.responseId) this.#entries.delete(idOf(use));
  }

  sweep(): void {
    const now = this.#clock();
    for (const [id, entry] of this.#entries) if (entry.expiresAt <= now) this.#entries.delete(id);
  }
}

/** An owner's name has no line break, so no two pairs share an id. */
function idOf(use: KeyUse): string {
  return `${use.owner}\n${use.key}`;
}

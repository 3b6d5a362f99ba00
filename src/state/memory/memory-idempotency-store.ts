/* Idempotency keys in memory. */

import { systemTime, type Time } from '../../domain/time.js';
import { IdempotencyStore, KEY_TTL_MS, type KeyClaim, type KeyUse } from '../idempotency-store.js';

interface Entry {
  readonly fingerprint: string;
  readonly responseId: string;
  readonly expiresAt: number;
  begun: boolean;
}

export class MemoryIdempotencyStore extends IdempotencyStore {
  readonly #entries = new Map<string, Entry>();
  readonly #time: Time;

  constructor(time: Time = systemTime) {
    super();
    this.#time = time;
  }

  override async claim(use: KeyUse): Promise<KeyClaim> {
    const now = this.#time.now();
    const known = this.#entries.get(idOf(use));
    if (known !== undefined && known.expiresAt > now) {
      if (known.fingerprint !== use.fingerprint) return { outcome: 'different' };
      if (known.responseId === use.responseId) return { outcome: 'fresh' };
      const { responseId, begun, expiresAt } = known;
      return { outcome: 'same', responseId, ageMs: now - (expiresAt - KEY_TTL_MS), begun };
    }
    const { fingerprint, responseId } = use;
    this.#entries.set(idOf(use), { fingerprint, responseId, expiresAt: now + KEY_TTL_MS, begun: false });
    return { outcome: 'fresh' };
  }

  override async confirm(use: KeyUse): Promise<boolean> {
    // Where the key was forgotten nobody else holds it.
    const claim = await this.claim(use);
    const known = this.#entries.get(idOf(use));
    if (claim.outcome !== 'fresh' || known === undefined) return false;
    known.begun = true;
    return true;
  }

  override async release(use: KeyUse): Promise<void> {
    const known = this.#entries.get(idOf(use));
    if (known?.responseId === use.responseId && !known.begun) this.#entries.delete(idOf(use));
  }

  sweep(): void {
    const now = this.#time.now();
    for (const [id, entry] of this.#entries) if (entry.expiresAt <= now) this.#entries.delete(id);
  }
}

/** An owner's name has no line break, so no two pairs share an id. */
function idOf(use: KeyUse): string {
  return `${use.owner}\n${use.key}`;
}

/* Client secrets and revocations of a single replica, bounded in number. */

import { systemTime, type Time } from '../../domain/time.js';
import {
  CredentialStore,
  ownerDigest,
  type Revocation,
  type RevocationPage,
  REVOCATIONS_MAX,
  REVOKED_MS,
  type StoredSecret,
} from '../credential-store.js';

/** Most secrets and most revoked owners that are stored. The oldest are dropped first. */
const MOST = 100_000;

interface Kept<T> {
  readonly value: T;
  /** By the monotonic clock. */
  readonly until: number;
}

export class MemoryCredentialStore extends CredentialStore {
  readonly #time: Time;
  readonly #secrets = new Map<string, Kept<StoredSecret>>();
  readonly #byOwner = new Map<string, Set<string>>();
  readonly #revoked = new Map<string, Kept<number>>();
  /** The newest revocations. The last one has the number `#count`. */
  #revocations: Revocation[] = [];
  #count = 0;

  constructor(time: Time = systemTime) {
    super();
    this.#time = time;
  }

  override async putSecret(secret: StoredSecret): Promise<void> {
    const leftMs = secret.expiresAtMs - this.#time.date();
    this.#secrets.set(secret.id, { value: secret, until: this.#time.now() + leftMs });
    const own = this.#byOwner.get(secret.owner) ?? new Set();
    this.#byOwner.set(secret.owner, own.add(secret.id));
    const [oldest] = this.#secrets.keys();
    if (this.#secrets.size > MOST && oldest !== undefined) this.#drop(oldest);
  }

  override async getSecret(id: string): Promise<StoredSecret | undefined> {
    const kept = this.#secrets.get(id);
    return kept !== undefined && kept.until > this.#time.now() ? kept.value : undefined;
  }

  override async deleteSecret(id: string): Promise<void> {
    this.#drop(id);
    this.#list({ secret: id });
  }

  override async revokeOwner(owner: string): Promise<void> {
    for (const id of this.#byOwner.get(owner) ?? []) this.#drop(id);
    const digest = ownerDigest(owner);
    this.#revoked.delete(digest);
    this.#revoked.set(digest, { value: this.#time.date(), until: this.#time.now() + REVOKED_MS });
    const [oldest] = this.#revoked.keys();
    if (this.#revoked.size > MOST && oldest !== undefined) this.#revoked.delete(oldest);
    this.#list({ owner: digest });
  }

  override async revokedAt(owner: string): Promise<number | undefined> {
    const kept = this.#revoked.get(ownerDigest(owner));
    return kept !== undefined && kept.until > this.#time.now() ? kept.value : undefined;
  }

  override async revocationsAfter(cursor: string | null): Promise<RevocationPage> {
    const missed = cursor === null ? 0 : this.#count - Number(cursor);
    return { revocations: missed <= 0 ? [] : this.#revocations.slice(-missed), cursor: String(this.#count) };
  }

  /** Drops what has expired. */
  sweep(): void {
    const now = this.#time.now();
    for (const [id, { until }] of this.#secrets) if (until <= now) this.#drop(id);
    for (const [digest, { until }] of this.#revoked) if (until <= now) this.#revoked.delete(digest);
  }

  #drop(id: string): void {
    const owner = this.#secrets.get(id)?.value.owner;
    this.#secrets.delete(id);
    if (owner === undefined) return;
    const own = this.#byOwner.get(owner);
    own?.delete(id);
    if (own?.size === 0) this.#byOwner.delete(owner);
  }

  #list(revocation: Revocation): void {
    this.#count += 1;
    this.#revocations.push(revocation);
    if (this.#revocations.length > 2 * REVOCATIONS_MAX) this.#revocations = this.#revocations.slice(-REVOCATIONS_MAX);
  }
}

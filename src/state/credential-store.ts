/*
 * Client secrets and revocations, for all replicas. Holds hashes of secrets, never the secrets.
 * Checks no access.
 */

import { createHash } from 'node:crypto';
import { type Binding, type Scope } from '../domain/principal.js';

/** A client secret as it is stored. */
export interface StoredSecret {
  /** Public name, `cs_…`. */
  readonly id: string;
  /** SHA-256 of the secret, as hex. */
  readonly hash: string;
  readonly tenant: string;
  readonly user: string;
  /** `tenant/user`. */
  readonly owner: string;
  readonly scopes: readonly Scope[];
  readonly limitsClass: string | null;
  readonly binding: Binding | null;
  /** Id of the server key that made it. */
  readonly madeBy: string;
  /** Unix milliseconds. */
  readonly expiresAtMs: number;
}

/** What was revoked: one secret, or all credentials of the owner with this digest. */
export type Revocation = { readonly secret: string } | { readonly owner: string };

export interface RevocationPage {
  readonly revocations: readonly Revocation[];
  /** Where the next page begins. */
  readonly cursor: string;
}

/**
 * How long the time of an owner's revocation is stored, in milliseconds: longer than tokens live.
 */
export const REVOKED_MS = 31 * 24 * 60 * 60_000;
/** How long the list of revocations is stored after its last entry, in milliseconds. */
export const REVOCATIONS_MS = 60 * 60_000;
/** Most entries of that list. */
export const REVOCATIONS_MAX = 10_000;

export abstract class CredentialStore {
  /** Stores a secret until it expires. @throws SluiceError `state_unavailable` */
  abstract putSecret(secret: StoredSecret): Promise<void>;
  abstract getSecret(id: string): Promise<StoredSecret | undefined>;
  /** Lists a secret as revoked, and deletes it. Safe to repeat. */
  abstract deleteSecret(id: string): Promise<void>;
  /**
   * Deletes all secrets of an owner, stores the time, and lists a revocation. Tokens that were
   * issued until then are refused from now on.
   */
  abstract revokeOwner(owner: string): Promise<void>;
  /** Returns when the credentials of an owner were revoked last, in Unix milliseconds. */
  abstract revokedAt(owner: string): Promise<number | undefined>;
  /**
   * Returns revocations after `cursor`, oldest first.
   * @param cursor null: returns no revocations, and the cursor of the newest entry
   */
  abstract revocationsAfter(cursor: string | null): Promise<RevocationPage>;
}

/** Returns a short digest of an owner, so that lists and keys hold no names of people. */
export function ownerDigest(owner: string): string {
  return createHash('sha256').update(owner).digest('base64url').slice(0, 27);
}

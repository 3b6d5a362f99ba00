/* Which response an idempotency key stands for, so that what is sent twice runs once, on whatever replica. */

export interface KeyUse {
  readonly owner: string;
  readonly key: string;
  /** Digest of the request's body; the same key with another one is a mistake of the caller's. */
  readonly fingerprint: string;
  /** The response that this use would start. */
  readonly responseId: string;
}

export type KeyClaim =
  /** The key is this use's, from its first claim on for KEY_TTL_MS; asking again is safe after a lost reply. */
  | { readonly outcome: 'fresh' }
  /** The same request came before, `ageMs` ago. `begun`: its response was confirmed, and the key stands for that for ever. */
  | { readonly outcome: 'same'; readonly responseId: string; readonly ageMs: number; readonly begun: boolean }
  | { readonly outcome: 'different' };

/** How long a key is remembered (protocol.md §2). */
export const KEY_TTL_MS = 24 * 60 * 60_000;

export abstract class IdempotencyStore {
  /** Atomic: of two equal uses at once, one is fresh. @throws SluiceError `state_unavailable` */
  abstract claim(use: KeyUse): Promise<KeyClaim>;
  /**
   * The log of this use's response stands: from now on nobody can free the key. False: it is no longer this use's, and what it has begun must
   * not go on. Compares and sets in one step; asking again is safe after a lost reply. @throws SluiceError `state_unavailable`
   */
  abstract confirm(use: KeyUse): Promise<boolean>;
  /** Frees the key again where it stands for the response of this use and that is not confirmed: it was refused, or left behind by who held it. */
  abstract release(use: KeyUse): Promise<void>;
}

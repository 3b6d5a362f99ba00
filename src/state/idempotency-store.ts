/*
 * Idempotency keys and the response that each names, so that a request that is sent twice runs
 * once, on any replica.
 */

export interface KeyUse {
  readonly owner: string;
  readonly key: string;
  /** Digest of the request's body. The same key with another digest is a mistake of the caller. */
  readonly fingerprint: string;
  /** The response that this use would start. */
  readonly responseId: string;
}

export type KeyClaim =
  /**
   * This use holds the key, for KEY_TTL_MS after its first claim. Claiming again after a lost reply
   * gives the same outcome.
   */
  | { readonly outcome: 'fresh' }
  /**
   * The same request claimed the key `ageMs` milliseconds ago, for `responseId`. `begun`: that
   * response was confirmed, so the key can no longer be released.
   */
  | { readonly outcome: 'same'; readonly responseId: string; readonly ageMs: number; readonly begun: boolean }
  /** Another request claimed the key. */
  | { readonly outcome: 'different' };

/** How long a key is stored, in milliseconds (PROTOCOL.md, IDEM rules). */
export const KEY_TTL_MS = 24 * 60 * 60_000;

export abstract class IdempotencyStore {
  /**
   * Claims the key, atomically: of two equal uses at the same time, one is fresh.
   * @throws SluiceError `state_unavailable`
   */
  abstract claim(use: KeyUse): Promise<KeyClaim>;
  /**
   * Confirms that the log of this use's response exists. From then on the key cannot be released,
   * only withdrawn.
   * Compares and sets in one step; safe to repeat after a lost reply.
   * @returns false if another use holds the key: the response must not run
   * @throws SluiceError `state_unavailable`
   */
  abstract confirm(use: KeyUse): Promise<boolean>;
  /**
   * Releases the key if it names the response of this use and that response is not confirmed: the
   * request was refused, or its holder abandoned it.
   */
  abstract release(use: KeyUse): Promise<void>;
  /**
   * Releases the key if it names the response of this use, confirmed or not. Only for the use
   * itself, if its response does not run. Safe to repeat after a lost reply.
   * @throws SluiceError `state_unavailable`
   */
  abstract withdraw(use: KeyUse): Promise<void>;
  /** Deletes all keys of a user. */
  abstract eraseOwner(owner: string): Promise<void>;
}

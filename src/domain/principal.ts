/* The authenticated caller. `owner` decides which conversations and responses belong to it. */

export type Scope = 'chat' | 'admin';

/** A caller after authentication. */
export interface Principal {
  /**
   * The owner of the caller's resources: `tenant`, or `tenant/user` if the credential is a user's.
   * Never a secret.
   */
  readonly owner: string;
  readonly tenant: string;
  /** The user of the credential. Null for a server key, which acts for its whole tenant. */
  readonly user: string | null;
  /** Id of the key or secret, for logs. */
  readonly credential: string;
  readonly scopes: ReadonlySet<Scope>;
  /**
   * Whether the caller may set instructions, listed models and tools by default. True for
   * `auth.mode: none` and for server keys.
   */
  readonly trusted: boolean;
  /** Expiry of the credential in Unix milliseconds, or null. */
  readonly expiresAtMs: number | null;
}

/**
 * Whether `principal` may access resources of `owner`. A server key may access all resources of its
 * tenant.
 */
export function reaches(principal: Principal, owner: string): boolean {
  return owner === principal.owner || (principal.user === null && owner.startsWith(`${principal.tenant}/`));
}

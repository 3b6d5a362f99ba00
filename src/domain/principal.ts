/* Who is asking, once it is known. Everything a conversation or response belongs to is decided by `owner`. */

export type Scope = 'chat' | 'admin';

/** A caller after authentication. */
export interface Principal {
  /** What owned things are compared by: `tenant`, or `tenant/user` where the credential is a user's. Never a secret. */
  readonly owner: string;
  readonly tenant: string;
  /** The user a credential stands for; null for a server key, which acts for its whole tenant. */
  readonly user: string | null;
  /** The id of the key or secret that was shown, for logs. */
  readonly credential: string;
  readonly scopes: ReadonlySet<Scope>;
  /** True for auth.mode none and server keys: trusted to set instructions, listed models and tools unless the file says otherwise. */
  readonly trusted: boolean;
  /** Unix milliseconds after which the credential no longer counts; null: never. */
  readonly expiresAtMs: number | null;
}

/** May `principal` see what `owner` owns? A server key reaches all of its tenant. */
export function reaches(principal: Principal, owner: string): boolean {
  return owner === principal.owner || (principal.user === null && owner.startsWith(`${principal.tenant}/`));
}

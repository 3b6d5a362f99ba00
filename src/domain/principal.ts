/* The authenticated caller. `owner` decides which conversations and responses belong to it. */

import { SluiceError } from './errors.js';
import { type PromptChoice } from './request.js';

/**
 * `chat`: everything a user does. `read`: reading only. `admin`: acts on users. `chat` includes
 * `read`.
 */
export type Scope = 'chat' | 'read' | 'admin';

/** What a client secret fixes for its bearer. */
export interface Binding {
  /** The only conversation that the bearer may use. */
  readonly conversation?: string;
  /** The prompt of every turn. The bearer can neither see nor change its variables. */
  readonly prompt?: PromptChoice;
}

/** The kind of credential that a caller was authenticated by. */
type CredentialKind = 'anonymous' | 'key' | 'token' | 'secret';

/** A caller after authentication. */
export interface Principal {
  readonly kind: CredentialKind;
  /**
   * The owner of the caller's resources: `tenant`, or `tenant/user` if the caller is a user or a
   * server key that acts for one. Never a secret.
   */
  readonly owner: string;
  readonly tenant: string;
  /**
   * The user of the credential, or the user that a server key acts for. Null for a whole tenant.
   */
  readonly user: string | null;
  /** Id of the key or secret, for logs. */
  readonly credential: string;
  readonly scopes: ReadonlySet<Scope>;
  /** The class of limits that applies to the caller, or null for `limits.per_user`. */
  readonly limitsClass: string | null;
  /**
   * Whether the caller may set instructions, listed models and tools by default. True for
   * `auth.mode: none` and for server keys.
   */
  readonly trusted: boolean;
  /** What the credential fixes, or null. */
  readonly binding: Binding | null;
  /** When a token was issued, in Unix milliseconds; null for other credentials. */
  readonly issuedAtMs: number | null;
  /** Expiry of the credential in Unix milliseconds, or null. */
  readonly expiresAtMs: number | null;
  /** Variables of prompts that the credential sets. Requests cannot change them. */
  readonly promptVariables?: Readonly<Record<string, unknown>>;
  /** Attributes of the user, which prompts may use. */
  readonly attributes?: Readonly<Record<string, unknown>>;
}

/**
 * Whether `principal` may access a resource. A server key may access all resources of its tenant.
 * While it acts for a user, it may access those of this user and those of no user, never those of
 * another user. A credential that is bound to a conversation may access only what is in it.
 * @param conversation the id of the conversation that the resource is, or is in; null: none
 */
export function reaches(principal: Principal, owner: string, conversation: string | null): boolean {
  return isBoundTo(principal, conversation) && isWithin(reachOf(principal), owner);
}

/** Whether a credential that is bound to a conversation is bound to this one; true for others. */
export function isBoundTo({ binding }: Principal, conversation: string | null): boolean {
  return binding?.conversation === undefined || binding.conversation === conversation;
}

/** The owners whose resources a caller may access. */
export interface Reach {
  readonly owners: readonly string[];
  /** Further owners: those whose name begins with this. Null: none. */
  readonly prefix: string | null;
}

/** Returns the reach of a caller, as `reaches` applies it. A binding limits it further. */
export function reachOf({ owner, tenant, user, kind }: Principal): Reach {
  return {
    owners: user !== null && kind === 'key' ? [owner, tenant] : [owner],
    prefix: user === null ? `${tenant}/` : null,
  };
}

export function isWithin({ owners, prefix }: Reach, owner: string): boolean {
  return owners.includes(owner) || (prefix !== null && owner.startsWith(prefix));
}

/** Most characters of a user's name. */
export const MAX_USER_LENGTH = 256;

/** Control characters and halves of surrogate pairs: they break logs and headers. */
const NOT_IN_A_NAME = /[\p{Cc}\p{Cs}\u2028\u2029]/u;

export function isUserName(name: string): boolean {
  return name.length > 0 && name.length <= MAX_USER_LENGTH && name.trim() === name && !NOT_IN_A_NAME.test(name);
}

/** Returns the owner of the resources of a user. */
export function ownerOf(tenant: string, user: string): string {
  return `${tenant}/${user}`;
}

/**
 * Returns the caller as it acts for `user`.
 * @param param where the request names the user, for the refusal
 * @throws SluiceError `invalid_value` if the name is malformed; `insufficient_scope` if the caller
 * is another user
 */
export function actingFor(principal: Principal, user: string, param: string): Principal {
  if (!isUserName(user)) {
    throw new SluiceError(
      'invalid_value',
      `unable to act for this user; a name has 1 to ${MAX_USER_LENGTH} characters without control characters`,
      { param },
    );
  }
  if (principal.kind === 'anonymous' || principal.user === user) return principal;
  if (principal.kind === 'key' && principal.user === null) {
    return Object.freeze({ ...principal, user, owner: ownerOf(principal.tenant, user) });
  }
  throw new SluiceError(
    'insufficient_scope',
    'unable to act for another user; only a server key may; leave the user out',
    { param },
  );
}

/**
 * Returns the key under which limits count a caller: its user, or its server key if it acts for no
 * user.
 */
export function callerKey({ user, owner, tenant, credential }: Principal): string {
  return user === null ? `key:${tenant}/${credential}` : `user:${owner}`;
}

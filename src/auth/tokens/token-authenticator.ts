/*
 * Tokens of users (JWT): verifies signature, issuer, audience and times, and maps claims to a
 * principal. Asymmetric signatures only. A refusal shows callers whether the token has expired, and
 * no other reason. Operators have a metric and a debug line.
 */

import { type KeyObject } from 'node:crypto';
import { type CryptoKey, errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from 'jose';
import { SluiceError } from '../../domain/errors.js';
import { isUserName, ownerOf, type Principal, type Scope } from '../../domain/principal.js';
import { Authenticator, requireScope } from '../authenticator.js';

export interface TokenOptions {
  /** The key of the issuer, or a function that finds it. */
  readonly key: KeyObject | JWTVerifyGetKey;
  readonly issuer: string;
  readonly audience: string;
  readonly algorithms: readonly string[];
  readonly clockToleranceMs: number;
  readonly claims: { readonly user: string; readonly tenant: string; readonly scopes: string; readonly class: string };
  /** The tenant of tokens that lack the claim of the tenant. */
  readonly tenant: string;
  /** Called for each refused token. */
  readonly onRefused?: (reason: TokenRefusal) => void;
  /** Unix milliseconds. */
  readonly now?: () => number;
}

type TokenRefusal = 'expired' | 'malformed' | 'signature' | 'algorithm' | 'unknown_key' | 'claim' | 'keys_unavailable';

/** Scopes that a token may carry. Administration is for server keys. */
const TOKEN_SCOPES: Readonly<Record<string, Scope>> = {
  chat: 'chat',
  'sluice:chat': 'chat',
  read: 'read',
  'sluice:read': 'read',
};
const TENANT = /^[A-Za-z0-9][\w.-]{0,63}$/u;
/** Longest `jti` that becomes the name of the credential. */
const MAX_ID = 64;
/** Keys that are tried for a token that names none. */
const MAX_TRIES = 10;

export class TokenAuthenticator extends Authenticator {
  readonly #options: TokenOptions;

  constructor(options: TokenOptions) {
    super();
    this.#options = options;
  }

  override async authenticate(credential: string | undefined, needed: Scope = 'chat'): Promise<Principal> {
    const principal = await this.#verified(credential ?? '');
    requireScope(principal, needed);
    return principal;
  }

  async #verified(token: string): Promise<Principal> {
    try {
      return this.#principalOf(await this.#payloadOf(token));
    } catch (thrown) {
      const reason = reasonOf(thrown);
      if (reason === undefined) throw thrown;
      this.#options.onRefused?.(reason);
      if (thrown instanceof SluiceError) throw thrown;
      throw reason === 'expired'
        ? new SluiceError('invalid_api_key', 'unable to authenticate; the token has expired; get a new one')
        : new SluiceError('invalid_api_key', 'unable to authenticate; the token is not valid; get a new one');
    }
  }

  async #payloadOf(token: string): Promise<JWTPayload> {
    const { key } = this.#options;
    if (typeof key !== 'function') return (await jwtVerify(token, key, this.#rules())).payload;
    try {
      return (await jwtVerify(token, key, this.#rules())).payload;
    } catch (error) {
      if (error instanceof errors.JWKSMultipleMatchingKeys) return this.#tryAll(token, error);
      throw error;
    }
  }

  /** Tries each key that fits a token that names none. */
  async #tryAll(token: string, candidates: AsyncIterable<CryptoKey>): Promise<JWTPayload> {
    let tries = 0;
    for await (const candidate of candidates) {
      if ((tries += 1) > MAX_TRIES) break;
      try {
        return (await jwtVerify(token, candidate, this.#rules())).payload;
      } catch (error) {
        if (!(error instanceof errors.JWSSignatureVerificationFailed)) throw error;
      }
    }
    throw new errors.JWSSignatureVerificationFailed();
  }

  #rules() {
    const { issuer, audience, algorithms, clockToleranceMs, now = Date.now } = this.#options;
    return {
      issuer,
      audience,
      algorithms: [...algorithms],
      clockTolerance: clockToleranceMs / 1_000,
      currentDate: new Date(now()),
      requiredClaims: ['exp'],
    };
  }

  /** Maps the claims of a verified token to a principal. @throws ClaimMistake */
  #principalOf(payload: JWTPayload): Principal {
    const { claims, clockToleranceMs, tenant: usual } = this.#options;
    const user = claimOf(payload, claims.user);
    const tenant = claimOf(payload, claims.tenant) ?? usual;
    const limitsClass = claimOf(payload, claims.class) ?? null;
    if (typeof user !== 'string' || !isUserName(user)) throw new ClaimMistake();
    if (typeof tenant !== 'string' || !TENANT.test(tenant)) throw new ClaimMistake();
    if (limitsClass !== null && typeof limitsClass !== 'string') throw new ClaimMistake();
    const id = typeof payload.jti === 'string' && payload.jti.length <= MAX_ID ? payload.jti : null;
    return Object.freeze({
      kind: 'token',
      owner: ownerOf(tenant, user),
      tenant,
      user,
      credential: id === null ? 'token' : `token:${id}`,
      scopes: scopesOf(claimOf(payload, claims.scopes)),
      limitsClass,
      trusted: false,
      binding: null,
      // A token that names no time counts as issued before any revocation.
      issuedAtMs: (payload.iat ?? 0) * 1_000,
      // jose has checked that `exp` is a number. Until then the token is accepted.
      expiresAtMs: (payload.exp ?? 0) * 1_000 + clockToleranceMs,
    });
  }
}

/** Whether a credential has the form of a JWT. */
export function isToken(credential: string): boolean {
  return /^eyJ[\w-]*\.[\w-]*\.[\w-]*$/u.test(credential);
}

/** A claim that is missing or of the wrong type. */
class ClaimMistake extends Error {}

/**
 * Returns the claim of exactly this name, or the one at this path of objects
 * (`realm_access.roles`).
 */
function claimOf(payload: JWTPayload, name: string): unknown {
  if (Object.hasOwn(payload, name)) return payload[name];
  return name
    .split('.')
    .reduce<unknown>(
      (inner, step) =>
        typeof inner === 'object' && inner !== null && Object.hasOwn(inner, step)
          ? (inner as Readonly<Record<string, unknown>>)[step]
          : undefined,
      payload,
    );
}

/** Reads scopes from a text with spaces (OAuth) or from a list. Without the claim: `chat`. */
function scopesOf(claim: unknown): ReadonlySet<Scope> {
  if (claim === undefined || claim === null) return new Set(['chat']);
  const names: readonly unknown[] = typeof claim === 'string' ? claim.split(' ') : Array.isArray(claim) ? claim : [];
  return new Set(
    names.flatMap((name) => {
      const scope = typeof name === 'string' && Object.hasOwn(TOKEN_SCOPES, name) ? TOKEN_SCOPES[name] : undefined;
      return scope === undefined ? [] : [scope];
    }),
  );
}

function reasonOf(thrown: unknown): TokenRefusal | undefined {
  if (thrown instanceof SluiceError) return thrown.code === 'auth_unavailable' ? 'keys_unavailable' : undefined;
  if (thrown instanceof errors.JWTExpired) return 'expired';
  if (thrown instanceof errors.JWTClaimValidationFailed || thrown instanceof ClaimMistake) return 'claim';
  if (thrown instanceof errors.JWSSignatureVerificationFailed) return 'signature';
  if (thrown instanceof errors.JOSEAlgNotAllowed || thrown instanceof errors.JOSENotSupported) return 'algorithm';
  if (thrown instanceof errors.JWKSNoMatchingKey) return 'unknown_key';
  // A key of another type than the algorithm of the token is a TypeError.
  if (thrown instanceof errors.JOSEError || thrown instanceof TypeError) return 'malformed';
  return undefined;
}

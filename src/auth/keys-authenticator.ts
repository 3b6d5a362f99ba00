/*
 * Server keys: bearer tokens that act for a whole tenant. Holds only their SHA-256. The time of a
 * check depends neither on the key nor on how much of it is correct.
 */

import { createHash, timingSafeEqual } from 'node:crypto';
import { type AppConfig } from '../config/schema.js';
import { SluiceError } from '../domain/errors.js';
import { type Principal, type Scope } from '../domain/principal.js';
import { Authenticator, requireScope } from './authenticator.js';

type ServerKey = AppConfig['auth']['keys'][number];

interface KnownKey {
  readonly digest: Buffer;
  readonly principal: Principal;
}

export class KeysAuthenticator extends Authenticator {
  readonly #keys: readonly KnownKey[];
  readonly #now: () => number;

  /** @param now returns Unix milliseconds */
  constructor(keys: readonly ServerKey[], now: () => number = Date.now) {
    super();
    this.#keys = keys.map((key) => ({ digest: Buffer.from(key.key_sha256, 'hex'), principal: principalOf(key) }));
    this.#now = now;
  }

  override authenticate(credential: string | undefined, needed: Scope = 'chat'): Promise<Principal> {
    // Throw inside the promise, so that a refusal is always a rejection.
    return new Promise((resolve) => resolve(this.#authenticate(credential, needed)));
  }

  #authenticate(credential: string | undefined, needed: Scope): Principal {
    if (credential === undefined) {
      throw new SluiceError(
        'missing_api_key',
        'unable to authenticate; no API key was sent; send it as "Authorization: Bearer <key>"',
      );
    }
    const principal = this.#find(credential);
    if (principal === undefined) {
      throw new SluiceError('invalid_api_key', 'unable to authenticate; unknown API key; check the key');
    }
    if (principal.expiresAtMs !== null && principal.expiresAtMs <= this.#now()) {
      throw new SluiceError('invalid_api_key', 'unable to authenticate; the API key has expired; use a new key');
    }
    requireScope(principal, needed);
    return principal;
  }

  /**
   * Compares with every key, also after a match. All digests have the same length, so each
   * comparison takes the same time.
   */
  #find(credential: string): Principal | undefined {
    const shown = createHash('sha256').update(credential, 'utf8').digest();
    let found: Principal | undefined;
    for (const { digest, principal } of this.#keys) {
      if (timingSafeEqual(digest, shown)) found = principal;
    }
    return found;
  }
}

function principalOf(key: ServerKey): Principal {
  return Object.freeze({
    kind: 'key' as const,
    owner: key.tenant,
    tenant: key.tenant,
    user: null,
    credential: key.id,
    scopes: new Set<Scope>(key.scopes),
    limitsClass: key.class,
    trusted: true,
    binding: null,
    issuedAtMs: null,
    expiresAtMs: key.expires,
  });
}

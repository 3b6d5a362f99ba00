/* Authenticates client secrets. Unknown, wrong, expired and revoked ones get the same refusal. */

import { timingSafeEqual } from 'node:crypto';
import { SluiceError } from '../../domain/errors.js';
import { type Principal, type Scope } from '../../domain/principal.js';
import { type CredentialStore, type StoredSecret } from '../../state/credential-store.js';
import { Authenticator, requireScope } from '../authenticator.js';
import { hashOf, idOf } from './secret-value.js';

export class SecretAuthenticator extends Authenticator {
  readonly #store: Pick<CredentialStore, 'getSecret'>;
  readonly #now: () => number;

  /** @param now returns Unix milliseconds */
  constructor(store: Pick<CredentialStore, 'getSecret'>, now: () => number = () => Date.now()) {
    super();
    this.#store = store;
    this.#now = now;
  }

  override async authenticate(credential: string | undefined, needed: Scope = 'chat'): Promise<Principal> {
    const value = credential ?? '';
    const id = idOf(value);
    const stored = id === undefined ? undefined : await this.#store.getSecret(id);
    if (stored === undefined || !matches(stored, value) || stored.expiresAtMs <= this.#now()) {
      throw new SluiceError(
        'invalid_api_key',
        'unable to authenticate; the client secret is unknown, expired or revoked; get a new one',
      );
    }
    const principal = principalOf(stored);
    requireScope(principal, needed);
    return principal;
  }
}

function matches({ hash }: StoredSecret, value: string): boolean {
  const [known, shown] = [Buffer.from(hash, 'hex'), Buffer.from(hashOf(value), 'hex')];
  return known.length === shown.length && timingSafeEqual(known, shown);
}

function principalOf({ id, tenant, user, owner, scopes, limitsClass, binding, expiresAtMs }: StoredSecret): Principal {
  return Object.freeze({
    kind: 'secret',
    owner,
    tenant,
    user,
    credential: id,
    scopes: new Set(scopes),
    limitsClass,
    trusted: false,
    binding,
    issuedAtMs: null,
    expiresAtMs,
    ...(binding?.prompt?.variables === undefined ? {} : { promptVariables: binding.prompt.variables }),
  });
}

/*
 * The authenticator of `auth.mode: none`: every caller is the same anonymous user, with any
 * credential or none.
 */

import { type Principal, type Scope } from '../domain/principal.js';
import { Authenticator } from './authenticator.js';

const ANONYMOUS: Principal = Object.freeze({
  kind: 'anonymous',
  owner: 'anonymous',
  tenant: 'anonymous',
  user: null,
  credential: 'anonymous',
  scopes: new Set<Scope>(['chat', 'admin']),
  limitsClass: null,
  trusted: true,
  binding: null,
  issuedAtMs: null,
  expiresAtMs: null,
});

export class AnonymousAuthenticator extends Authenticator {
  override authenticate(): Promise<Principal> {
    return Promise.resolve(ANONYMOUS);
  }
}

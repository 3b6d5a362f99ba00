/*
 * The contract of authentication: a credential goes in, a principal comes out. Knows neither HTTP
 * nor sockets; credentials.ts reads the credential from a request.
 */

import { SluiceError } from '../domain/errors.js';
import { type Principal, type Scope } from '../domain/principal.js';

export abstract class Authenticator {
  /**
   * Returns the principal of a credential.
   * @param credential undefined if the request has none
   * @param needed the scope of the operation: `chat` on every route except the administrative ones
   * @throws SluiceError `missing_api_key`, `invalid_api_key`, `insufficient_scope`
   */
  abstract authenticate(credential: string | undefined, needed?: Scope): Promise<Principal>;
}

/** Whether a credential has a scope. `chat` includes `read`. */
export function hasScope({ scopes }: Principal, needed: Scope): boolean {
  return scopes.has(needed) || (needed === 'read' && scopes.has('chat'));
}

/**
 * Checks the scope of a credential.
 * @throws SluiceError `insufficient_scope` if it lacks `needed`
 */
export function requireScope(principal: Principal, needed: Scope): void {
  if (hasScope(principal, needed)) return;
  throw new SluiceError(
    'insufficient_scope',
    `unable to allow this operation; the credential lacks the scope "${needed}"; use another one`,
  );
}

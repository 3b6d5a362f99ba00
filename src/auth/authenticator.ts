/*
 * The question "who is asking?", as a contract: a credential goes in, a principal comes out. Knows neither HTTP nor
 * sockets; where a credential stands in a request is told in credentials.ts.
 */

import { SluiceError } from '../domain/errors.js';
import { type Principal, type Scope } from '../domain/principal.js';

export abstract class Authenticator {
  /**
   * Who shows this credential (undefined: none was shown). `needed` is what the caller is about to do: `chat` on every
   * route but the administrative ones.
   * @throws SluiceError `missing_api_key`, `invalid_api_key`, `insufficient_scope`
   */
  abstract authenticate(credential: string | undefined, needed?: Scope): Promise<Principal>;
}

/** @throws SluiceError `insufficient_scope` when the credential was not given `needed`. */
export function requireScope(principal: Principal, needed: Scope): void {
  if (principal.scopes.has(needed)) return;
  throw new SluiceError(
    'insufficient_scope',
    `unable to do this; the API key lacks the scope "${needed}"; use a key that has it`,
  );
}

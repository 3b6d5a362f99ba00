/* The user whose turn a request is. */

import { actingFor, type Principal } from '../domain/principal.js';
import { type ResponseRequest } from '../domain/request.js';

/**
 * Returns the caller of a turn: a server key that acts for no user acts for `safety_identifier`.
 * The credential of a user, and a user that the request's head names, take precedence.
 * @throws SluiceError `invalid_value`
 */
export function onBehalfOf(caller: Principal, { safetyIdentifier }: ResponseRequest): Principal {
  if (safetyIdentifier === undefined || caller.kind !== 'key' || caller.user !== null) return caller;
  return actingFor(caller, safetyIdentifier, 'safety_identifier');
}

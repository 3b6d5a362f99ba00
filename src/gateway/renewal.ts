/* Decides which principal a connection acts for after its client has sent a new credential. */

import { SluiceError } from '../domain/errors.js';
import { actingFor, type Principal } from '../domain/principal.js';

/**
 * Returns the principal of a connection after a renewal.
 * @param shown the principal of the new credential
 * @throws SluiceError `invalid_api_key` if it belongs to another owner or conversation
 */
export function renewed(former: Principal, shown: Principal): Principal {
  const { user, tenant, binding } = former;
  // A new server key acts for the same user as the key that it replaces.
  const renews = user !== null && shown.kind === 'key' && shown.tenant === tenant;
  const principal = renews ? actingFor(shown, user, 'token') : shown;
  const conversation = principal.binding?.conversation;
  const narrower = conversation !== undefined && conversation !== binding?.conversation;
  if (principal.owner === former.owner && !narrower) return principal;
  throw new SluiceError(
    'invalid_api_key',
    'unable to change the credential; it belongs to another owner or conversation; open a new connection for it',
  );
}

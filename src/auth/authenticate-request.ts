/*
 * Authenticates a request or an upgrade by its headers: the credential, and the user that a server
 * key acts for.
 */

import { type IncomingHttpHeaders } from 'node:http';
import { SluiceError } from '../domain/errors.js';
import { actingFor, type Principal, type Scope } from '../domain/principal.js';
import { type Authenticator } from './authenticator.js';
import { credentialFromHeaders } from './credentials.js';

/** Names the user that a server key acts for. */
const USER_HEADER = 'sluice-user';

/**
 * Returns the caller of a request.
 * @throws SluiceError `missing_api_key`, `invalid_api_key`, `insufficient_scope`, `invalid_value`
 */
export async function authenticateRequest(
  authenticator: Authenticator,
  headers: IncomingHttpHeaders,
  needed?: Scope,
): Promise<Principal> {
  const principal = await authenticator.authenticate(credentialFromHeaders(headers), needed);
  const user = [headers[USER_HEADER]].flat()[0];
  if (user === undefined) return principal;
  // Node decodes headers as Latin-1, so a name in another encoding would silently become a different one.
  if (!/^[\x20-\x7e]*$/u.test(user)) {
    throw new SluiceError('invalid_value', 'unable to act for this user; the header is not ASCII; send an ASCII name', {
      param: USER_HEADER,
    });
  }
  return actingFor(principal, user, USER_HEADER);
}

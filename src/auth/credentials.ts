/*
 * Authenticates a request or an upgrade by its headers: the credential, and the user that a server
 * key acts for. The credential is in the Authorization header, or in the offered subprotocols,
 * since WebSockets of browsers cannot set headers. It is never read from a URL: URLs end up in logs
 * and histories.
 */

import { type IncomingHttpHeaders } from 'node:http';
import { SluiceError } from '../domain/errors.js';
import { actingFor, type Principal, type Scope } from '../domain/principal.js';
import { type Authenticator } from './authenticator.js';

const SUBPROTOCOL = 'sluice.v1';
const BEARER_SUBPROTOCOLS = ['sluice.bearer.', 'openai-insecure-api-key.'] as const;

/**
 * Returns the credential as it was sent, or undefined. The header takes precedence over the
 * subprotocols.
 */
export function credentialFromHeaders(headers: IncomingHttpHeaders): string | undefined {
  const bearer = /^Bearer +(\S+) *$/i.exec(headers.authorization ?? '')?.[1];
  if (bearer !== undefined) return bearer;
  if (headers.upgrade?.toLowerCase() !== 'websocket') return undefined;
  for (const offered of subprotocols(headers['sec-websocket-protocol'])) {
    for (const prefix of BEARER_SUBPROTOCOLS) {
      if (offered.startsWith(prefix) && offered.length > prefix.length) return offered.slice(prefix.length);
    }
  }
  return undefined;
}

/**
 * Returns the subprotocol to answer with: Sluice's own or none, so that no credential is echoed.
 */
export function selectSubprotocol(offered: string | undefined): typeof SUBPROTOCOL | undefined {
  return subprotocols(offered).includes(SUBPROTOCOL) ? SUBPROTOCOL : undefined;
}

function subprotocols(header: string | undefined): string[] {
  return (header ?? '').split(',').map((name) => name.trim());
}

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
  // Node decodes headers as Latin-1, so a name in another encoding would silently become a
  // different one.
  if (!/^[\x20-\x7e]*$/u.test(user)) {
    throw new SluiceError('invalid_value', 'unable to act for this user; the header is not ASCII; send an ASCII name', {
      param: USER_HEADER,
    });
  }
  return actingFor(principal, user, USER_HEADER);
}

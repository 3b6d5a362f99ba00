/*
 * Reads the credential of a request: from the Authorization header, or from the offered
 * subprotocols, since WebSockets of browsers cannot set headers. Never from a URL: URLs end up in
 * logs and histories.
 */

import { type IncomingHttpHeaders } from 'node:http';

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

/*
 * Where a credential stands in a request: the Authorization header, or, from a browser's WebSocket, which can set no
 * header, the offered subprotocols. Never a URL: URLs end up in logs and histories.
 */

import { type IncomingHttpHeaders } from 'node:http';

const SUBPROTOCOL = 'sluice.v1';
const BEARER_SUBPROTOCOLS = ['sluice.bearer.', 'openai-insecure-api-key.'] as const;

/** The credential as it was sent, not decoded; undefined: none. The header goes before the subprotocols. */
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

/** The subprotocol to answer with, from the `Sec-WebSocket-Protocol` header: ours or none, so that no credential is echoed. */
export function selectSubprotocol(offered: string | undefined): typeof SUBPROTOCOL | undefined {
  return subprotocols(offered).includes(SUBPROTOCOL) ? SUBPROTOCOL : undefined;
}

function subprotocols(header: string | undefined): string[] {
  return (header ?? '').split(',').map((name) => name.trim());
}

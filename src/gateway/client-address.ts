/* The address of the client of an upgrade. Fastify finds the same for requests. */

import { type IncomingMessage } from 'node:http';
import proxyAddr from '@fastify/proxy-addr';

/**
 * Returns a function that finds the address of a client: that of the socket, or behind trusted
 * proxies the one that they name in `X-Forwarded-For`.
 * @param trustedProxies addresses and CIDR ranges
 */
export function clientAddress(trustedProxies: readonly string[]): (request: IncomingMessage) => string | null {
  const trusted = proxyAddr.compile([...trustedProxies]);
  // A socket that is closed already has no address.
  return (request) => (request.socket.remoteAddress === undefined ? null : proxyAddr(request, trusted));
}

/** Returns whether connections of an address carry requests of several clients. */
export function isTrustedProxy(trustedProxies: readonly string[]): (address: string) => boolean {
  const trusted = proxyAddr.compile([...trustedProxies]);
  return (address) => trusted(address, 0);
}

/*
 * Decides about upgrades: path, drain, origin, credential, limits. Writes refusals as plain HTTP,
 * because no WebSocket exists yet.
 */

import { type IncomingMessage } from 'node:http';
import { type Duplex } from 'node:stream';
import { type Authenticator } from '../auth/authenticator.js';
import { authenticateRequest, selectSubprotocol } from '../auth/credentials.js';
import { type OriginPolicy } from '../auth/origin.js';
import { asSluiceError, SluiceError } from '../domain/errors.js';
import { type Principal } from '../domain/principal.js';
import { type Metrics } from '../observability/metrics.js';
import { readClientRequestId } from '../protocol/client-request-id.js';
import { rawRefusal } from '../protocol/errors.js';
import { parseResumeQuery } from '../protocol/socket/resume-query.js';
import { type Outage } from '../state/outage.js';
import { type ConnectionLimits } from '../turn/connection-limits.js';
import { type DrainState } from '../turn/drain-state.js';
import { type Handshake } from './connection.js';
import { type ConnectionTable } from './connection-table.js';

export interface UpgradeParts {
  readonly authenticator: Authenticator;
  readonly origins: OriginPolicy;
  readonly drain: DrainState;
  readonly table: ConnectionTable;
  readonly outage: Outage;
  readonly addressOf: (request: IncomingMessage) => string | null;
  readonly limits: ConnectionLimits;
  /** @throws SluiceError if the connection exceeds a limit */
  readonly checkConnection: (socket: IncomingMessage['socket']) => void;
  /** Calls `work` when the connection closes, or now if it has closed. */
  readonly whenClosed: (socket: IncomingMessage['socket'], work: () => void) => void;
}

/** Callers of upgrades, also of those that were refused after the authentication. */
const callers = new WeakMap<IncomingMessage, Principal>();

/** @returns the caller of an upgrade, or undefined if it was not authenticated */
export function upgradeCaller(request: IncomingMessage): Principal | undefined {
  return callers.get(request);
}

/** @throws SluiceError with the HTTP status that refuses the upgrade */
export async function acceptUpgrade(request: IncomingMessage, path: string, parts: UpgradeParts): Promise<Handshake> {
  const url = URL.parse(request.url ?? '/', 'http://gateway');
  if (url?.pathname !== path) {
    throw new SluiceError('not_found', `unable to open a WebSocket here; it is served at ${path}`);
  }
  if (parts.drain.draining) {
    throw new SluiceError('draining', 'unable to open a connection; this replica is shutting down; connect again', {
      retryAfterMs: 1_000,
    });
  }
  if (parts.outage.long) {
    throw new SluiceError(
      'state_unavailable',
      'unable to open a connection; the state store is away; connect again later',
      {
        retryAfterMs: 5_000,
      },
    );
  }
  parts.checkConnection(request.socket);
  parts.origins.check(request.headers.origin, request.headers.host);
  const principal = await authenticateRequest(parts.authenticator, request.headers, 'read');
  callers.set(request, principal);
  if (parts.table.full) {
    throw new SluiceError('overloaded', 'unable to open a connection; this replica has as many as it may; try later', {
      retryAfterMs: 5_000,
    });
  }
  const query = url.searchParams;
  const resume = parseResumeQuery(query.get('resume') ?? '');
  // Take the place last: no later step refuses the upgrade, and a failed handshake closes the
  // socket, which releases the place. A client may have left while its credential was checked.
  const address = parts.addressOf(request);
  parts.whenClosed(request.socket, parts.limits.take(principal, address ?? ''));
  return {
    principal,
    address,
    snapshots:
      query.get('snapshots') === '1' || selectSubprotocol(request.headers['sec-websocket-protocol']) !== undefined,
    resume,
    cancelOnDisconnect: query.get('on_disconnect') === 'cancel',
    traceparent: [request.headers['traceparent']].flat()[0],
    clientRequestId: readClientRequestId(request.headers['x-request-id']),
  };
}

/** Answers a refused upgrade in the shape of every other error, and ends the socket. */
export function refuseUpgrade(socket: Duplex, thrown: unknown, metrics: Metrics): void {
  const error = asSluiceError(thrown);
  metrics.of.refusals_total.inc({ code: error.code });
  // Node leaves an upgraded socket to us, and its peer can keep its half open for ever: destroy it
  // after the answer.
  socket.once('finish', () => socket.destroy());
  socket.end(rawRefusal(error, error.status === 401 ? { 'www-authenticate': 'Bearer' } : VERSION));
}

/** The supported version of the protocol, in refusals (RFC 6455, 4.4). */
const VERSION = { 'sec-websocket-version': '13' };

/**
 * Refuses a malformed handshake.
 * @param why the library's own words, which quote nothing from the client
 */
export function badHandshake(why: string): SluiceError {
  return new SluiceError(
    'invalid_request',
    `unable to open a WebSocket; the handshake is malformed (${why}); see RFC 6455`,
  );
}

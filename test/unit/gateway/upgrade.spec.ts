/*
 * Upgrades over a real HTTP server: what is refused is answered as HTTP and its socket goes,
 * whatever the other side does.
 */

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { type INestApplicationContext } from '@nestjs/common';
import { SluiceError } from '../../../src/domain/errors.js';
import { type Handshake } from '../../../src/gateway/connection.js';
import { SocketAdapter } from '../../../src/gateway/socket-adapter.js';
import { acceptUpgrade, refuseUpgrade, type UpgradeParts } from '../../../src/gateway/upgrade.js';
import { Metrics } from '../../../src/observability/metrics.js';
import { ConnectionLimits } from '../../../src/turn/connection-limits.js';
import { ALICE } from '../turn/turn-harness.js';
import { until } from './connection-harness.js';

let http: Server;
let accept: (request: IncomingMessage) => Promise<Handshake>;
let onConnection: () => void;
const clients: Socket[] = [];

beforeEach(async () => {
  http = createServer();
  accept = () =>
    Promise.resolve({ principal: ALICE, snapshots: false, address: null, resume: [], cancelOnDisconnect: false });
  onConnection = () => undefined;
  const metrics = new Metrics({ prefix: 'test_', version: '0' });
  // The adapter takes the HTTP server itself where it is given no Nest application.
  const adapter = new SocketAdapter(http as unknown as INestApplicationContext, {
    maxMessageBytes: 1_024,
    accept: (request) => accept(request),
    refuse: (socket, thrown) => refuseUpgrade(socket, thrown, metrics),
  });
  adapter.create(0, { path: '/v1/responses' }).on('connection', () => onConnection());
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  http.closeAllConnections();
  await new Promise((resolve) => http.close(resolve));
});

/** Requests an upgrade on a socket that never ends by itself. */
function upgrade(headers: readonly string[] = []): { readonly text: () => string; readonly client: Socket } {
  const { port } = http.address() as AddressInfo;
  const client = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  clients.push(client);
  let text = '';
  client.on('data', (chunk: Buffer) => (text += chunk.toString()));
  client.on('error', () => undefined);
  const lines = ['GET /v1/responses HTTP/1.1', 'Host: x', 'Connection: Upgrade', 'Upgrade: websocket', ...headers];
  client.write(`${lines.join('\r\n')}\r\n\r\n`);
  return { text: () => text, client };
}

const VALID = ['Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='];

const connections = (): Promise<number> =>
  new Promise((resolve, reject) =>
    http.getConnections((error, count) => (error === null ? resolve(count) : reject(error))),
  );

describe('an upgrade', () => {
  it('answers a refused upgrade with the error’s status and body, and destroys the socket', async () => {
    accept = () => Promise.reject(new SluiceError('overloaded', 'unable to open; full', { retryAfterMs: 5_000 }));
    const { text } = upgrade(VALID);
    await until(() => text().includes('\r\n\r\n{'));
    expect(text()).toMatch(/^HTTP\/1\.1 503 Service Unavailable\r\n/u);
    expect(text()).toMatch(/retry-after: 5\r\n/iu);
    expect(JSON.parse(text().split('\r\n\r\n')[1] ?? '')).toMatchObject({ error: { code: 'overloaded' } });
    // The client keeps its half open for ever.
    await until(async () => (await connections()) === 0);
  });

  it('explains how to present a credential, without internal details', async () => {
    accept = () => Promise.reject(new SluiceError('missing_api_key', 'unable to authenticate; no key'));
    const refused = upgrade(VALID);
    await until(() => refused.text().includes('\r\n\r\n{'));
    expect(refused.text()).toMatch(/www-authenticate: Bearer/iu);
    accept = () => Promise.reject(new TypeError('secret words'));
    const broken = upgrade(VALID);
    await until(() => broken.text().includes('\r\n\r\n{'));
    expect(broken.text()).toMatch(/^HTTP\/1\.1 500 /u);
    expect(broken.text()).not.toContain('secret');
  });

  it('refuses a malformed handshake', async () => {
    const { text } = upgrade();
    await until(() => text().startsWith('HTTP/1.1 4'));
    await until(async () => (await connections()) === 0);
  });

  it('opens no connection if the client left during the upgrade', async () => {
    const gate = Promise.withResolvers<Handshake>();
    const asked = Promise.withResolvers<void>();
    let opened = 0;
    onConnection = () => opened++;
    accept = () => {
      asked.resolve();
      return gate.promise;
    };
    const { client } = upgrade(VALID);
    await asked.promise;
    client.resetAndDestroy();
    await until(async () => (await connections()) === 0);
    gate.resolve({ principal: ALICE, snapshots: false, address: null, resume: [], cancelOnDisconnect: false });
    await new Promise(setImmediate);
    expect(opened).toBe(0);
  });

  it('keeps other connections when opening one throws', async () => {
    const opened = Promise.withResolvers<void>();
    onConnection = () => {
      opened.resolve();
      throw new Error('a bug');
    };
    const unhandled: unknown[] = [];
    const onUnhandled = (reason: unknown): void => void unhandled.push(reason);
    process.on('unhandledRejection', onUnhandled);
    upgrade(VALID);
    await opened.promise;
    await until(async () => (await connections()) === 0);
    process.off('unhandledRejection', onUnhandled);
    expect(unhandled).toEqual([]);
  });
});

it('cannot exceed the limit of a user by upgrades whose credential is checked at the same time [LIMIT-11]', async () => {
  const checked = Promise.withResolvers<void>();
  let checking = 0;
  const authenticate = async (): Promise<typeof ALICE> => {
    checking += 1;
    await checked.promise;
    return ALICE;
  };
  const pass = (): void => undefined;
  // As much of each part as an upgrade uses.
  const parts = {
    authenticator: { authenticate },
    origins: { check: pass },
    drain: { draining: false },
    outage: { long: false },
    table: { full: false },
    limits: new ConnectionLimits({ perUser: 1, perAddress: null }),
    addressOf: () => '10.0.0.1',
    checkConnection: pass,
    whenClosed: (socket: IncomingMessage['socket'], work: () => void) => socket.on('close', work),
  } as unknown as UpgradeParts;
  accept = (request) => acceptUpgrade(request, '/v1/responses', parts);
  const tries = [upgrade(VALID), upgrade(VALID), upgrade(VALID)];
  await until(() => checking === 3);
  checked.resolve();
  await until(() => tries.every(({ text }) => text().includes('\r\n\r\n')));
  expect(tries.map(({ text }) => text().slice(9, 12)).toSorted()).toEqual(['101', '429', '429']);
  const [open] = tries.filter(({ text }) => text().startsWith('HTTP/1.1 101'));
  open?.client.destroy();
  await until(async () => (await connections()) === 0);
  const next = upgrade(VALID);
  await until(() => next.text().startsWith('HTTP/1.1 101'));
});

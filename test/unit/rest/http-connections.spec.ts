import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import { Agent, createServer, get, type IncomingMessage, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { asSluiceError } from '../../../src/domain/errors.js';
import { HttpConnections, type HttpConnectionsOptions } from '../../../src/rest/http-connections.js';

let server: Server;
let connections: HttpConnections;
let port: number;
const sockets: Socket[] = [];

let options: HttpConnectionsOptions = { max: 2 };

beforeEach(async () => {
  connections = new HttpConnections(options);
  server = createServer((request, response) => {
    try {
      connections.check(request.socket);
      response.end('served');
    } catch (refusal) {
      response.writeHead(asSluiceError(refusal).status, { connection: 'close' }).end();
    }
  });
  connections.watch(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  ({ port } = server.address() as AddressInfo);
});
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
  server.closeAllConnections();
  server.close();
});

/** A connection that sends nothing. */
async function silent(): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1' }).on('error', () => undefined);
  sockets.push(socket);
  const known = connections.size;
  await once(socket, 'connect');
  while (connections.size === known) await new Promise(setImmediate);
  return socket;
}

async function status(agent?: Agent): Promise<number> {
  const [answer] = (await once(get({ port, host: '127.0.0.1', agent: agent ?? false }), 'response')) as [
    IncomingMessage,
  ];
  answer.resume();
  await once(answer, 'end');
  return answer.statusCode ?? 0;
}

describe('the connections of a replica', () => {
  it.each([
    ['is counted', true],
    ['is not counted', false],
  ])(
    'releases the place of a connection that %s when it closes, or at once if it has closed [LIMIT-11]',
    async (_, counted) => {
      const accepted = once(server, 'connection') as Promise<[Socket]>;
      const client = await silent();
      const [socket] = await accepted;
      const known = counted ? connections : new HttpConnections(options);
      let calls = 0;
      known.whenClosed(socket, () => (calls += 1));
      expect(calls).toBe(0);
      client.destroy();
      while (connections.size > 0) await new Promise(setImmediate);
      expect(calls).toBe(1);
      known.whenClosed(socket, () => (calls += 1));
      expect(calls).toBe(2);
    },
  );

  it('counts every connection and refuses the one that is too many with 503 [UP-4]', async () => {
    await silent();
    const second = await silent();
    expect(await status()).toBe(503);
    second.destroy();
    await once(second, 'close');
    while (connections.size > 1) await new Promise(setImmediate);
    expect(await status()).toBe(200);
  });

  it('closes idle HTTP connections before it refuses a new one', async () => {
    const agent = new Agent({ keepAlive: true });
    expect(await status(agent)).toBe(200);
    await silent();
    expect(connections.size).toBe(2);
    expect(await status()).toBe(200);
    agent.destroy();
  });
});

describe('the connections of one address', () => {
  let refused = 0;
  let proxy: string | undefined;
  beforeAll(() => {
    options = { max: 100, maxPerAddress: 2, isProxy: (address) => address === proxy, onRefused: () => (refused += 1) };
  });
  afterAll(() => {
    options = { max: 2 };
  });

  it('counts them with idle ones and refuses the one that is too many with 429 [LIMIT-11]', async () => {
    await silent();
    const second = await silent();
    expect([await status(), refused]).toEqual([429, 1]);
    second.destroy();
    await once(second, 'close');
    while (connections.size > 1) await new Promise(setImmediate);
    expect([await status(), refused]).toEqual([200, 1]);
  });

  it('does not count connections of a proxy, which carry requests of many clients [LIMIT-11]', async () => {
    proxy = '127.0.0.1';
    for (let i = 0; i < 5; i++) await silent();
    expect(await status()).toBe(200);
  });
});

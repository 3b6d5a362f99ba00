import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import { Agent, createServer, get, type IncomingMessage, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { asSluiceError } from '../../../src/domain/errors.js';
import { HttpConnections } from '../../../src/rest/http-connections.js';

let server: Server;
let connections: HttpConnections;
let port: number;
const sockets: Socket[] = [];

beforeEach(async () => {
  connections = new HttpConnections({ max: 2 });
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

/*
 * A network that lets HTTP through and no WebSocket: what some companies' proxies do. Passes TCP
 * on, except upgrades.
 */

import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export interface Wall {
  readonly url: string;
  /** Upgrades that were not let through. */
  readonly stopped: number;
  /** Drops every connection; new ones are served. */
  shake(): void;
  close(): Promise<void>;
}

export async function wallBefore(port: number): Promise<Wall> {
  const sockets = new Set<Socket>();
  let stopped = 0;
  const server = createServer((near) => {
    sockets.add(near);
    near.on('error', () => undefined);
    near.once('close', () => sockets.delete(near));
    // Browsers open a connection of its own for each upgrade, and send its head at once.
    near.once('data', (head: Buffer) => {
      if (/^upgrade: *websocket/im.test(head.toString('latin1'))) {
        stopped++;
        near.end('HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
        return;
      }
      const far = connect(port, '127.0.0.1');
      sockets.add(far);
      far.on('error', () => near.destroy());
      far.once('close', () => {
        sockets.delete(far);
        near.destroy();
      });
      near.once('close', () => far.destroy());
      far.write(head);
      near.pipe(far).pipe(near);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  // A TCP server that listens has such an address.
  const { port: own } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${own}`,
    get stopped() {
      return stopped;
    },
    shake() {
      for (const socket of sockets) socket.destroy();
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

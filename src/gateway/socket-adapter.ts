/*
 * Sluice's own WebSocket adapter. Nest creates and closes it; the adapter owns the upgrade, the
 * frames and their order. Nest's WsAdapter drops malformed frames silently, reorders asynchronous
 * handlers and cuts sockets at the end.
 */

import { type IncomingMessage, type Server } from 'node:http';
import { type Duplex } from 'node:stream';
import { type INestApplicationContext } from '@nestjs/common';
import { AbstractWsAdapter } from '@nestjs/websockets';
import { WebSocketServer } from 'ws';
import { selectSubprotocol } from '../auth/credentials.js';
import { type Handshake } from './connection.js';
import { badHandshake } from './upgrade.js';

export interface SocketServerOptions {
  readonly path: string;
}

/** Decides about upgrades: returns the handshake, or writes a refusal to the socket. */
export interface UpgradeGate {
  readonly maxMessageBytes: number;
  accept(request: IncomingMessage, path: string): Promise<Handshake>;
  refuse(socket: Duplex, thrown: unknown, request: IncomingMessage): void;
}

// Nest's type bound for servers and clients requires `on(event: string, callback: Function)`, which
// the exact types of ws do not satisfy. Hence the default, any.
export class SocketAdapter extends AbstractWsAdapter {
  readonly #gate: UpgradeGate;

  constructor(app: INestApplicationContext, gate: UpgradeGate) {
    super(app);
    this.#gate = gate;
  }

  override create(_port: number, options: SocketServerOptions = { path: '/' }): WebSocketServer {
    const { path } = options;
    const server = new WebSocketServer({
      noServer: true,
      perMessageDeflate: false,
      clientTracking: false,
      autoPong: false,
      maxPayload: this.#gate.maxMessageBytes,
      handleProtocols: (protocols) => selectSubprotocol([...protocols].join(',')) ?? false,
    });
    // Without a listener, the library answers with HTML.
    server.on('wsClientError', (error, socket, request) =>
      this.#gate.refuse(socket, badHandshake(error.message), request),
    );
    // AbstractWsAdapter declares its server as any; it is the application's own HTTP server.
    const http = this.httpServer as Server;
    http.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      // The client may reset the socket while its credential is being checked. An error without a
      // listener would end the process, so this listener destroys the socket.
      const onEarlyError = (): void => void socket.destroy();
      socket.on('error', onEarlyError);
      this.#gate
        .accept(request, path)
        .then(
          (handshake) => {
            socket.off('error', onEarlyError);
            if (socket.destroyed) return;
            server.handleUpgrade(request, socket, head, (client) => server.emit('connection', client, handshake));
          },
          (thrown: unknown) => this.#gate.refuse(socket, thrown, request),
        )
        // An unexpected error destroys this socket only.
        .catch(() => socket.destroy());
    });
    return server;
  }

  /** Frames are dispatched by the connection itself, in order. */
  override bindMessageHandlers(): void {
    return;
  }

  /** Adds no listener for a hook that no gateway here has. */
  override bindClientDisconnect(): void {
    return;
  }

  /** Removes listeners only: the drain (lifecycle) has closed the sockets before. */
  override async close(server: WebSocketServer): Promise<void> {
    server.removeAllListeners();
    await Promise.resolve();
  }
}

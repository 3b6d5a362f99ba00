/*
 * Accepts sockets: creates a connection for each accepted upgrade and passes its frames to it in
 * order.
 */

import { type OnGatewayConnection, WebSocketGateway } from '@nestjs/websockets';
import { type RawData, type WebSocket } from 'ws';
import { CLOSE_CODES } from '../protocol/socket/close-codes.js';
import { type Handshake } from './connection.js';
import { ConnectionParts } from './connection-parts.js';
import { ConnectionTable } from './connection-table.js';
import { FrameDispatch } from './dispatch.js';
import { answerPings, RawSocket } from './raw-socket.js';

const SOCKET_PATH = '/v1/responses';

@WebSocketGateway({ path: SOCKET_PATH })
export class ChatGateway implements OnGatewayConnection<WebSocket> {
  readonly #table: ConnectionTable;
  readonly #parts: ConnectionParts;

  constructor(table: ConnectionTable, parts: ConnectionParts) {
    this.#table = table;
    this.#parts = parts;
  }

  handleConnection(socket: WebSocket, handshake: Handshake): void {
    const { logger, time } = this.#parts;
    const frames = new FrameDispatch(new RawSocket(socket), handshake, this.#parts);
    const { connection } = frames;
    const { user, credential } = handshake.principal;
    const ids = { connection_id: connection.id, user_id: user ?? credential };
    this.#table.add(connection);
    frames.audit.opened();
    logger.debug(ids, 'socket opened');
    // A frame over the limit or not UTF-8 emits an error here; ws has closed with 1009 or 1007 by
    // then.
    socket.on('error', () => undefined);
    answerPings(socket);
    socket.on('pong', () => this.#table.ponged(connection));
    socket.on('message', (data: RawData, isBinary: boolean) => {
      if (isBinary && connection.open) connection.close(CLOSE_CODES.binary, 'only text frames are understood');
      // Text frames come as one Buffer (the default binaryType), and ws has checked that they are
      // UTF-8.
      else frames.intake.receive(data as Buffer);
    });
    socket.on('close', (code: number) => {
      frames.end();
      const openMs = this.#table.remove(connection, code);
      logger.debug({ ...ids, code, open_ms: Math.round(openMs ?? 0) }, 'socket closed');
    });
    connection.hello();
    // A client that adds its listeners when the socket opens would miss events that arrive with the
    // opening. Resume in a later round.
    if (handshake.resume.length > 0) time.soon(() => frames.resumeAll());
  }
}

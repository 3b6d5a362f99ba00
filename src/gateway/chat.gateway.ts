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
  readonly #open = new WeakMap<WebSocket, FrameDispatch>();
  // The listeners of all sockets: closures of their own would be a tenth of an idle connection.
  readonly #onPong: (this: WebSocket) => void;
  readonly #onMessage: (this: WebSocket, data: RawData, isBinary: boolean) => void;
  readonly #onClose: (this: WebSocket, code: number) => void;

  constructor(table: ConnectionTable, parts: ConnectionParts) {
    const open = this.#open;
    this.#table = table;
    this.#parts = parts;
    this.#onPong = function () {
      const frames = open.get(this);
      if (frames !== undefined) table.ponged(frames.connection);
    };
    this.#onMessage = function (data, isBinary) {
      const frames = open.get(this);
      if (frames === undefined) return;
      const { connection, intake } = frames;
      if (isBinary && connection.open) connection.close(CLOSE_CODES.binary, 'only text frames are understood');
      // Text frames come as one Buffer (the default binaryType), and ws has checked that they are
      // UTF-8.
      else intake.receive(data as Buffer);
    };
    this.#onClose = function (code) {
      const frames = open.get(this);
      if (frames === undefined) return;
      frames.end();
      const openMs = table.remove(frames.connection, code);
      if (!parts.logger.debugs) return;
      parts.logger.debug({ ...idsOf(frames), code, open_ms: Math.round(openMs ?? 0) }, 'socket closed');
    };
  }

  handleConnection(socket: WebSocket, handshake: Handshake): void {
    const { logger, time } = this.#parts;
    const frames = new FrameDispatch(new RawSocket(socket), handshake, this.#parts);
    const { connection } = frames;
    this.#open.set(socket, frames);
    this.#table.add(connection);
    frames.opened();
    if (logger.debugs) logger.debug(idsOf(frames), 'socket opened');
    socket.on('error', ignoreError);
    answerPings(socket);
    socket.on('pong', this.#onPong);
    socket.on('message', this.#onMessage);
    socket.on('close', this.#onClose);
    connection.hello();
    // A client that adds its listeners when the socket opens would miss events that arrive with the
    // opening. Resume in a later round.
    if (handshake.resume.length > 0) time.soon(() => frames.resumeAll());
  }
}

/**
 * A frame over the limit or not UTF-8 emits an error; `ws` has closed the socket with 1009 or 1007
 * by then.
 */
function ignoreError(): void {
  return;
}

function idsOf({ connection, handshake: { principal } }: FrameDispatch): Readonly<Record<string, string>> {
  return { connection_id: connection.id, user_id: principal.user ?? principal.credential };
}

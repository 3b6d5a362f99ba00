/* Where sockets enter: makes a Connection of each accepted upgrade, and hands it its frames in order. */

import { type OnGatewayConnection, WebSocketGateway } from '@nestjs/websockets';
import { type RawData, type WebSocket } from 'ws';
import { asSluiceError } from '../domain/errors.js';
import { CLOSE_CODES } from '../protocol/close-codes.js';
import { Connection, ConnectionParts, type Handshake } from './connection.js';
import { ConnectionTable } from './connection-table.js';
import { dispatch, resume } from './dispatch.js';
import { answerPings } from './pongs.js';

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
    const connection = new Connection(socket, handshake, this.#parts);
    const { user, credential } = handshake.principal;
    const ids = { connection_id: connection.id, user_id: user ?? credential };
    this.#table.add(connection);
    this.#parts.log.debug(ids, 'socket opened');
    // A frame over the limit or not UTF-8 errs here; ws has closed with 1009 or 1007 by then.
    socket.on('error', () => undefined);
    answerPings(socket);
    socket.on('pong', () => {
      connection.pingedAtMs = null;
    });
    socket.on('message', (data: RawData, isBinary: boolean) => {
      // What comes after a frame that was answered by closing is not looked at.
      if (socket.readyState !== socket.OPEN) return;
      if (isBinary) connection.close(CLOSE_CODES.binary, 'only text frames are understood');
      else receive(connection, data);
    });
    socket.on('close', (code: number) => {
      connection.ended();
      this.#table.remove(connection, code);
      this.#parts.log.debug({ ...ids, code, open_ms: Date.now() - connection.openedAtMs }, 'socket closed');
    });
    connection.hello();
    if (handshake.resume.length > 0) setImmediate(() => resumeAll(connection, handshake));
  }
}

function receive(connection: Connection, data: RawData): void {
  try {
    // Text frames come as one Buffer (the default binaryType), and ws has checked that they are UTF-8.
    dispatch(connection, (data as Buffer).toString('utf8'));
  } catch (thrown) {
    connection.refuse(asSluiceError(thrown));
  }
}

/** In a later tick than the opening, so that listeners set up on open see the replay. */
function resumeAll(connection: Connection, handshake: Handshake): void {
  for (const point of handshake.resume) resume(connection, point);
}

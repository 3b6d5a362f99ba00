/*
 * Answers the peer's pings, one at a time: while an answer waits to be read, only the newest ping
 * is remembered (RFC 6455, 5.5.3), so that a client that pings and never reads costs no memory.
 * `ws` would queue an answer for each ping.
 */

import { type WebSocket } from 'ws';

/** Answers the pings of a socket whose server has `autoPong: false`. */
export function answerPings(socket: WebSocket): void {
  let answering = false;
  let newest: Buffer | undefined;
  const answer = (payload: Buffer): void => {
    answering = true;
    socket.pong(payload, false, () => {
      answering = false;
      const next = newest;
      newest = undefined;
      if (next !== undefined && socket.readyState === socket.OPEN) answer(next);
    });
  };
  socket.on('ping', (payload: Buffer) => {
    // Copy the payload: it is a view of the whole chunk that was read.
    if (answering) newest = Buffer.from(payload);
    else answer(payload);
  });
}

/*
 * Encodes text frames and writes them to the TCP socket under `ws`, each batch in one call to the
 * kernel. That halves the cost of a frame compared with `ws.send`, and a second viewer costs only
 * the write. No other file uses the socket under `ws`.
 */

import { type Socket } from 'node:net';
import { type WebSocket } from 'ws';
import { type CloseCode } from '../protocol/socket/close-codes.js';
import { type ClientSocket } from './client-socket.js';

const FINAL_TEXT = 0x81;

/** Returns a final, unmasked, uncompressed text frame, as a server sends it (RFC 6455, 5.2). */
export function textFrame(text: string): Buffer {
  const length = Buffer.byteLength(text);
  const head = headBytes(length);
  const frame = Buffer.allocUnsafe(head + length);
  writeHead(frame, head, length);
  frame.write(text, head, 'utf8');
  return frame;
}

/**
 * Returns a text frame in three pieces. `body` is not copied, so that many sockets can share it.
 */
export function frameAround(before: string, body: Buffer, after: string): readonly Buffer[] {
  const end = Buffer.from(after);
  const length = Buffer.byteLength(before) + body.length + end.length;
  const head = headBytes(length);
  const start = Buffer.allocUnsafe(head + Buffer.byteLength(before));
  writeHead(start, head, length);
  start.write(before, head, 'utf8');
  return [start, body, end];
}

function headBytes(length: number): 2 | 4 | 10 {
  return length < 126 ? 2 : length < 65_536 ? 4 : 10;
}

function writeHead(frame: Buffer, head: 2 | 4 | 10, length: number): void {
  frame[0] = FINAL_TEXT;
  if (head === 2) frame[1] = length;
  else if (head === 4) {
    frame[1] = 126;
    frame.writeUInt16BE(length, 2);
  } else {
    frame[1] = 127;
    frame.writeUIntBE(0, 2, 2);
    frame.writeUIntBE(length, 4, 6);
  }
}

/** A WebSocket of `ws` that does not compress. */
export class RawSocket implements ClientSocket {
  readonly #socket: WebSocket;

  constructor(socket: WebSocket) {
    this.#socket = socket;
  }

  get open(): boolean {
    return this.#socket.readyState === this.#socket.OPEN;
  }

  get bufferedAmount(): number {
    return this.#socket.bufferedAmount;
  }

  send(text: string): void {
    this.#socket.send(text);
  }

  write(bytes: readonly Buffer[]): void {
    const [first] = bytes;
    if (first === undefined) return;
    // `_socket` is private in `ws`, and stable since its first release; an open socket has one.
    const raw = (this.#socket as unknown as { readonly _socket: Socket })._socket;
    if (bytes.length === 1) {
      raw.write(first);
      return;
    }
    raw.cork();
    for (const piece of bytes) raw.write(piece);
    raw.uncork();
  }

  ping(): void {
    this.#socket.ping();
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  close(code: CloseCode, reason: string): void {
    this.#socket.close(code, reason);
  }

  terminate(): void {
    this.#socket.terminate();
  }
}

/**
 * Answers the pings of a socket whose server has `autoPong: false`, one at a time: while an answer
 * waits to be read, only the newest ping is remembered (RFC 6455, 5.5.3). `ws` would queue an
 * answer for each ping, so a client that pings and never reads would use up memory.
 */
export function answerPings(socket: WebSocket): void {
  socket.on('ping', onPing);
}

/** The sockets whose answer waits to be read, with the newest ping after it. */
const answering = new WeakMap<WebSocket, { newest: Buffer | undefined }>();

function onPing(this: WebSocket, payload: Buffer): void {
  const waiting = answering.get(this);
  // Copy the payload: it is a view of the whole chunk that was read.
  if (waiting !== undefined) waiting.newest = Buffer.from(payload);
  else answerPing(this, payload);
}

function answerPing(socket: WebSocket, payload: Buffer): void {
  const waiting: { newest: Buffer | undefined } = { newest: undefined };
  answering.set(socket, waiting);
  socket.pong(payload, false, () => {
    answering.delete(socket);
    if (waiting.newest !== undefined && socket.readyState === socket.OPEN) answerPing(socket, waiting.newest);
  });
}

/*
 * The one place that reaches under `ws`: text frames made once and written to the socket by hand, each batch in one call to the
 * kernel. Half of `ws.send`'s cost a frame goes that way, and all but the write for a second viewer (stack.md, "Sockets").
 */

import { type Socket } from 'node:net';
import { type WebSocket } from 'ws';

/** A final, unmasked, uncompressed text frame, as a server sends it (RFC 6455, 5.2). */
export function textFrame(text: string): Buffer {
  const length = Buffer.byteLength(text);
  const head = length < 126 ? 2 : length < 65_536 ? 4 : 10;
  const frame = Buffer.allocUnsafe(head + length);
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
  frame.write(text, head, 'utf8');
  return frame;
}

const FINAL_TEXT = 0x81;

/** Writes frames in order, after whatever `ws` was given to send before; it must be open and must not compress. */
export function writeFrames(socket: WebSocket, frames: readonly Buffer[]): void {
  // `_socket` is private in `ws`, and stable since its first release; an open socket has one.
  const raw = (socket as unknown as { readonly _socket: Socket })._socket;
  const [first] = frames;
  if (first === undefined) return;
  if (frames.length === 1) {
    raw.write(first);
    return;
  }
  raw.cork();
  for (const frame of frames) raw.write(frame);
  raw.uncork();
}

/* The one place that reaches under `ws`: corking, which turns the frames of one tick into one write to the kernel (stack.md, "Sockets"). */

import { type Socket } from 'node:net';
import { type WebSocket } from 'ws';

/** Runs `write` with the socket corked. */
export function corked(socket: WebSocket, write: () => void): void {
  // `_socket` is private in `ws`, and stable since its first release; without it frames are merely written one by one.
  const raw = (socket as unknown as { readonly _socket?: Socket })._socket;
  raw?.cork();
  try {
    write();
  } finally {
    raw?.uncork();
  }
}

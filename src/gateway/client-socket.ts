/*
 * What a connection uses of a WebSocket. The gateway wraps `ws` (raw-socket.ts); tests and
 * simulations provide their own.
 */

import { type CloseCode } from '../protocol/socket/close-codes.js';

export interface ClientSocket {
  /** Whether frames may still be sent: false once either side has begun to close. */
  readonly open: boolean;
  /** Bytes handed to the socket that the peer has not read yet. */
  readonly bufferedAmount: number;
  /** Sends one text frame after everything written before. */
  send(text: string): void;
  /**
   * Writes whole frames, or consecutive pieces of them, in order and in one call to the kernel. The
   * socket must be open.
   */
  write(bytes: readonly Buffer[]): void;
  ping(): void;
  /** Stops reading. Frames that have arrived already are still delivered. */
  pause(): void;
  resume(): void;
  close(code: CloseCode, reason: string): void;
  /** Destroys the socket without a close frame. */
  terminate(): void;
}

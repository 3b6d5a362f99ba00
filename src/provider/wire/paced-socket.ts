/*
 * Connections to a provider whose reading can wait for a tick. What a stream sends meanwhile gathers in the kernel, so that a tick
 * costs one wake-up and one read a stream, however many deltas came. Knows nothing of HTTP.
 */

import { type Socket } from 'node:net';
import { buildConnector } from 'undici';

/** Calls `read` when a socket that waits may be read again. */
export type Gather = (read: () => void) => void;

export class PacedSocket {
  readonly #socket: Socket;
  readonly #gather: Gather;
  /** The stream's own way to read on. */
  readonly #read: (size: number) => void;
  #paced = false;
  #waiting: (() => void) | undefined;

  constructor(socket: Socket, gather: Gather) {
    this.#socket = socket;
    this.#gather = gather;
    this.#read = socket._read.bind(socket);
    socket._read = (size) => this.#readOn(size);
  }

  /** From now on every read waits for its tick, or none does any more. */
  set paced(paced: boolean) {
    this.#paced = paced;
    if (!paced) this.#waiting?.();
  }

  #readOn(size: number): void {
    if (!this.#paced) {
      this.#read(size);
      return;
    }
    const read = (): void => {
      if (this.#waiting !== read) return;
      this.#waiting = undefined;
      if (!this.#socket.destroyed) this.#read(size);
    };
    this.#waiting = read;
    this.#gather(read);
  }
}

/** The connection whose bytes are being parsed now: undici does not say on which one an answer came. */
let reading: PacedSocket | undefined;

/** For who is called with an answer's first bytes. */
export function socketBeingRead(): PacedSocket | undefined {
  return reading;
}

/** Then it is the reader who decides when the kernel is asked for more. A socket's option, which undici hands on and has no type for. */
const FULL_AT_ONE_BYTE = { highWaterMark: 1 };

/** Connections for an undici Agent. @param connectTimeoutMs how long one may take to stand */
export function pacedConnector(gather: Gather, connectTimeoutMs: number): buildConnector.connector {
  const connect = buildConnector({
    // One stream, one socket: closing it is how the provider learns of a cancel.
    allowH2: false,
    timeout: connectTimeoutMs,
    ...FULL_AT_ONE_BYTE,
  });
  return (options, callback) =>
    connect(options, (...result) => {
      const [error, socket] = result;
      if (error === null) {
        const paced = new PacedSocket(socket, gather);
        // Before undici's own listener, which parses.
        socket.on('readable', () => (reading = paced));
      }
      callback(...result);
    });
}

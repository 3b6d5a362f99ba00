/*
 * Connections to a provider whose reads can wait for a tick. Meanwhile the data of a stream
 * collects in the kernel, so that a tick costs one wake-up and one read for each stream, however
 * many deltas arrived. Knows nothing of HTTP.
 */

import { type Socket } from 'node:net';
import { buildConnector } from 'undici';

/** Certificates as PEM. */
export interface TlsCertificates {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** Calls `read` when a waiting socket may be read again. */
export type ScheduleRead = (read: () => void) => void;

export class PacedSocket {
  readonly #socket: Socket;
  readonly #scheduleRead: ScheduleRead;
  /** The stream's original `_read`. */
  readonly #read: (size: number) => void;
  #paced = false;
  #waiting = false;

  constructor(socket: Socket, scheduleRead: ScheduleRead) {
    this.#socket = socket;
    this.#scheduleRead = scheduleRead;
    this.#read = socket._read.bind(socket);
    socket._read = (size) => this.#readOn(size);
  }

  /** Turns waiting for a tick on or off for all further reads. */
  set paced(paced: boolean) {
    this.#paced = paced;
    if (!paced) this.#onTick();
  }

  #readOn(size: number): void {
    if (!this.#paced) {
      this.#read(size);
      return;
    }
    this.#waiting = true;
    this.#scheduleRead(this.#onTick);
  }

  readonly #onTick = (): void => {
    if (!this.#waiting) return;
    this.#waiting = false;
    // Each read takes what the kernel has, whatever the size.
    if (!this.#socket.destroyed) this.#read(0);
  };
}

/**
 * The connection whose bytes are being parsed: undici does not report the connection of an answer.
 */
let reading: PacedSocket | undefined;

/**
 * Returns the connection whose bytes are being parsed, for callers that run on the first bytes of
 * an answer.
 */
export function socketBeingRead(): PacedSocket | undefined {
  return reading;
}

/**
 * The option with which the reader decides when the kernel is read. Undici passes it on but has no
 * type for it.
 */
const FULL_AT_ONE_BYTE = { highWaterMark: 1 };

/**
 * Creates the connections of an undici Agent.
 * @param connectTimeoutMs time limit for establishing one
 */
export function pacedConnector(
  scheduleRead: ScheduleRead,
  connectTimeoutMs: number,
  tls: TlsCertificates = {},
): buildConnector.connector {
  const connect = buildConnector({
    // One stream for each socket: closing it is how the provider learns of a cancel.
    allowH2: false,
    timeout: connectTimeoutMs,
    ...tls,
    ...FULL_AT_ONE_BYTE,
  });
  return (options, callback) =>
    connect(options, (...result) => {
      const [error, socket] = result;
      if (error === null) {
        const paced = new PacedSocket(socket, scheduleRead);
        // Runs before undici's own listener, which parses.
        socket.on('readable', () => (reading = paced));
      }
      callback(...result);
    });
}

/*
 * Connections to a provider whose reads can wait for a tick. Meanwhile the data of a stream
 * collects in the kernel, so that a tick costs one read for each stream and one wake-up for all of
 * them, however many deltas arrived. Knows nothing of HTTP.
 */

import { readSync } from 'node:fs';
import { type Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { buildConnector } from 'undici';

/** Certificates as PEM. */
export interface TlsCertificates {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** Calls `read` when a waiting socket may be read again. */
export type ScheduleRead = (read: () => void) => void;

/** What one read takes at most, in bytes. */
const READ_BYTES = 64 * 1024;
/** Every descriptor is read into it, and what was read is copied at once. */
const readInto = Buffer.allocUnsafe(READ_BYTES);

/**
 * Number of ticks that leave a socket to the event loop after one that found nothing: to read in
 * vain costs five times as much as to read.
 */
const REST_TICKS = 8;

export class PacedSocket {
  readonly #socket: Socket;
  readonly #scheduleRead: ScheduleRead;
  /** The stream's original `_read`. */
  readonly #read: (size: number) => void;
  #paced = false;
  #waiting = false;
  /** Whether `scheduleRead` runs: it calls back at once if nothing waits for ticks now. */
  #scheduling = false;
  /** Ticks until the descriptor is read again. */
  #restTicks = 0;

  constructor(socket: Socket, scheduleRead: ScheduleRead) {
    this.#socket = socket;
    this.#scheduleRead = scheduleRead;
    this.#read = socket._read.bind(socket);
    socket._read = (size) => this.#readOn(size);
  }

  /** Turns waiting for a tick on or off for all further reads. */
  set paced(paced: boolean) {
    this.#paced = paced;
    if (!paced) this.#readWaiting(false);
  }

  #readOn(size: number): void {
    if (!this.#paced) {
      this.#read(size);
      return;
    }
    this.#waiting = true;
    this.#scheduling = true;
    this.#scheduleRead(this.#onTick);
    this.#scheduling = false;
  }

  readonly #onTick = (): void => this.#readWaiting(!this.#scheduling);

  /** @param later whether something may have arrived since the last read */
  #readWaiting(later: boolean): void {
    if (!this.#waiting) return;
    this.#waiting = false;
    if (this.#socket.destroyed || (later && this.#readNow())) return;
    // Each read takes what the kernel has, whatever the size.
    this.#read(0);
  }

  /**
   * Reads the descriptor itself. A socket that the event loop reads stays registered with the
   * kernel after its reading has stopped, and wakes the process for its next bytes, long before the
   * tick.
   * @returns false if nothing has arrived, or the connection has ended: the event loop finds out
   * which
   */
  #readNow(): boolean {
    if (this.#restTicks > 0) {
      this.#restTicks -= 1;
      return false;
    }
    const descriptor = descriptorOf(this.#socket);
    if (descriptor !== undefined) {
      try {
        const bytes = readSync(descriptor, readInto, 0, READ_BYTES, null);
        if (bytes > 0) {
          this.#socket.push(Buffer.from(readInto.subarray(0, bytes)));
          return true;
        }
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') {
          // The kernel reports an error once: a second read would take it for the end.
          this.#socket.destroy(error as Error);
          return true;
        }
      }
    }
    this.#restTicks = REST_TICKS;
    return false;
  }
}

/**
 * Returns the file descriptor of a socket that is not encrypted, or undefined. Node has no public
 * name for it; without it the event loop reads the socket.
 */
function descriptorOf(socket: Socket): number | undefined {
  if (socket instanceof TLSSocket) return undefined;
  const { _handle: handle } = socket as unknown as { readonly _handle?: { readonly fd?: number } | null };
  return handle?.fd !== undefined && handle.fd >= 0 ? handle.fd : undefined;
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

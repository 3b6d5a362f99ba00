/*
 * Connections to a provider whose reads can wait for a tick. Meanwhile the data of a stream
 * collects in the kernel, so that a tick costs one read for each stream and one wake-up for all of
 * them, however many deltas arrived. The event loop still reads encrypted connections, and those
 * that had no bytes lately. Knows nothing of HTTP.
 */

import { readSync } from 'node:fs';
import { type Socket } from 'node:net';
import { buildConnector } from 'undici';

/** Certificates as PEM. */
export interface TlsCertificates {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/**
 * Calls `read` at the next tick.
 * @returns false if reads do not wait for ticks now; `read` is not called then
 */
export type ScheduleRead = (read: () => void) => boolean;

/** Most bytes that one read takes. */
const READ_BYTES = 64 * 1024;
/** Shared by all reads. The bytes are copied out before the next one. */
const readInto = Buffer.allocUnsafe(READ_BYTES);

/**
 * Number of reads due at a tick that are left to the event loop after one that found nothing: that
 * read throws, which costs several times as much as one that finds bytes.
 */
const REST_READS = 8;

export class PacedSocket {
  readonly #socket: Socket;
  readonly #scheduleRead: ScheduleRead;
  /** The stream's original `_read`. */
  readonly #read: (size: number) => void;
  #paced = false;
  #waiting = false;
  /** Reads at a tick that are still left to the event loop. */
  #restReads = 0;

  constructor(socket: Socket, scheduleRead: ScheduleRead) {
    this.#socket = socket;
    this.#scheduleRead = scheduleRead;
    this.#read = socket._read.bind(socket);
    socket._read = (size) => this.#readOn(size);
  }

  /** Turns waiting for a tick on or off for all further reads. */
  set paced(paced: boolean) {
    this.#paced = paced;
    if (!paced && this.#endWait()) this.#read(0);
  }

  #readOn(size: number): void {
    if (this.#paced && this.#scheduleRead(this.#onTick)) this.#waiting = true;
    else this.#read(size);
  }

  readonly #onTick = (): void => {
    // Each read takes what the kernel has, whatever the size.
    if (this.#endWait() && !this.#readNow()) this.#read(0);
  };

  /** @returns whether a read waited, and its socket can still be read */
  #endWait(): boolean {
    const waited = this.#waiting;
    this.#waiting = false;
    // A socket can be destroyed while it waits, and the kernel may reuse its descriptor. A read
    // would then take bytes of another connection. Node sets `destroyed` before it closes the
    // descriptor.
    return waited && !this.#socket.destroyed;
  }

  /**
   * Reads the descriptor itself. A socket that the event loop reads stays registered with the
   * kernel after its reading has stopped, and wakes the process for its next bytes, long before the
   * tick.
   * @returns true if bytes were pushed or the socket was destroyed; false if the event loop has to
   * read: nothing has arrived, the connection has ended, or its descriptor cannot or should not be
   * read now
   */
  #readNow(): boolean {
    if (this.#restReads > 0) {
      this.#restReads -= 1;
      return false;
    }
    const descriptor = descriptorOf(this.#socket);
    if (descriptor === undefined) return false;
    let bytes = 0;
    try {
      bytes = readSync(descriptor, readInto, 0, READ_BYTES, null);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') {
        // The kernel reports an error once: a second read would take it for the end.
        this.#socket.destroy(error as Error);
        return true;
      }
    }
    if (bytes > 0) this.#socket.push(Buffer.from(readInto.subarray(0, bytes)));
    else this.#restReads = REST_READS;
    return bytes > 0;
  }
}

/**
 * Returns the file descriptor of a socket. Undefined for TLS, where it yields encrypted bytes, and
 * where Node exposes none: it has no public name.
 */
function descriptorOf(socket: Socket): number | undefined {
  if ('encrypted' in socket) return undefined;
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

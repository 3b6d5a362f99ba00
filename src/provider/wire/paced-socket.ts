/*
 * Connections to a provider whose reads can wait for a tick. Meanwhile the data of a stream
 * collects in the kernel, so that a tick costs one read for each stream and one wake-up for all of
 * them, however many deltas arrived. Knows nothing of HTTP.
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

/** Calls `read` when a waiting socket may be read again. */
export type ScheduleRead = (read: () => void) => void;

/** Most bytes that one read takes. */
const READ_BYTES = 64 * 1024;
/** Shared by all reads. The bytes are copied out before the next one. */
const readInto = Buffer.allocUnsafe(READ_BYTES);

/**
 * Number of ticks that leave a socket to the event loop after a read that found nothing: that read
 * throws, which costs several times as much as one that finds bytes.
 */
const REST_TICKS = 8;

export class PacedSocket {
  readonly #socket: Socket;
  readonly #scheduleRead: ScheduleRead;
  /** The stream's original `_read`. */
  readonly #read: (size: number) => void;
  #paced = false;
  #waiting = false;
  /** Whether `scheduleRead` runs. It calls back synchronously while reads do not wait for ticks. */
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
    // A socket can be destroyed while it waits, and the kernel may reuse its descriptor. A read
    // would then take bytes of another connection. Node sets `destroyed` before it closes the
    // descriptor.
    if (this.#socket.destroyed || (later && this.#readNow())) return;
    // Each read takes what the kernel has, whatever the size.
    this.#read(0);
  }

  /**
   * Reads the descriptor itself. A socket that the event loop reads stays registered with the
   * kernel after its reading has stopped, and wakes the process for its next bytes, long before the
   * tick.
   * @returns false if the event loop has to read: nothing has arrived, the connection has ended, or
   * its descriptor is not read now
   */
  #readNow(): boolean {
    if (this.#restTicks > 0) {
      this.#restTicks -= 1;
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
    else this.#restTicks = REST_TICKS;
    return bytes > 0;
  }
}

/**
 * Returns the file descriptor of a socket that is not encrypted, or undefined. Node has no public
 * name for it; without it the event loop reads the socket.
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

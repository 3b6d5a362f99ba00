/*
 * Connections to a provider whose reads can wait for a tick. Meanwhile the data of a stream
 * collects in the kernel, so that a tick costs one wake-up and one read for each stream, however
 * many deltas arrived. Once a chunked body has begun, its data is passed from the socket straight
 * to its reader: the HTTP client gets the head and the last chunk, and its parser copies nothing in
 * between.
 */

import { type Socket } from 'node:net';
import { buildConnector } from 'undici';
import { ChunkFraming } from './chunk-framing.js';

/** Certificates as PEM. */
export interface TlsCertificates {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** Calls `read` when a waiting socket may be read again. */
export type ScheduleRead = (read: () => void) => void;

/** A chunked body whose data is passed to `take` without the HTTP client. */
interface DirectBody {
  readonly take: (data: Buffer) => void;
  readonly framing: ChunkFraming;
  /** Whether the HTTP client has everything before the next byte, and that byte begins a chunk. */
  begun: boolean;
}

export class PacedSocket {
  readonly #socket: Socket;
  readonly #scheduleRead: ScheduleRead;
  /** The stream's original methods. */
  readonly #read: (size: number) => void;
  readonly #push: (bytes: Buffer | null) => boolean;
  #paced = false;
  #waiting = false;
  #held = false;
  /** Whether a read was due while the body was held. */
  #missed = false;
  /** What the HTTP client has read last and parses now. */
  #parsed: Buffer | null = null;
  #direct: DirectBody | undefined;

  constructor(socket: Socket, scheduleRead: ScheduleRead) {
    this.#socket = socket;
    this.#scheduleRead = scheduleRead;
    this.#read = socket._read.bind(socket);
    this.#push = socket.push.bind(socket);
    const pull = socket.read.bind(socket) as (size?: number) => Buffer | null;
    socket._read = () => void this.#readOn();
    socket.push = (bytes: Buffer | null) => this.#arrived(bytes);
    socket.read = (size?: number) => this.#pulled(pull(size));
  }

  /** Turns waiting for a tick on or off for all further reads. */
  set paced(paced: boolean) {
    this.#paced = paced;
    if (!paced) this.#onTick();
  }

  /**
   * Passes the data of the chunked body whose head is being parsed to `take`, from the next chunk
   * that begins with a read. The HTTP client passes on everything before.
   */
  passBody(take: (data: Buffer) => void): void {
    const bytes = this.#parsed === null ? undefined : bodyIn(this.#parsed);
    if (bytes === undefined) return;
    this.#direct = { take, framing: new ChunkFraming(), begun: false };
    this.#followParser(bytes, this.#direct);
  }

  /** Ends `passBody`: what arrives from now on is for the HTTP client. */
  leaveBody(): void {
    this.#direct = undefined;
    this.resumeBody();
  }

  /** Stops reading the body. @returns whether the HTTP client must be paused instead */
  pauseBody(): boolean {
    // A paused client reads some bytes twice, so they could not be followed.
    if (this.#direct?.begun !== true) this.#direct = undefined;
    else this.#held = true;
    return !this.#held;
  }

  resumeBody(): void {
    if (!this.#held) return;
    this.#held = false;
    if (!this.#missed) return;
    this.#missed = false;
    this.#readOn();
  }

  /** Takes what the HTTP client reads. */
  #pulled(bytes: Buffer | null): Buffer | null {
    reading = this;
    this.#parsed = bytes;
    if (bytes !== null && this.#direct?.begun === false) this.#followParser(bytes, this.#direct);
    return bytes;
  }

  /** Follows the framing in bytes that the HTTP client reads, until a read ends with a chunk. */
  #followParser(bytes: Buffer, direct: DirectBody): void {
    try {
      if (direct.framing.read(bytes, () => undefined) !== undefined) this.#direct = undefined;
      else direct.begun = direct.framing.atStart;
    } catch {
      // The HTTP client reports it.
      this.#direct = undefined;
    }
  }

  /** Takes what arrives. @returns whether to read on at once, as `push` of a stream does */
  #arrived(bytes: Buffer | null): boolean {
    const direct = this.#direct;
    // Bytes that the HTTP client has not read yet come before these.
    if (direct?.begun !== true || bytes === null || this.#socket.readableLength > 0) {
      if (direct?.begun === true) this.leaveBody();
      return this.#push(bytes);
    }
    try {
      const rest = direct.framing.read(bytes, direct.take);
      if (rest === undefined) return this.#readOn();
      this.leaveBody();
      return this.#push(rest);
    } catch (error) {
      this.#socket.destroy(error as Error);
      return false;
    }
  }

  /** Reads now, or at the tick, or when the body is resumed. @returns whether it was now */
  #readOn(): boolean {
    if (this.#holdsBack()) return false;
    if (!this.#paced) {
      this.#read(0);
      return true;
    }
    this.#waiting = true;
    this.#scheduleRead(this.#onTick);
    // With few streams a tick is at once.
    return !this.#waiting && !this.#missed;
  }

  readonly #onTick = (): void => {
    if (!this.#waiting) return;
    this.#waiting = false;
    if (!this.#socket.destroyed && !this.#holdsBack()) this.#read(0);
  };

  /** Whether this read has to wait for `resumeBody`. */
  #holdsBack(): boolean {
    this.#missed ||= this.#held;
    return this.#held;
  }
}

/** How an answer with a body begins. */
const HEAD_START = 'HTTP/1.1 2';
const HEAD_END = '\r\n\r\n';

/**
 * Returns the bytes behind the head of an answer, or undefined if they do not begin with a head.
 */
function bodyIn(bytes: Buffer): Buffer | undefined {
  if (bytes.toString('latin1', 0, HEAD_START.length) !== HEAD_START) return undefined;
  const end = bytes.indexOf(HEAD_END, 0, 'latin1');
  return end < 0 ? undefined : bytes.subarray(end + HEAD_END.length);
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
      // Before undici reads the socket for the first time.
      if (error === null) new PacedSocket(socket, scheduleRead);
      callback(...result);
    });
}

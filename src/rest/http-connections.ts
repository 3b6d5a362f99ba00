/*
 * Bounds the TCP connections of the main listener: idle HTTP, requests, SSE streams and WebSockets.
 * Over the bound, the longest idle HTTP connection is closed first. If there is none, the new
 * connection gets one 503 and is closed.
 */

import { type Server } from 'node:http';
import { type Socket } from 'node:net';

import { SluiceError } from '../domain/errors.js';
import { systemTime, type Time } from '../domain/time.js';

export interface HttpConnectionsOptions {
  readonly max: number;
  /** Called after each change with the number of connections. */
  readonly onChange?: (connections: number) => void;
  readonly time?: Time;
}

/**
 * Most connections over the bound that may wait for their 503. Further ones are closed without an
 * answer.
 */
const MOST_EXCESS = 100;
/** How long a connection over the bound may take to send its request. */
const EXCESS_MS = 5_000;

export class HttpConnections {
  readonly #options: HttpConnectionsOptions;
  readonly #time: Time;
  readonly #open = new Set<Socket>();
  readonly #excess = new Set<Socket>();
  /**
   * Connections without a request in progress, after at least one answer; the longest idle first.
   */
  readonly #idle = new Set<Socket>();

  constructor(options: HttpConnectionsOptions) {
    this.#options = options;
    this.#time = options.time ?? systemTime;
  }

  get size(): number {
    return this.#open.size;
  }

  /** Starts counting the connections of `server`. */
  watch(server: Server): void {
    server.on('connection', (socket: Socket) => this.#add(socket));
    server.on('request', ({ socket }, response) => {
      this.#idle.delete(socket);
      response.once('close', () => {
        if (this.#open.has(socket)) this.#idle.add(socket);
      });
    });
    server.on('upgrade', ({ socket }) => this.#idle.delete(socket));
  }

  /** Checks whether a connection fits within the bound. @throws SluiceError `overloaded` if not */
  check(socket: Socket): void {
    if (!this.#excess.has(socket)) return;
    if (this.size <= this.#options.max) {
      this.#excess.delete(socket);
      return;
    }
    throw new SluiceError(
      'overloaded',
      'unable to serve this connection; this replica has as many as it may; try again later',
      { retryAfterMs: 5_000 },
    );
  }

  #add(socket: Socket): void {
    this.#open.add(socket);
    socket.once('close', () => this.#remove(socket));
    this.#options.onChange?.(this.size);
    if (this.size <= this.#options.max) return;
    const [idle] = this.#idle;
    if (idle !== undefined) {
      idle.destroy();
      // Node emits 'close' in a later tick. If the connection were counted until then, the next
      // connection would close another one.
      this.#remove(idle);
      return;
    }
    if (this.#excess.size >= MOST_EXCESS) {
      socket.destroy();
      return;
    }
    this.#excess.add(socket);
    const cancel = this.#time.after(EXCESS_MS, () => {
      if (this.#excess.has(socket)) socket.destroy();
    });
    socket.once('close', cancel);
  }

  #remove(socket: Socket): void {
    this.#excess.delete(socket);
    this.#idle.delete(socket);
    if (this.#open.delete(socket)) this.#options.onChange?.(this.size);
  }
}

/*
 * Bounds the TCP connections of the main listener: idle HTTP, requests, SSE streams and WebSockets.
 * Over the bound, the longest idle HTTP connection is closed first. If there is none, the new
 * connection gets one 503 and is closed. Over the bound of its address it gets one 429.
 */

import { type Server } from 'node:http';
import { type Socket } from 'node:net';

import { SluiceError } from '../domain/errors.js';
import { networkOf } from '../domain/network.js';
import { systemTime, type Time } from '../domain/time.js';
import { ConnectionRefusal } from '../turn/connection-limits.js';

export interface HttpConnectionsOptions {
  readonly max: number;
  /** Most of one address; null: no limit. */
  readonly maxPerAddress?: number | null;
  /**
   * Whether this is the address of a proxy, whose connections carry requests of several clients.
   */
  readonly isProxy?: (address: string) => boolean;
  /** Called for each connection above `maxPerAddress`. */
  readonly onRefused?: () => void;
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
  /** The open connections, with what is to be called when they close. */
  readonly #open = new Map<Socket, (() => void) | undefined>();
  readonly #excess = new Set<Socket>();
  readonly #perAddress = new Map<string, number>();
  /** The address that each open connection counts for. */
  readonly #addresses = new WeakMap<Socket, string>();
  /**
   * Connections without a request in progress, after at least one answer; the longest idle first.
   */
  readonly #idle = new Set<Socket>();

  /** The listener of all sockets: one each would add to the memory of an idle connection. */
  readonly #onClose: (this: Socket) => void;

  constructor(options: HttpConnectionsOptions) {
    const remove = (socket: Socket): void => this.#remove(socket);
    this.#onClose = function () {
      remove(this);
    };
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

  /**
   * Checks whether a connection fits within the bounds.
   * @throws SluiceError `overloaded` or `rate_limit_exceeded` if not
   */
  check(socket: Socket): void {
    if (!this.#excess.has(socket)) return;
    const crowded = this.#isCrowded(socket);
    if (this.size <= this.#options.max && !crowded) {
      this.#excess.delete(socket);
      return;
    }
    if (crowded) throw new ConnectionRefusal('address', null);
    throw new SluiceError(
      'overloaded',
      'unable to serve this connection; this replica has as many as it may; try again later',
      { retryAfterMs: 5_000 },
    );
  }

  /**
   * Calls `work` when the connection closes, or now if it has closed. At most one `work` for each
   * connection. A counted connection gets no listener of its own, which would be a tenth of its
   * memory while it is idle.
   */
  whenClosed(socket: Socket, work: () => void): void {
    if (this.#open.has(socket)) this.#open.set(socket, work);
    else if (socket.closed) work();
    // Not counted: the framework accepted it on a further address of the host name.
    else socket.once('close', work);
  }

  #add(socket: Socket): void {
    this.#open.set(socket, undefined);
    socket.on('close', this.#onClose);
    this.#options.onChange?.(this.size);
    this.#countFor(socket);
    const crowded = this.#isCrowded(socket);
    if (crowded) this.#options.onRefused?.();
    if (this.size <= this.#options.max && !crowded) return;
    const [idle] = this.#idle;
    if (idle !== undefined && !crowded) {
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

  #countFor(socket: Socket): void {
    const { maxPerAddress = null, isProxy = () => false } = this.#options;
    const { remoteAddress } = socket;
    if (maxPerAddress === null || remoteAddress === undefined || isProxy(remoteAddress)) return;
    const network = networkOf(remoteAddress);
    this.#addresses.set(socket, network);
    this.#perAddress.set(network, this.#ofNetwork(network) + 1);
  }

  #ofNetwork(network: string): number {
    return this.#perAddress.get(network) ?? 0;
  }

  #isCrowded(socket: Socket): boolean {
    const network = this.#addresses.get(socket);
    return network !== undefined && this.#ofNetwork(network) > (this.#options.maxPerAddress ?? Infinity);
  }

  #remove(socket: Socket): void {
    const network = this.#addresses.get(socket);
    if (network !== undefined) {
      const left = this.#ofNetwork(network) - 1;
      if (left > 0) this.#perAddress.set(network, left);
      else this.#perAddress.delete(network);
      this.#addresses.delete(socket);
    }
    this.#excess.delete(socket);
    this.#idle.delete(socket);
    const work = this.#open.get(socket);
    if (this.#open.delete(socket)) this.#options.onChange?.(this.size);
    work?.();
  }
}

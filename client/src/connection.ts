/*
 * Keeps one connection: opens it, detects a dead network, reconnects, and stops only if a retry
 * cannot help. Knows frames, not responses.
 */

import { type ClientOptions, type ConnectionState, type StateChange, type Transport, type WireEvent } from './api.js';
import { type Environment, type PageNews, type Socket, type SocketEvent } from './environment.js';
import { SluiceError } from './errors.js';
import { call, tokenOf } from './http.js';
import { SseSocket } from './sse-socket.js';

export interface ConnectionOwner {
  /** Called when a new socket is open. Nothing of an earlier socket continues on it. */
  opened(): void;
  received(event: WireEvent): void;
  sent(event: WireEvent): void;
  changed(change: StateChange): void;
  /** Whether a response runs over this connection. */
  busy(): boolean;
}

/** Close codes after which a retry cannot help: binary data, bad UTF-8, policy, too large. */
const FINAL = new Set([1003, 1007, 1008, 1009]);
/** After a connection of this length, the pauses between reconnects start short again. */
const PROVED_AFTER_MS = 5_000;
/** Pause before a credential that could not be fetched is fetched again. */
const RENEW_AGAIN_MS = 5_000;

/** Consecutive failures of a WebSocket, while HTTP works, after which it counts as blocked. */
const BLOCKED_AFTER = 2;

export class Connection {
  state: ConnectionState = 'idle';
  readonly #options: ClientOptions;
  readonly #base: string;
  readonly #environment: Environment;
  readonly #owner: ConnectionOwner;
  #socket: Socket | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #pingTimer: ReturnType<typeof setTimeout> | undefined;
  #drainTimer: ReturnType<typeof setTimeout> | undefined;
  #forgetNews: (() => void) | null = null;
  /** Number of the current attempt. Events of an earlier attempt are dropped. */
  #attempt = 0;
  #failures = 0;
  #openedAt = 0;
  /** From `sluice:draining`: milliseconds over which reconnects are spread. */
  #drainingMs: number | null = null;
  #refusedBefore = false;
  /** Consecutive failures of a WebSocket while HTTP works, not counted after one has opened. */
  #blocked = 0;
  /** Whether a WebSocket has opened since the network changed. */
  #proved = false;
  #pings = 0;

  constructor(options: ClientOptions, base: string, environment: Environment, owner: ConnectionOwner) {
    this.#options = options;
    this.#base = base;
    this.#environment = environment;
    this.#owner = owner;
  }

  get transport(): Transport {
    return this.#blocked < BLOCKED_AFTER ? 'websocket' : 'sse';
  }

  /** Whether the connection is open and accepts new responses. */
  get accepting(): boolean {
    return this.state === 'open' && this.#drainingMs === null;
  }

  open(): void {
    if (this.#forgetNews) return;
    this.#failures = 0;
    this.#openedAt = 0;
    this.#refusedBefore = false;
    this.#forgetNews = this.#environment.onNews((news) => this.#news(news));
    void this.#connect();
  }

  /** @returns false if no socket is open; nothing was sent then */
  send(frame: WireEvent): boolean {
    if (this.state !== 'open') return false;
    this.#socket?.send(JSON.stringify(frame));
    // Listeners must not see the credential.
    this.#owner.sent('token' in frame ? { ...frame, token: '…' } : frame);
    return true;
  }

  close(error: SluiceError | null = null): void {
    this.#attempt++;
    this.#drop();
    clearTimeout(this.#timer);
    this.#forgetNews?.();
    this.#forgetNews = null;
    if (this.state !== 'closed') this.#set('closed', error);
  }

  /** Called when a response has ended: a draining connection without responses reconnects. */
  settle(): void {
    if (this.#drainingMs === null || this.#owner.busy()) return;
    clearTimeout(this.#drainTimer);
    this.#drainTimer = setTimeout(() => {
      if (!this.#owner.busy()) this.#lost(new SluiceError('closed', 'draining', 'The gateway leaves.'), 0);
    }, this.#environment.random() * this.#drainingMs);
  }

  async #connect(): Promise<void> {
    const attempt = ++this.#attempt;
    clearTimeout(this.#timer);
    this.#set(this.#failures === 0 && this.#openedAt === 0 ? 'connecting' : 'reconnecting', null);
    let token: string;
    let socket: Socket;
    try {
      token = await tokenOf(this.#options.token);
      if (attempt !== this.#attempt) return;
    } catch (error) {
      // tokenOf throws nothing else.
      if (attempt === this.#attempt) this.#retry(error as SluiceError);
      return;
    }
    try {
      socket = this.#openSocket(token);
    } catch (cause) {
      const words = 'The credential has characters that a browser cannot send, or the page may not connect there.';
      this.close(new SluiceError('refused', 'connection_impossible', words, { cause }));
      return;
    }
    this.#socket = socket;
    const timeoutMs = this.#options.connectTimeoutMs ?? 10_000;
    const current = (): boolean => this.#socket === socket;
    const failed = (): void => {
      if (!current()) return;
      this.#drop();
      // Neither may be answered: the request for the reason has no time limit of its own.
      this.#timer = setTimeout(() => void this.#connect(), timeoutMs);
      void this.#explain(attempt, token);
    };
    this.#timer = setTimeout(failed, timeoutMs);
    // A proxy may open a WebSocket and pass nothing on, so only a message proves the connection.
    socket.addEventListener('message', (event) => {
      if (!current()) return;
      if (this.state !== 'open') this.#opened();
      this.#receive(event.data);
    });
    socket.addEventListener('close', (event) => {
      if (!current()) return;
      if (this.state === 'open' || (event.code ?? 1006) !== 1006) this.#closed(event);
      else failed();
    });
  }

  #openSocket(token: string): Socket {
    if (this.transport === 'sse') {
      return new SseSocket(async (method, path, what) =>
        call(this.#environment, this.#base, await tokenOf(this.#options.token), method, path, what),
      );
    }
    const protocols = token ? ['sluice.v1', `sluice.bearer.${token}`] : ['sluice.v1'];
    return this.#environment.openSocket(`${this.#base.replace(/^http/, 'ws')}/v1/responses`, protocols);
  }

  #opened(): void {
    clearTimeout(this.#timer);
    this.#openedAt = Date.now();
    this.#refusedBefore = false;
    if (this.transport === 'websocket') {
      this.#blocked = 0;
      this.#proved = true;
    }
    this.#set('open', null);
    this.#listen();
    this.#owner.opened();
  }

  #receive(data: unknown): void {
    this.#listen();
    // The gateway sends JSON text only.
    const event = JSON.parse(String(data)) as WireEvent;
    if (event.type === 'sluice:draining') {
      this.#drainingMs = Number(event['reconnect_after_ms'] ?? 0);
      this.settle();
    } else if (event.type === 'sluice:auth_expiring') void this.#renew();
    this.#owner.received(event);
  }

  /**
   * Sends a new credential, or tries again. Without one the gateway refuses new requests at the
   * expiry, and closes this socket soon after it.
   */
  async #renew(attempt = this.#attempt): Promise<void> {
    if (typeof this.#options.token !== 'function') return;
    const token = await tokenOf(this.#options.token).catch(() => null);
    if (attempt !== this.#attempt) return;
    if (token) this.send({ type: 'sluice:auth', token });
    else setTimeout(() => void this.#renew(attempt), RENEW_AGAIN_MS);
  }

  #closed({ code = 1006, reason = '' }: SocketEvent): void {
    const final = FINAL.has(code);
    const words = final ? 'The gateway ended this connection' : 'The connection was lost';
    const why = reason === '' ? '.' : ` (${reason}).`;
    const error = new SluiceError(final ? 'refused' : 'closed', `closed_${code}`, words + why);
    const spreadMs = this.#drainingMs;
    if (final) this.close(error);
    else this.#lost(error, spreadMs && this.#environment.random() * spreadMs);
  }

  /** Called when an open socket has closed. */
  #lost(error: SluiceError, delayMs: number | null): void {
    this.#drop();
    if (Date.now() - this.#openedAt >= PROVED_AFTER_MS) this.#failures = 0;
    this.#retry(error, delayMs);
  }

  /** Requests the reason of a failed upgrade by HTTP, since browsers do not report it. */
  async #explain(attempt: number, token: string): Promise<void> {
    let error: SluiceError;
    try {
      await call(this.#environment, this.#base, token, 'GET', '/v1/models');
      if (attempt !== this.#attempt) return;
      if (!this.#proved) this.#blocked++;
      error = new SluiceError('refused', 'websocket_blocked', 'The gateway answers, but no WebSocket can be opened.');
    } catch (thrown) {
      // request throws nothing else.
      error = thrown as SluiceError;
    }
    if (attempt !== this.#attempt) return;
    const forbidden = error.status === 401 || error.status === 403;
    // A function can return a new credential in place of an expired one.
    const final = forbidden && (typeof this.#options.token !== 'function' || this.#refusedBefore);
    this.#refusedBefore = forbidden;
    if (final) this.close(error);
    else this.#retry(error, error.retryAfterMs && error.retryAfterMs * (1 + this.#environment.random() / 4));
  }

  #retry(error: SluiceError, delayMs: number | null = null): void {
    const { firstDelayMs = 500, maxDelayMs = 20_000 } = this.#options.reconnect ?? {};
    const ceilingMs = Math.min(maxDelayMs, firstDelayMs * 2 ** Math.min(this.#failures++, 16));
    const retryInMs = Math.round(delayMs ?? this.#environment.random() * ceilingMs);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#connect(), retryInMs);
    this.#set(this.#environment.isOnline() ? 'reconnecting' : 'offline', error, retryInMs);
  }

  #news(news: PageNews): void {
    if (news === 'sleep') {
      // A frozen page cannot answer pings, and browsers do not cache a page with an open socket.
      this.#attempt++;
      clearTimeout(this.#timer);
      this.#drop();
      this.#set('reconnecting', new SluiceError('closed', 'page_hidden', 'The page was left.'));
      return;
    }
    // The network has changed: reconnect now, test an open socket, and try WebSockets again.
    this.#proved = false;
    const blocked = this.#blocked;
    if (!this.#owner.busy()) this.#blocked = Math.min(blocked, BLOCKED_AFTER - 1);
    if (this.state !== 'open') {
      if (this.#socket === null && this.#environment.isOnline()) void this.#connect();
    } else if (this.#blocked === blocked) this.#ping();
    else this.#lost(new SluiceError('closed', 'network', 'Trying WebSockets.'), 0);
  }

  /** Restarts the silence timer after a message. */
  #listen(): void {
    clearTimeout(this.#pingTimer);
    const { busyAfterMs = 5_000, idleAfterMs = 25_000 } = this.#options.ping ?? {};
    this.#pingTimer = setTimeout(() => this.#ping(), this.#owner.busy() ? busyAfterMs : idleAfterMs);
  }

  #ping(): void {
    const held = this.#socket?.bufferedAmount ?? 0;
    if (!this.send({ type: 'sluice:ping', id: String(++this.#pings) })) return;
    clearTimeout(this.#pingTimer);
    this.#pingTimer = setTimeout(() => {
      // A ping waits behind what a slow network has not taken yet. If it took some, it is alive.
      if ((this.#socket?.bufferedAmount ?? 0) < held) this.#ping();
      else this.#lost(new SluiceError('closed', 'network', 'The network went silent.'), 0);
    }, this.#options.ping?.timeoutMs ?? 5_000);
  }

  #drop(): void {
    clearTimeout(this.#pingTimer);
    clearTimeout(this.#drainTimer);
    this.#drainingMs = null;
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(1000);
  }

  #set(state: ConnectionState, error: SluiceError | null, retryInMs: number | null = null): void {
    this.state = state;
    this.#owner.changed({ state, error, retryInMs });
  }
}

/*
 * One connection that stays: it opens, notices a dead network, reconnects, and stops only where trying again can't help.
 * Knows frames, not responses: what runs over it is its owner's business.
 */

import { type ClientOptions, type ConnectionState, type StateChange, type WireEvent } from './api.js';
import { type Environment, type Socket, type SocketEvent } from './environment.js';
import { SluiceError } from './errors.js';
import { request, tokenOf } from './http.js';

export interface ConnectionOwner {
  /** A fresh socket is open: nothing of an earlier one goes on by itself. */
  opened(): void;
  received(event: WireEvent): void;
  changed(change: StateChange): void;
  /** Does something run over this connection? */
  busy(): boolean;
}

const WORDS: Record<number, string> = {
  1003: 'The gateway does not take binary frames.',
  1007: 'The gateway could not read a frame.',
  1008: 'The gateway ended this connection: the credential was revoked, or the limits of use were passed.',
  1009: 'A message was too big for the gateway.',
};
/** A connection that lived this long has proved that the way is open: the next failure starts with short pauses again. */
const PROVED_AFTER_MS = 5_000;

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
  #forgetWake: (() => void) | null = null;
  /** Counts attempts, so that what belongs to an earlier one is recognised and dropped. */
  #attempt = 0;
  #failures = 0;
  #openedAt = 0;
  /** Set by `sluice:draining`: how long the way back may be spread over. */
  #drainingMs: number | null = null;
  #refusedBefore = false;
  #pings = 0;

  constructor(options: ClientOptions, base: string, environment: Environment, owner: ConnectionOwner) {
    this.#options = options;
    this.#base = base;
    this.#environment = environment;
    this.#owner = owner;
  }

  /** Open, and the gateway takes new work on it. */
  get accepting(): boolean {
    return this.state === 'open' && this.#drainingMs === null;
  }

  open(): void {
    if (this.state !== 'idle' && this.state !== 'closed') return;
    this.#failures = 0;
    this.#openedAt = 0;
    this.#refusedBefore = false;
    this.#forgetWake = this.#environment.onWake(() => this.#wake());
    void this.#connect();
  }

  /** False: there is no open socket, nothing was sent. */
  send(frame: WireEvent): boolean {
    if (this.state !== 'open' || this.#socket === null) return false;
    this.#socket.send(JSON.stringify(frame));
    return true;
  }

  close(error: SluiceError | null = null): void {
    this.#attempt++;
    this.#drop(1000);
    clearTimeout(this.#timer);
    this.#forgetWake?.();
    this.#forgetWake = null;
    if (this.state !== 'closed') this.#set('closed', error);
  }

  /** Something that kept a draining connection here has ended. */
  settle(): void {
    if (this.#drainingMs === null || this.#drainTimer !== undefined || this.#owner.busy()) return;
    this.#drainTimer = setTimeout(() => {
      this.#drainTimer = undefined;
      if (!this.#owner.busy()) this.#lost(new SluiceError('closed', 'draining', 'The gateway is going away.'), 0);
    }, this.#environment.random() * this.#drainingMs);
  }

  async #connect(): Promise<void> {
    const attempt = ++this.#attempt;
    clearTimeout(this.#timer);
    this.#set(this.#failures === 0 && this.#openedAt === 0 ? 'connecting' : 'reconnecting', null);
    let token = '';
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
      const protocols = token === '' ? ['sluice.v1'] : ['sluice.v1', `sluice.bearer.${token}`];
      socket = this.#environment.openSocket(`${this.#base.replace(/^http/, 'ws')}/v1/responses`, protocols);
    } catch (cause) {
      const words =
        'The connection could not be made: the credential has characters that a browser cannot send, or the page may not connect there.';
      this.close(new SluiceError('refused', 'connection_impossible', words, { cause }));
      return;
    }
    this.#socket = socket;
    const current = (): boolean => attempt === this.#attempt && this.#socket === socket;
    const failed = (): void => {
      if (!current()) return;
      this.#drop(1000);
      void this.#explain(attempt, token);
    };
    this.#timer = setTimeout(failed, this.#options.connectTimeoutMs ?? 10_000);
    socket.addEventListener('open', () => {
      if (!current()) return;
      clearTimeout(this.#timer);
      this.#openedAt = Date.now();
      this.#refusedBefore = false;
      this.#set('open', null);
      this.#listen();
      this.#owner.opened();
    });
    socket.addEventListener('message', (event) => {
      if (current()) this.#receive(event.data);
    });
    socket.addEventListener('close', (event) => {
      if (!current()) return;
      if (this.state === 'open') this.#closed(event);
      else failed();
    });
  }

  #receive(data: unknown): void {
    this.#listen();
    // The gateway sends JSON text only.
    const event = JSON.parse(String(data)) as WireEvent;
    if (event.type === 'sluice:draining') {
      this.#drainingMs = Number(event['reconnect_after_ms'] ?? 0);
      this.settle();
    }
    this.#owner.received(event);
  }

  #closed({ code = 1006, reason = '' }: SocketEvent): void {
    const words = WORDS[code];
    if (words !== undefined) {
      this.close(new SluiceError('refused', `closed_${code}`, reason === '' ? words : `${words} (${reason})`));
    } else {
      const spreadMs = this.#drainingMs;
      const error = new SluiceError(
        'closed',
        `closed_${code}`,
        reason === '' ? 'The connection was lost.' : `The connection was lost (${reason}).`,
      );
      this.#lost(error, spreadMs === null ? null : this.#environment.random() * spreadMs);
    }
  }

  /** An open socket is no more. */
  #lost(error: SluiceError, delayMs: number | null): void {
    this.#drop(1000);
    if (Date.now() - this.#openedAt >= PROVED_AFTER_MS) this.#failures = 0;
    this.#retry(error, delayMs);
  }

  /** A browser does not say why an upgrade failed; the gateway does, when it is asked by HTTP. */
  async #explain(attempt: number, token: string): Promise<void> {
    let error: SluiceError;
    try {
      await request(this.#environment, this.#base, token, 'GET', '/v1/models');
      error = new SluiceError(
        'refused',
        'websocket_blocked',
        'The gateway answers, but no WebSocket to it can be opened from here.',
      );
    } catch (thrown) {
      // request throws nothing else.
      error = thrown as SluiceError;
    }
    if (attempt !== this.#attempt) return;
    const forbidden = error.status === 401 || error.status === 403;
    // A function may hand out a fresh credential in place of one that has just run out.
    const again = forbidden && typeof this.#options.token === 'function' && !this.#refusedBefore;
    this.#refusedBefore = forbidden;
    if (forbidden && !again) this.close(error);
    else
      this.#retry(
        error,
        error.retryAfterMs === null ? null : error.retryAfterMs * (1 + this.#environment.random() / 4),
      );
  }

  #retry(error: SluiceError, delayMs: number | null = null): void {
    const { firstDelayMs = 500, maxDelayMs = 20_000 } = this.#options.reconnect ?? {};
    const ceilingMs = Math.min(maxDelayMs, firstDelayMs * 2 ** Math.min(this.#failures++, 16));
    const retryInMs = Math.round(delayMs ?? this.#environment.random() * ceilingMs);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#connect(), retryInMs);
    this.#set(this.#environment.isOnline() ? 'reconnecting' : 'offline', error, retryInMs);
  }

  /** The network changed or the tab is back: waiting makes no sense any more, and an open socket may be dead. */
  #wake(): void {
    if (this.state === 'open') this.#ping();
    else if (this.#socket === null && this.state !== 'closed' && this.#environment.isOnline()) void this.#connect();
  }

  /** Something was heard: the next test of the network is that far away again. */
  #listen(): void {
    clearTimeout(this.#pingTimer);
    const { busyAfterMs = 5_000, idleAfterMs = 25_000 } = this.#options.ping ?? {};
    this.#pingTimer = setTimeout(() => this.#ping(), this.#owner.busy() ? busyAfterMs : idleAfterMs);
  }

  #ping(): void {
    if (!this.send({ type: 'sluice:ping', id: String(++this.#pings) })) return;
    clearTimeout(this.#pingTimer);
    this.#pingTimer = setTimeout(
      () => this.#lost(new SluiceError('closed', 'network', 'The network went silent.'), 0),
      this.#options.ping?.timeoutMs ?? 5_000,
    );
  }

  #drop(code: number): void {
    clearTimeout(this.#pingTimer);
    clearTimeout(this.#drainTimer);
    this.#drainTimer = undefined;
    this.#drainingMs = null;
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(code);
  }

  #set(state: ConnectionState, error: SluiceError | null, retryInMs: number | null = null): void {
    this.state = state;
    this.#owner.changed({ state, error, retryInMs });
  }
}

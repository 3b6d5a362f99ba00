/*
 * One open socket and the principal it acts for: what it sends, whether it is read, and how it
 * ends. Knows no frames, lanes or responses.
 */

import { newId } from '../domain/ids.js';
import { type Principal } from '../domain/principal.js';
import { sleep, type Time } from '../domain/time.js';
import { type Log } from '../observability/log.js';
import { type Metrics } from '../observability/metrics.js';
import { CLOSE_CODES, type CloseCode } from '../protocol/socket/close-codes.js';
import { type ResumePoint } from '../protocol/socket/resume-query.js';
import { encodeSluiceEvent, type SluiceEvent } from '../protocol/socket/server-events.js';
import { type ClientSocket } from './client-socket.js';
import { type FlushRound } from './flush-round.js';
import { Outbound, type OutboundOptions } from './outbound.js';
import { type SocketSettings } from './settings.js';

/** What the client requested with the upgrade. */
export interface Handshake {
  readonly principal: Principal;
  /** Address of the client, as far as the proxies in front are trusted. */
  readonly address: string | null;
  /** Whether snapshots may be sent from the start: by the subprotocol or `?snapshots=1`. */
  readonly snapshots: boolean;
  readonly resume: readonly ResumePoint[];
  readonly cancelOnDisconnect: boolean;
  /** W3C trace context of the upgrade, for turns without one. */
  readonly traceparent?: string | undefined;
  /** The caller's own id of the upgrade, for the log lines of turns without one. */
  readonly clientRequestId?: string | undefined;
}

export interface ConnectionOptions {
  readonly settings: SocketSettings;
  readonly metrics: Metrics;
  readonly logger: Pick<Log, 'warn'>;
  readonly time: Time;
  readonly round: FlushRound;
}

/** Callbacks for events of the outgoing side. */
export type OutboundEvents = Pick<OutboundOptions, 'onFull' | 'onBehind'>;

/** How often a socket that waits to close is checked, in milliseconds. */
const CHECK_EVERY_MS = 10;
/** How long a close may take until the socket is destroyed, in milliseconds. */
const TERMINATE_AFTER_MS = 5_000;
/**
 * Pause after each read that brings frames after the close frame, in milliseconds. A read takes at
 * most 64 KiB, so at most about 3 MB a second are read.
 */
const DROP_PAUSE_MS = 20;

export class ClientConnection {
  principal: Principal;
  /**
   * Whether the client opted in to events of Sluice, by the upgrade or by a frame. Other clients
   * receive only events that their own frames requested.
   */
  extended = false;
  readonly #socket: ClientSocket;
  readonly #options: ConnectionOptions;
  readonly #events: OutboundEvents;
  /** Created when something is first sent, so that an idle connection costs little. */
  #outbound: Outbound | undefined;
  #id: string | undefined;
  #reading = true;
  #ended = false;
  #sentAway = false;
  /** Whether reading pauses for `DROP_PAUSE_MS`. */
  #dropping = false;

  constructor(socket: ClientSocket, principal: Principal, options: ConnectionOptions, events: OutboundEvents) {
    this.#socket = socket;
    this.#options = options;
    this.#events = events;
    this.principal = principal;
  }

  /** Created when first read, so that an idle connection costs little. */
  get id(): string {
    this.#id ??= newId('conn', this.#options.time);
    return this.#id;
  }

  get outbound(): Outbound {
    if (this.#outbound === undefined) {
      const { settings, time, round } = this.#options;
      this.#outbound = new Outbound(this.#socket, {
        onFull: (full) => this.#events.onFull(full),
        onBehind: (following, events) => this.#events.onBehind(following, events),
        bufferBytes: settings.outboundBufferBytes,
        slowReaderTimeoutMs: settings.slowReaderTimeoutMs,
        time,
        round,
        onStuck: () => this.#closeSlowReader(),
      });
      if (this.#ended) this.#outbound.close();
    }
    return this.#outbound;
  }

  /** Whether events at hand or written bytes have not been handed to the network yet. */
  get pending(): boolean {
    return this.#outbound?.pending ?? (this.#socket.open && this.#socket.bufferedAmount > 0);
  }

  /** Whether the socket is gone. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Whether the gateway closed the socket with 1012: its client connects again and resumes. */
  get sentAway(): boolean {
    return this.#sentAway;
  }

  /** Whether frames are accepted: false after the first close frame. */
  get open(): boolean {
    return this.#socket.open;
  }

  /** Whether frames are read from the socket. Pongs are not read either while they are not. */
  get reading(): boolean {
    return this.#reading;
  }

  set reading(reading: boolean) {
    // While the socket closes, the peer's close frame must be read.
    if (!this.#socket.open) return;
    this.#reading = reading;
    if (reading) this.#socket.resume();
    else this.#socket.pause();
  }

  /** Sends the greeting, if the client opted in. */
  hello(): void {
    if (!this.extended) return;
    const { heartbeatIntervalMs, maxMessageBytes } = this.#options.settings;
    this.sendEvent({
      type: 'sluice:hello',
      connection_id: this.id,
      heartbeat_ms: heartbeatIntervalMs,
      max_message_bytes: maxMessageBytes,
    });
  }

  /** Sends an event that no frame requested, if the client opted in to such events. */
  notify(event: SluiceEvent): void {
    if (this.extended) this.sendEvent(event);
  }

  /** Sends the answer to a frame. */
  sendEvent(event: SluiceEvent): void {
    this.outbound.send(encodeSluiceEvent(event));
  }

  ping(): void {
    if (this.#socket.open) this.#socket.ping();
  }

  close(code: CloseCode, reason: string): void {
    if (!this.#socket.open) return;
    this.reading = true;
    this.#sentAway = code === CLOSE_CODES.serviceRestart;
    this.#socket.close(code, reason);
    // The close frame queues behind unsent data. A peer that does not read would keep the socket
    // open, so the socket is destroyed after a while.
    this.#options.time.after(TERMINATE_AFTER_MS, () => this.#socket.terminate());
  }

  /**
   * Drops a frame that arrived after the close frame. The peer's own close frame can be behind
   * megabytes of such frames. Parsing them as fast as they arrive would block the event loop until
   * the socket ends, so reading pauses after each read.
   */
  drop(): void {
    if (this.#dropping || this.#ended) return;
    this.#dropping = true;
    this.#socket.pause();
    this.#options.time.after(DROP_PAUSE_MS, () => {
      this.#dropping = false;
      if (!this.#ended) this.#socket.resume();
    });
  }

  /**
   * Closes when the pending events were handed to the socket, at the latest after `withinMs`. A
   * close frame must not overtake the end of an answer.
   */
  async leave(code: CloseCode, reason: string, withinMs: number): Promise<void> {
    const { time } = this.#options;
    const until = time.now() + withinMs;
    this.#outbound?.flush();
    // The end of an answer starts the create that waits behind it in its lane, and a drain refuses
    // that create in the next round. Wait one round, so that the error precedes the close frame.
    await new Promise<void>((resolve) => time.soon(resolve));
    while (this.#outbound?.behind === true && !this.#ended && time.now() < until) await sleep(time, CHECK_EVERY_MS);
    this.close(code, reason);
  }

  /** Destroys the socket without a close frame. */
  terminate(): void {
    this.#socket.terminate();
  }

  /** Stops all sending and following. Called when the socket is closed. */
  end(): void {
    this.#ended = true;
    this.#outbound?.close();
  }

  #closeSlowReader(): void {
    const { metrics, logger } = this.#options;
    metrics.of.slow_readers_total.inc();
    logger.warn({ connection_id: this.id }, 'slow reader closed');
    this.close(CLOSE_CODES.tryAgainLater, 'slow consumer');
  }
}

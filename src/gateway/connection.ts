/*
 * One open socket: its lanes, what it follows, and its end. Frames come in order and are answered in order; text of responses comes
 * from the log only. Knows turns by what it may ask of them, never how they run.
 */

import { setImmediate as nextTick, setTimeout as delay } from 'node:timers/promises';
import { type WebSocket } from 'ws';
import { type Authenticator } from '../auth/authenticator.js';
import { asSluiceError, type ErrorCode, SluiceError } from '../domain/errors.js';
import { withStreamId } from '../domain/event.js';
import { newId } from '../domain/ids.js';
import { type Principal } from '../domain/principal.js';
import { type Log } from '../observability/log.js';
import { type Metrics } from '../observability/metrics.js';
import { CLOSE_CODES, type CloseCode } from '../protocol/close-codes.js';
import { type ResumePoint } from '../protocol/resume-query.js';
import { encodeError, encodeSluiceEvent, type SluiceEvent } from '../protocol/server-events.js';
import { type ConversationClaim } from '../state/conversation-claim.js';
import { type Viewer } from '../state/viewer.js';
import { type Conversations } from '../turn/conversations.js';
import { type ResponseReader, responseExpired } from '../turn/response-reader.js';
import { patiently } from '../turn/patience.js';
import { type TurnReport } from '../turn/report.js';
import { type TurnService } from '../turn/turn.service.js';
import { Lane } from './lane.js';
import { type Following, Outbound } from './outbound.js';
import { type SocketSettings } from './settings.js';
import { remember, Subscriptions } from './subscriptions.js';

/** What a connection may ask of the rest of the gateway. */
export abstract class ConnectionParts {
  abstract readonly turns: TurnService;
  abstract readonly reader: ResponseReader;
  abstract readonly conversations: Conversations;
  abstract readonly claim: ConversationClaim;
  abstract readonly report: TurnReport;
  abstract readonly authenticator: Authenticator;
  abstract readonly settings: SocketSettings;
  abstract readonly metrics: Metrics;
  abstract readonly log: Log;
}

/** What the upgrade said. */
export interface Handshake {
  readonly principal: Principal;
  /** Snapshots may be sent from the start: the subprotocol or `?snapshots=1` said so. */
  readonly snapshots: boolean;
  readonly resume: readonly ResumePoint[];
  readonly cancelOnDisconnect: boolean;
  /** W3C's trace context of the upgrade, for turns that bring none of their own. */
  readonly traceparent?: string | undefined;
}

/** A replay of more events than this is told by a snapshot, where the connection knows them. */
const LONG_REPLAY_EVENTS = 256;

export class Connection {
  readonly id = newId('conn');
  readonly parts: ConnectionParts;
  readonly openedAtMs = Date.now();
  readonly outbound: Outbound;
  principal: Principal;
  /** Snapshots may be sent. */
  snapshots: boolean;
  /** Since when (Unix milliseconds) a ping is unanswered; null: none is. */
  pingedAtMs: number | null = null;
  nextPingAtMs = 0;
  expiryTold = false;
  readonly #socket: WebSocket;
  readonly traceparent: string | undefined;
  readonly #cancelOnDisconnect: boolean;
  readonly #defaultLane = new Lane();
  #namedLanes: Map<string, Lane> | undefined;
  #subscriptions: Subscriptions | undefined;
  #created: Set<string> | undefined;
  #inFlight = 0;
  #waits = 0;
  #refusals = 0;
  #refusedAtMs = 0;
  #closed = false;

  constructor(socket: WebSocket, handshake: Handshake, parts: ConnectionParts) {
    this.#socket = socket;
    this.parts = parts;
    this.principal = handshake.principal;
    this.snapshots = handshake.snapshots;
    this.#cancelOnDisconnect = handshake.cancelOnDisconnect;
    this.traceparent = handshake.traceparent;
    this.outbound = new Outbound(socket, {
      bufferBytes: parts.settings.outboundBufferBytes,
      slowReaderTimeoutMs: parts.settings.slowReaderTimeoutMs,
      onStuck: () => this.#giveUpSlowReader(),
      onBehind: (following, events) => this.#moveOn(following, events),
    });
  }

  get closed(): boolean {
    return this.#closed;
  }

  hello(): void {
    const { heartbeatIntervalMs, maxMessageBytes } = this.parts.settings;
    this.tell({
      type: 'sluice:hello',
      connection_id: this.id,
      heartbeat_ms: heartbeatIntervalMs,
      max_message_bytes: maxMessageBytes,
    });
  }

  tell(event: SluiceEvent): void {
    this.outbound.send(encodeSluiceEvent(event));
  }

  refuse(error: SluiceError, streamId?: string): void {
    this.parts.metrics.of.refusals_total.inc({ code: error.code });
    if (error.code === 'server_error') {
      this.parts.log.error({ connection_id: this.id, err: error }, 'unable to serve a frame');
    }
    this.outbound.send(encodeError(error, streamId));
  }

  /** A `response.create` that became no response: counted as a turn that was refused. */
  refuseCreate(error: SluiceError, streamId: string | undefined, requestId: string, startedAt: number): void {
    const durationMs = Math.round(performance.now() - startedAt);
    this.parts.report.refused({ requestId, method: 'WS', endpoint: 'ws', caller: this.principal, durationMs, error });
    this.outbound.send(encodeError(error, streamId));
  }

  /** The lane of that name, where there is one. */
  knownLane(streamId: string | undefined): Lane | undefined {
    return streamId === undefined ? this.#defaultLane : this.#namedLanes?.get(streamId);
  }

  /** Is a replay of so many events better told by a snapshot, and may it be? */
  longReplay(events: number): boolean {
    return this.snapshots && events > LONG_REPLAY_EVENTS;
  }

  /** A new credential of the same owner. */
  renewCredential(principal: Principal): void {
    this.principal = principal;
    this.expiryTold = false;
  }

  /** The conversations it watches; made when the first is. */
  get subscriptions(): Subscriptions {
    this.#subscriptions ??= new Subscriptions(this, this.parts);
    return this.#subscriptions;
  }

  /** Remembers a response as this connection's own: its lane tells it, so its subscriptions don't. */
  own(responseId: string): void {
    this.#created ??= new Set();
    remember(this.#created, responseId);
  }

  owns(responseId: string): boolean {
    return this.#created?.has(responseId) ?? false;
  }

  /**
   * A connection that sends nothing but nonsense, or guesses, is closed: 60 refused frames at once, or more than one a second for long.
   * What is refused for reasons of others does not count.
   */
  countRefusal(error: SluiceError): void {
    if (error.status >= 500 || NOT_ITS_OWN.has(error.code)) return;
    const now = Date.now();
    this.#refusals = Math.max(0, this.#refusals - (now - this.#refusedAtMs) / 1_000) + 1;
    this.#refusedAtMs = now;
    if (this.#refusals > MOST_REFUSALS) this.close(CLOSE_CODES.policy, 'too many refused messages');
  }

  /** The lane of that name, made where there is none yet. @throws SluiceError `too_many_lanes` */
  lane(streamId: string | undefined): Lane {
    if (streamId === undefined) return this.#defaultLane;
    this.#namedLanes ??= new Map();
    let lane = this.#namedLanes.get(streamId);
    if (lane === undefined) {
      const { maxLanes } = this.parts.settings;
      if (this.#namedLanes.size >= maxLanes) {
        throw new SluiceError(
          'too_many_lanes',
          `unable to open another lane; a connection has at most ${maxLanes}, and a lane counts until the socket closes; use one of them`,
          { param: 'stream_id' },
        );
      }
      lane = new Lane();
      this.#namedLanes.set(streamId, lane);
    }
    return lane;
  }

  /** Counts a response that was asked for. @throws SluiceError `too_many_responses` */
  admit(): void {
    const { maxResponsesInFlight } = this.parts.settings;
    if (this.#inFlight >= maxResponsesInFlight) {
      throw new SluiceError(
        'too_many_responses',
        `unable to start another response; ${maxResponsesInFlight} of this connection run or wait already; wait for one to end`,
        { retryAfterMs: 1_000 },
      );
    }
    this.#inFlight += 1;
  }

  release(): void {
    this.#inFlight -= 1;
  }

  /** @throws SluiceError `too_many_responses`: it follows as many as a connection may */
  checkRoomToFollow(): void {
    if (this.outbound.followings.size >= MOST_FOLLOWED) throw tooMany('follow another response');
  }

  /** Waits for something on the client's behalf; of that, too, a connection has only so much. @throws SluiceError `too_many_responses` */
  async waiting<T>(work: () => Promise<T>): Promise<T> {
    if (this.#waits >= MOST_FOLLOWED) throw tooMany('wait for another response');
    this.#waits += 1;
    try {
      return await work();
    } finally {
      this.#waits -= 1;
    }
  }

  /** Follows a response in a lane from after event `after`; resolves when it was told to its end. Throws like `ResponseReader.open`. */
  async followToEnd(responseId: string, after: number, streamId: string | undefined): Promise<void> {
    // The turn runs whether or not its log can be read just now: whoever asked for it waits rather than loses it.
    const viewer = await patiently(() => this.view(responseId, after), { wanted: () => !this.#closed });
    if (viewer === undefined) return;
    if ((await this.outbound.follow(responseId, viewer, streamId).end) === 'lost') throw responseExpired();
  }

  /** A viewer for this connection; undefined: the connection closed meanwhile. Throws like `ResponseReader.open`. */
  async view(responseId: string, after: number): Promise<Viewer | undefined> {
    const viewer = await this.parts.reader.open(this.principal, responseId, after, this.outbound.wake);
    if (!this.#closed) return viewer;
    viewer.close();
    return undefined;
  }

  /**
   * Sends the part of a response that was told already; resolves to the number to go on after, or to `ended`: its log is gone and the
   * terminal was sent too. Throws like `ResponseReader.snapshot`. @param wanted false by the time it is read: it is not sent
   */
  async sendSnapshot(
    responseId: string,
    streamId: string | undefined,
    wanted: () => boolean = () => true,
  ): Promise<number | 'ended'> {
    const { response, sequence, terminal } = await this.parts.reader.snapshot(this.principal, responseId);
    if (!wanted()) return sequence;
    this.parts.metrics.of.snapshots_total.inc();
    this.tell({
      type: 'sluice:snapshot',
      response_id: responseId,
      sequence_number: sequence,
      response,
      stream_id: streamId,
    });
    if (terminal === null) return sequence;
    this.outbound.send(streamId === undefined ? terminal.json : withStreamId(terminal.json, streamId));
    return 'ended';
  }

  close(code: CloseCode, reason: string): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    // The peer's answer to the goodbye must be read.
    this.#socket.resume();
    this.#socket.close(code, reason);
    // close() queues behind data: a peer that does not read must not keep the socket.
    setTimeout(() => this.#socket.terminate(), TERMINATE_AFTER_MS).unref();
  }

  /** Closes after what is at hand for it was handed over, or after `withinMs`: a goodbye must not overtake the end of an answer. */
  async leave(code: CloseCode, reason: string, withinMs: number): Promise<void> {
    const until = Date.now() + withinMs;
    this.outbound.flush();
    // What waited in a lane for an answer's end is refused in the tick after it.
    await nextTick();
    while (this.outbound.behind && !this.#closed && Date.now() < until) await delay(LOOK_EVERY_MS);
    this.close(code, reason);
  }

  terminate(): void {
    this.#socket.terminate();
  }

  ping(): void {
    if (this.#socket.readyState === this.#socket.OPEN) this.#socket.ping();
  }

  /** The socket is gone. Turns go on, unless this connection asked otherwise. */
  ended(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#cancelOnDisconnect) {
      for (const lane of [this.#defaultLane, ...(this.#namedLanes?.values() ?? [])]) {
        for (const task of lane.tasks) task.cancel();
      }
    }
    this.#subscriptions?.close();
    this.outbound.close();
  }

  #giveUpSlowReader(): void {
    this.parts.metrics.of.slow_readers_total.inc();
    this.parts.log.warn({ connection_id: this.id }, 'closed a connection that does not read');
    this.close(CLOSE_CODES.tryAgainLater, 'slow consumer');
  }

  /** Moves a viewer that is far behind on by a snapshot. False: this connection does not know snapshots. */
  #moveOn(following: Following, events: number): boolean {
    if (!this.longReplay(events)) return false;
    const { responseId, streamId, viewer } = following;
    // Meanwhile the client may have resumed it elsewhere, or let it go.
    const current = (): boolean =>
      following.viewer === viewer && this.outbound.followings.get(responseId) === following;
    const goOn = (): void => {
      if (!current()) return;
      following.paused = false;
      this.outbound.wake();
    };
    this.sendSnapshot(responseId, streamId, current).then(
      (sequence) => {
        if (sequence !== 'ended') viewer.skipTo(sequence);
        else if (current()) this.outbound.unfollow(following);
        goOn();
      },
      (thrown: unknown) => {
        if (asSluiceError(thrown).code === 'state_unavailable') setTimeout(goOn, RETRY_SNAPSHOT_MS);
        else if (current()) this.outbound.unfollow(following, 'lost');
      },
    );
    return true;
  }
}

const NOT_ITS_OWN: ReadonlySet<ErrorCode> = new Set([
  'rate_limit_exceeded',
  'conversation_busy',
  'response_still_running',
]);
const MOST_FOLLOWED = 64;
const MOST_REFUSALS = 60;
const RETRY_SNAPSHOT_MS = 250;
const LOOK_EVERY_MS = 10;
const TERMINATE_AFTER_MS = 5_000;

function tooMany(what: string): SluiceError {
  return new SluiceError(
    'too_many_responses',
    `unable to ${what}; this connection has ${MOST_FOLLOWED} already; wait for one to end`,
    { retryAfterMs: 1_000 },
  );
}

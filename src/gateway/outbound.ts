/*
 * Sends on one socket: the events of followed responses, from their viewers' cursors, and the
 * connection's own events. Queues nothing: while the socket is full its cursors wait, and a socket
 * without progress is reported as stuck.
 */

import { withStreamId } from '../domain/event.js';
import { type Time } from '../domain/time.js';
import { type Viewer } from '../state/follow/viewer.js';
import { type ClientSocket } from './client-socket.js';
import { type Flushable, type FlushRound } from './flush-round.js';
import { type FollowEnd, Following } from './following/following.js';
import { textFrame } from './raw-socket.js';

export interface OutboundOptions {
  readonly bufferBytes: number;
  readonly slowReaderTimeoutMs: number;
  readonly time: Time;
  readonly round: FlushRound;
  /** Called when the socket has taken nothing for `slowReaderTimeoutMs`. */
  readonly onStuck: () => void;
  /**
   * Called with true when the socket holds `bufferBytes`, and with false when it has drained to
   * half of them.
   */
  readonly onFull: (full: boolean) => void;
  /**
   * Called when a viewer is this many events behind. Return true to take over: the following stays
   * paused until the handler resumes it.
   */
  readonly onBehind: (following: Following, events: number) => boolean;
}

/** Most bytes handed to the socket in one round. Other connections are served after it. */
const SLICE_BYTES = 256 * 1_024;
/** Most events taken from a viewer at once. */
const EVENTS_AT_ONCE = 64;
/** How often a full socket is checked, in milliseconds. */
const CHECK_EVERY_MS = 50;

export class Outbound implements Flushable {
  readonly #socket: ClientSocket;
  readonly #options: OutboundOptions;
  readonly #followings = new Map<string, Following>();
  /** Callers of `whenRoom`, oldest first. Created with the first one. */
  #waiting: Set<() => void> | undefined;
  /** Set while the socket holds more than it may. */
  #stopChecking: (() => void) | undefined;
  /** Bytes the socket held at the last check, plus those sent since. */
  #buffered = 0;
  #heldAtLastCall = 0;
  #closed = false;
  wokenFor = -1;

  constructor(socket: ClientSocket, options: OutboundOptions) {
    this.#socket = socket;
    this.#options = options;
  }

  get followings(): ReadonlyMap<string, Following> {
    return this.#followings;
  }

  /** Whether the socket holds more than it may: its peer does not read, or not fast enough. */
  get full(): boolean {
    return this.#stopChecking !== undefined;
  }

  /**
   * Whether the peer has read anything since the last call. Always true while the socket is full:
   * the slow-reader timeout decides then.
   */
  progressed(): boolean {
    const held = this.#socket.bufferedAmount;
    const progressed = this.full || held < this.#heldAtLastCall;
    this.#heldAtLastCall = held;
    return progressed;
  }

  /** Whether events at hand have not been written yet. */
  get behind(): boolean {
    return [...this.#followings.values()].some(({ viewer }) => viewer.cursor < viewer.last);
  }

  /** Whether events at hand or written bytes have not been handed to the network yet. */
  get pending(): boolean {
    return this.#socket.open && (this.behind || this.#socket.bufferedAmount > 0);
  }

  /** Sends an event of the connection's own, after the events already taken from viewers. */
  send(json: string): void {
    if (!this.#socket.open) return;
    this.#socket.send(json);
    this.#buffered += json.length;
    this.#watchBuffer();
  }

  /** Sends a frame in pieces, whose bytes other sockets may share. Otherwise like `send`. */
  sendFrame(pieces: readonly Buffer[]): void {
    if (!this.#socket.open) return;
    this.#socket.write(pieces);
    for (const piece of pieces) this.#buffered += piece.length;
    this.#watchBuffer();
  }

  /**
   * Resolves when the socket is not full, or the connection is closed. One caller resolves each
   * round, in order, and must send in the same tick: so large events of the connection's own exceed
   * the bound by one write only.
   */
  whenRoom(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    this.#waiting ??= new Set();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.add(resolve);
    this.wake();
    return promise;
  }

  /**
   * Follows a response from its viewer's cursor on. A response that is followed here already takes
   * the new viewer and lane.
   */
  follow(responseId: string, viewer: Viewer, streamId: string | undefined): Following {
    let following = this.#followings.get(responseId);
    if (following === undefined) {
      following = new Following(responseId, viewer, streamId);
      this.#followings.set(responseId, following);
    } else {
      following.viewer.close();
      following.viewer = viewer;
      following.streamId = streamId;
      following.paused = false;
    }
    // The connection may close while the viewer is being opened. Nothing would end this following
    // later, and its subscription would stay, so it ends here.
    if (this.#closed) this.unfollow(following);
    else this.wake();
    return following;
  }

  /** Stops following: nothing more of that response is sent. */
  unfollow(following: Following, end: FollowEnd = 'ended'): void {
    if (this.#followings.get(following.responseId) !== following) return;
    this.#followings.delete(following.responseId);
    following.finish(end);
  }

  /** Flushes in the next round. While the socket is full, the check of its buffer does that. */
  readonly wake = (): void => {
    if (this.#stopChecking === undefined) this.#options.round.add(this);
  };

  /** Writes what the socket has room for. */
  flush(): void {
    if (this.#closed || !this.#socket.open || this.#stopChecking !== undefined) return;
    if (this.#waiting !== undefined && this.#resolveOldest(this.#waiting)) return;
    let room = Math.min(SLICE_BYTES, this.#options.bufferBytes - this.#socket.bufferedAmount);
    const frames: Buffer[] = [];
    for (const following of this.#followings.values()) {
      room -= this.#take(following, room, frames);
      if (room > 0) continue;
      this.#moveToEnd(following);
      break;
    }
    if (frames.length > 0) this.#socket.write(frames);
    this.#watchBuffer();
    if (room <= 0) this.wake();
  }

  close(): void {
    this.#closed = true;
    this.#setFull(undefined);
    for (const following of this.#followings.values()) following.finish('ended');
    this.#followings.clear();
    for (const resolve of this.#waiting ?? []) resolve();
    this.#waiting = undefined;
  }

  /**
   * Resolves the oldest promise of `whenRoom`. Its caller writes after this call returns, so events
   * wait for the next round.
   * @returns whether there was one
   */
  #resolveOldest(waiting: Set<() => void>): boolean {
    const first = waiting.values().next();
    if (first.done === true) {
      this.#waiting = undefined;
      return false;
    }
    waiting.delete(first.value);
    first.value();
    this.#options.round.add(this);
    return true;
  }

  /**
   * Adds frames until they exceed `room` bytes.
   * @returns the bytes added
   */
  #take(following: Following, room: number, frames: Buffer[]): number {
    let taken = 0;
    while (taken < room && !following.paused) {
      const { viewer, streamId } = following;
      const { round } = this.#options;
      if (this.#options.onBehind(following, viewer.last - viewer.cursor)) {
        following.paused = true;
        return taken;
      }
      const most = Math.min(EVENTS_AT_ONCE, Math.max(1, Math.floor((room - taken) / following.eventBytes)));
      const events = viewer.take(most);
      let largest = 0;
      for (const event of events) {
        const frame = streamId === undefined ? round.frameOf(event) : textFrame(withStreamId(event.json, streamId));
        frames.push(frame);
        taken += frame.length;
        largest = Math.max(largest, frame.length);
      }
      if (largest > 0) following.eventBytes = largest;
      if (viewer.state !== 'following') {
        this.unfollow(following, viewer.state);
        return taken;
      }
      // A batch shorter than requested is no end: a page of the log may have ended there.
      if (events.length === 0 || viewer.cursor >= viewer.last) return taken;
    }
    return taken;
  }

  /**
   * Serves the response that filled the socket last in the next round, so that a long replay does
   * not delay the others.
   */
  #moveToEnd(following: Following): void {
    if (this.#followings.get(following.responseId) !== following) return;
    this.#followings.delete(following.responseId);
    this.#followings.set(following.responseId, following);
  }

  /**
   * Checks a full socket until it has drained to half. Reports it as stuck after
   * `slowReaderTimeoutMs` without progress.
   */
  #watchBuffer(): void {
    const { bufferBytes, slowReaderTimeoutMs, onStuck, time } = this.#options;
    if (this.#stopChecking !== undefined || this.#socket.bufferedAmount < bufferBytes) return;
    this.#buffered = this.#socket.bufferedAmount;
    let waitedMs = 0;
    const check = (): void => {
      const now = this.#socket.bufferedAmount;
      if (now < bufferBytes / 2) {
        this.#setFull(undefined);
        this.flush();
        return;
      }
      waitedMs = now < this.#buffered ? 0 : waitedMs + CHECK_EVERY_MS;
      this.#buffered = now;
      if (waitedMs >= slowReaderTimeoutMs) onStuck();
      else this.#setFull(time.after(CHECK_EVERY_MS, check));
    };
    this.#setFull(time.after(CHECK_EVERY_MS, check));
  }

  /** @param stopChecking cancels the next check; undefined: the socket has room */
  #setFull(stopChecking: (() => void) | undefined): void {
    const was = this.full;
    this.#stopChecking?.();
    this.#stopChecking = stopChecking;
    if (was !== this.full) this.#options.onFull(this.full);
  }
}

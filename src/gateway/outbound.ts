/*
 * What goes out on one socket: the events of the responses it follows, from their viewers' cursors, and events of its own. Nothing is
 * queued here: while the socket is full its cursors stand still, and after a while without progress it is given up.
 */

import { type WebSocket } from 'ws';
import { type LoggedEvent, withStreamId } from '../domain/event.js';
import { type Viewer } from '../state/viewer.js';
import { textFrame, writeFrames } from './raw-socket.js';

export type FollowEnd = 'ended' | 'lost';

/** One response as this connection follows it: a connection follows a response at most once. */
export class Following {
  readonly responseId: string;
  viewer: Viewer;
  /** Undefined: the default lane. */
  streamId: string | undefined;
  /** True while a snapshot is fetched: its events wait for it. */
  paused = false;
  /** True once the client has asked for this response itself; then no end of a subscription ends it. */
  asked = false;
  /** How large its events are, by the last that were sent: as many are taken at once as there is room for. */
  eventBytes = 16_384;
  /** `ended`: its terminal was sent, or the connection is gone. `lost`: its log went away. */
  readonly end: Promise<FollowEnd>;
  readonly #resolve: (end: FollowEnd) => void;

  constructor(responseId: string, viewer: Viewer, streamId: string | undefined) {
    this.responseId = responseId;
    this.viewer = viewer;
    this.streamId = streamId;
    const { promise, resolve } = Promise.withResolvers<FollowEnd>();
    this.end = promise;
    this.#resolve = resolve;
  }

  finish(end: FollowEnd): void {
    this.viewer.close();
    this.#resolve(end);
  }
}

export interface OutboundOptions {
  readonly bufferBytes: number;
  readonly slowReaderTimeoutMs: number;
  /** The socket has taken nothing for too long. */
  readonly onStuck: () => void;
  /** Says whether it takes care of a viewer that is this many events behind: then the following is paused, and what it does resumes it. */
  readonly onBehind: (following: Following, events: number) => boolean;
}

/** Most bytes handed to the socket at once, so that other connections get their turn. */
const SLICE_BYTES = 256 * 1_024;
const EVENTS_AT_ONCE = 64;

const dirty = new Set<Outbound>();
let flushing = false;
let sharing = false;

/** All connections that were woken in one tick are written in one. */
function flushSoon(outbound: Outbound): void {
  dirty.add(outbound);
  if (flushing) return;
  flushing = true;
  setImmediate(() => {
    flushing = false;
    const woken = [...dirty];
    dirty.clear();
    sharing = true;
    try {
      for (const each of woken) each.flush();
    } finally {
      sharing = false;
      shared.clear();
    }
  });
}

/** Frames of this tick: an event that many connections follow is framed once. */
const shared = new Map<LoggedEvent, Buffer>();

function sharedFrame(event: LoggedEvent): Buffer {
  let frame = shared.get(event);
  if (frame === undefined) {
    frame = textFrame(event.json);
    // Outside a common tick nothing is there to forget it.
    if (sharing) shared.set(event, frame);
  }
  return frame;
}

export class Outbound {
  readonly #socket: WebSocket;
  readonly #options: OutboundOptions;
  readonly #followings = new Map<string, Following>();
  /** Set while the socket holds more than it may. */
  #stuckTimer: NodeJS.Timeout | undefined;
  /** What the socket held when it was last looked at, and what it was given since. */
  #buffered = 0;
  #heldWhenAsked = 0;
  #closed = false;

  constructor(socket: WebSocket, options: OutboundOptions) {
    this.#socket = socket;
    this.#options = options;
  }

  get followings(): ReadonlyMap<string, Following> {
    return this.#followings;
  }

  /** Does the socket hold more than it may? Then its peer does not read, or not fast enough. */
  get full(): boolean {
    return this.#stuckTimer !== undefined;
  }

  /** Has the peer read anything since this was asked last? While the socket is full that is not for the asker to judge: true. */
  progressed(): boolean {
    const held = this.#socket.bufferedAmount;
    const progressed = this.full || held < this.#heldWhenAsked;
    this.#heldWhenAsked = held;
    return progressed;
  }

  /** Are there events at hand that were not written yet? */
  get behind(): boolean {
    return [...this.#followings.values()].some(({ viewer }) => viewer.cursor < viewer.last);
  }

  /** Sends an event of the connection's own, after what was already taken from viewers. */
  send(json: string): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    this.#socket.send(json);
    this.#buffered += json.length;
    this.#watchBuffer();
  }

  /** Follows a response from its viewer's cursor on. Where it is followed here already, that following takes the new cursor and lane. */
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
    // The connection may have closed while the viewer was opened.
    if (this.#closed) this.unfollow(following);
    else this.wake();
    return following;
  }

  /** Stops following; nothing more of that response is sent. */
  unfollow(following: Following, end: FollowEnd = 'ended'): void {
    if (this.#followings.get(following.responseId) !== following) return;
    this.#followings.delete(following.responseId);
    following.finish(end);
  }

  readonly wake = (): void => {
    if (this.#stuckTimer === undefined) flushSoon(this);
  };

  /** Writes what the socket has room for. */
  flush(): void {
    if (this.#socket.readyState !== this.#socket.OPEN || this.#stuckTimer !== undefined) return;
    let room = Math.min(SLICE_BYTES, this.#options.bufferBytes - this.#socket.bufferedAmount);
    const frames: Buffer[] = [];
    for (const following of this.#followings.values()) {
      room -= this.#take(following, room, frames);
      if (room > 0) continue;
      this.#toTheEnd(following);
      break;
    }
    writeFrames(this.#socket, frames);
    this.#watchBuffer();
    if (room <= 0 && this.#stuckTimer === undefined) flushSoon(this);
  }

  close(): void {
    this.#closed = true;
    this.#setFull(undefined);
    dirty.delete(this);
    for (const following of this.#followings.values()) following.finish('ended');
    this.#followings.clear();
  }

  /** Adds up to `room` bytes of frames, or one frame more; returns how many. */
  #take(following: Following, room: number, frames: Buffer[]): number {
    let taken = 0;
    while (taken < room && !following.paused) {
      const { viewer, streamId } = following;
      if (this.#options.onBehind(following, viewer.last - viewer.cursor)) {
        following.paused = true;
        return taken;
      }
      const most = Math.min(EVENTS_AT_ONCE, Math.max(1, Math.floor((room - taken) / following.eventBytes)));
      const events = viewer.take(most);
      let largest = 0;
      for (const event of events) {
        const frame = streamId === undefined ? sharedFrame(event) : textFrame(withStreamId(event.json, streamId));
        frames.push(frame);
        taken += frame.length;
        largest = Math.max(largest, frame.length);
      }
      if (largest > 0) following.eventBytes = largest;
      if (viewer.state !== 'following') {
        this.unfollow(following, viewer.state);
        return taken;
      }
      // Fewer than asked for says nothing: a page of the log may have ended there.
      if (events.length === 0) return taken;
    }
    return taken;
  }

  /** Who filled the socket is served last the next time, so that a long replay does not keep the others waiting. */
  #toTheEnd(following: Following): void {
    if (this.#followings.get(following.responseId) !== following) return;
    this.#followings.delete(following.responseId);
    this.#followings.set(following.responseId, following);
  }

  /** A full socket is looked at again when it may have drained; without progress for long enough it is given up. */
  #watchBuffer(): void {
    if (this.#stuckTimer !== undefined || this.#socket.bufferedAmount < this.#options.bufferBytes) return;
    this.#buffered = this.#socket.bufferedAmount;
    let waitedMs = 0;
    const look = (): void => {
      const now = this.#socket.bufferedAmount;
      if (now < this.#options.bufferBytes / 2) {
        this.#setFull(undefined);
        this.flush();
        return;
      }
      waitedMs = now < this.#buffered ? 0 : waitedMs + LOOK_EVERY_MS;
      this.#buffered = now;
      if (waitedMs >= this.#options.slowReaderTimeoutMs) this.#options.onStuck();
      else this.#setFull(setTimeout(look, LOOK_EVERY_MS));
    };
    this.#setFull(setTimeout(look, LOOK_EVERY_MS));
  }

  /** Nothing is read from a peer that does not read: its frames would be answered into a buffer that only grows. */
  #setFull(timer: NodeJS.Timeout | undefined): void {
    clearTimeout(this.#stuckTimer);
    if (timer === undefined) this.#socket.resume();
    else if (this.#stuckTimer === undefined) this.#socket.pause();
    this.#stuckTimer = timer;
  }
}

const LOOK_EVERY_MS = 50;

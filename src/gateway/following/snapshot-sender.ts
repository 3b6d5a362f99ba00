/*
 * Sends snapshots on one connection: instead of a long replay, and to move a viewer forward that is
 * far behind. One at a time, and only while the socket has room, so that a client that does not
 * read costs one snapshot at most.
 */

import { asSluiceError } from '../../domain/errors.js';
import { type Principal } from '../../domain/principal.js';
import { type Time } from '../../domain/time.js';
import { withStreamId } from '../../domain/event.js';
import { encodeSnapshotAround } from '../../protocol/socket/server-events.js';
import { responseExpired } from '../../turn/response-errors.js';
import { type ResponseReader } from '../../turn/response-reader.js';
import { type InOrder } from '../in-order.js';
import { type Outbound } from '../outbound.js';
import { frameAround } from '../raw-socket.js';
import { type Following } from './following.js';

export interface SnapshotSenderOptions {
  readonly outbound: Outbound;
  readonly reader: Pick<ResponseReader, 'snapshot'>;
  readonly inOrder: InOrder;
  readonly time: Time;
  /** Called for each snapshot sent. */
  readonly onSent: () => void;
}

/** One requested snapshot. */
export interface SnapshotRequest {
  readonly caller: Principal;
  readonly responseId: string;
  readonly streamId: string | undefined;
  /** Number of the last event that the client has. A snapshot without a later one is not sent. */
  readonly after: number;
  /** Number of an event that it must contain. Infinity: it must be read now. */
  readonly atLeast: number;
  /** Whether it is still needed. Checked again after waiting for room. */
  readonly wanted: () => boolean;
}

/**
 * A number: the last event that the snapshot contains. `ended`: the events are gone, and the stored
 * response was sent with its terminal event. `unwanted`: nothing was sent. `stale`: nothing was
 * sent, because the log has lost the events that the client does not have.
 */
export type SnapshotOutcome = number | 'ended' | 'unwanted' | 'stale';

/** A longer replay is replaced by a snapshot. */
export const LONG_REPLAY_EVENTS = 256;
/** Most events that a cached snapshot may be behind. */
const STALE_EVENTS = LONG_REPLAY_EVENTS / 2;
const RETRY_MS = 250;
/** Key under which snapshots wait for each other. No response has this id. */
const QUEUE = '';

export class SnapshotSender {
  readonly #options: SnapshotSenderOptions;

  constructor(options: SnapshotSenderOptions) {
    this.#options = options;
  }

  /**
   * Sends a snapshot when the ones before it were sent and the socket has room. Throws like
   * `ResponseReader.snapshot`.
   */
  send(request: SnapshotRequest): Promise<SnapshotOutcome> {
    return this.#options.inOrder.run(QUEUE, () => this.#send(request));
  }

  /**
   * Sends the stored response with its terminal event: the events are gone.
   * @returns false if it is not wanted any more
   * @throws SluiceError like `ResponseReader.snapshot`, `response_expired` if the log exists again
   */
  async sendStored(request: Omit<SnapshotRequest, 'after' | 'atLeast'>): Promise<boolean> {
    // A snapshot from the time when the log existed may be cached. It comes without a terminal
    // event, and nothing would send one after it, so the stored response is read now.
    const outcome = await this.send({ ...request, after: -1, atLeast: Infinity });
    if (typeof outcome === 'number' || outcome === 'stale') throw responseExpired();
    return outcome === 'ended';
  }

  /** Moves a viewer that is far behind forward by a snapshot, and resumes it. */
  moveOn(caller: Principal, following: Following): void {
    const { outbound, time } = this.#options;
    const { responseId, streamId, viewer } = following;
    // During the read the client can resume the response in another lane, or stop following it. The
    // snapshot would then repeat events in the wrong lane, so it is sent only while the viewer is
    // unchanged.
    const wanted = (): boolean => following.viewer === viewer && outbound.followings.get(responseId) === following;
    const resume = (): void => {
      if (!wanted()) return;
      following.paused = false;
      outbound.wake();
    };
    const { cursor: after, last } = viewer;
    this.send({ caller, responseId, streamId, after, atLeast: staleLimit(last), wanted }).then(
      (outcome) => {
        if (typeof outcome === 'number') viewer.skipTo(outcome);
        else if (outcome === 'ended' && wanted()) outbound.unfollow(following);
        else if (outcome === 'stale') {
          // The viewer is still far behind, so it would request the same snapshot at once, again
          // and again. The writer may write the lost events once more: wait for it.
          if (viewer.state === 'lost' && wanted()) outbound.unfollow(following, 'lost');
          else time.after(RETRY_MS, resume);
          return;
        }
        resume();
      },
      (thrown: unknown) => {
        if (asSluiceError(thrown).code === 'state_unavailable') time.after(RETRY_MS, resume);
        else if (wanted()) outbound.unfollow(following, 'lost');
      },
    );
  }

  async #send({ caller, responseId, streamId, after, atLeast, wanted }: SnapshotRequest): Promise<SnapshotOutcome> {
    const { outbound, reader, onSent } = this.#options;
    await outbound.whenRoom();
    if (!wanted()) return 'unwanted';
    const { json, sequence, terminal } = await reader.snapshot(caller, responseId, atLeast);
    if (terminal === null && sequence <= after) return 'stale';
    // Events of other responses can fill the socket during the read. The snapshot would then exceed
    // the bound of the socket, so wait for room again.
    await outbound.whenRoom();
    if (!wanted()) return 'unwanted';
    const around = encodeSnapshotAround({ responseId, sequence, streamId });
    outbound.sendFrame(frameAround(around.before, json, around.after));
    onSent();
    if (terminal === null) return sequence;
    await outbound.whenRoom();
    outbound.send(streamId === undefined ? terminal.json : withStreamId(terminal.json, streamId));
    return 'ended';
  }
}

/**
 * Returns the number of an event that a snapshot must contain to be recent enough.
 * @param last number of the response's newest event
 */
export function staleLimit(last: number): number {
  return last - STALE_EVENTS;
}

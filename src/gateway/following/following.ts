/* One response as a connection follows it: its viewer, the lane of its events, and its end. */

import { type Viewer } from '../../state/follow/viewer.js';

/**
 * `ended`: the terminal was sent, or the connection is gone. `lost`: the log is gone. `left`: its
 * subscription has ended.
 */
export type FollowEnd = 'ended' | 'lost' | 'left';

/**
 * One response on one connection. A connection follows a response at most once: a later resume
 * changes the viewer and the lane of the same object.
 */
export class Following {
  readonly responseId: string;
  viewer: Viewer;
  /** Undefined: the default lane. */
  streamId: string | undefined;
  /** Whether its events wait for a snapshot that is being read. */
  paused = false;
  /**
   * Number of the frame that decided the cursor and the lane (`FollowedResponses.nextFrame`); 0 for
   * a subscription.
   */
  frame = 0;
  /**
   * Whether the client has resumed this response by name; then the end of a subscription does not
   * end it.
   */
  resumed = false;
  /**
   * Size of its events in bytes, estimated from the last ones sent. Decides how many are taken at
   * once.
   */
  eventBytes = 16_384;
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

/** A response as a subscription follows it. */
export interface WatchedResponse {
  readonly streamId: string;
  /** Whether the subscription still exists. */
  readonly wanted: () => boolean;
  /** Sends `sluice:turn`. */
  readonly announce: () => void;
  /** Called in the same step in which the response is followed. */
  readonly begun: (following: Following) => void;
}

/*
 * The responses that one connection follows: created, resumed, or of watched conversations. The
 * order of frames decides the cursor and lane of each. Answers resumes, and bounds their number.
 */

import { asSluiceError, SluiceError } from '../../domain/errors.js';
import { type Principal } from '../../domain/principal.js';
import { type Time } from '../../domain/time.js';
import { type Metrics } from '../../observability/metrics.js';
import { type ResumePoint } from '../../protocol/socket/resume-query.js';
import { type SluiceEvent } from '../../protocol/socket/server-events.js';
import { type Viewer } from '../../state/follow/viewer.js';
import { retryWhileUnavailable } from '../../turn/retry-while-unavailable.js';
import { responseExpired } from '../../turn/response-errors.js';
import { type ResponseReader } from '../../turn/response-reader.js';
import { InOrder } from '../in-order.js';
import { type Lanes } from '../lanes/lanes.js';
import { type Outbound } from '../outbound.js';
import { type Refusals } from '../refusals.js';
import { type Following, type WatchedResponse } from './following.js';
import { ResumePlace } from './resume-place.js';
import { Resumes, type ResumeTurn } from './resumes.js';
import { LONG_REPLAY_EVENTS, SnapshotSender, staleLimit } from './snapshot-sender.js';

export interface FollowedResponsesOptions {
  readonly outbound: Outbound;
  readonly reader: ResponseReader;
  readonly lanes: Lanes;
  readonly refusals: Refusals;
  readonly metrics: Metrics;
  readonly time: Time;
  readonly sendEvent: (event: SluiceEvent) => void;
  /** The principal that the connection acts for now. */
  readonly caller: () => Principal;
  /** Whether the client knows snapshots. */
  readonly takesSnapshots: () => boolean;
  readonly closed: () => boolean;
}

type ResumeMode = 'replay' | 'snapshot' | 'stored' | 'replaced';

/** Most responses that a connection may follow. Creates have a bound of their own. */
const FOLLOWED_MAX = 64;

export class FollowedResponses {
  readonly #options: FollowedResponsesOptions;
  readonly #snapshots: SnapshotSender;
  readonly #inOrder = new InOrder();
  readonly #resumes = new Map<string, Resumes>();
  #frames = 0;

  constructor(options: FollowedResponsesOptions) {
    const { outbound, reader, time, metrics } = options;
    this.#options = options;
    this.#snapshots = new SnapshotSender({
      outbound,
      reader,
      inOrder: this.#inOrder,
      time,
      onSent: () => metrics.of.snapshots_total.inc(),
    });
  }

  /** Numbers a frame that resumes or creates. Of two frames for one response the later decides. */
  nextFrame(): number {
    this.#frames += 1;
    return this.#frames;
  }

  /**
   * Follows a response from after event `startingAfter`, without waiting for the lane. Takes a
   * place in the lane now, so that later creates there, and a refusal, come in order. Each of
   * several resumes of a response is answered; the latest decides cursor and lane.
   * @returns the refusal that was sent, or null
   * @throws SluiceError `too_many_lanes`, `too_many_responses`
   */
  resume(caller: Principal, point: ResumePoint): Promise<SluiceError | null> {
    const { responseId, streamId } = point;
    // Open the lane first: it may refuse, and then nothing else has changed.
    this.#options.lanes.open(streamId);
    const resumes = this.#resumesOf(responseId);
    const { place, isNewest } = resumes.begin(streamId);
    const frame = this.nextFrame();
    const wanted = (): boolean => isNewest() && !this.#decidedAfter(frame, responseId) && !this.#options.closed();
    return this.#answer(responseId, resumes, place, () =>
      this.#begin(caller, point, { resumes, place, frame, wanted }),
    );
  }

  /**
   * Follows a response that this connection created, or joined by an idempotency key.
   * @param frame number of the frame that created it; a later resume keeps its cursor and lane
   * @returns a promise that resolves when the response's end was sent
   * @throws SluiceError `response_expired`
   */
  async followToEnd(caller: Principal, responseId: string, streamId: string | undefined, frame: number): Promise<void> {
    const { outbound, closed, time } = this.#options;
    let viewer: Viewer | undefined;
    try {
      // The turn runs while the store is unavailable. Retry, so that the client receives its
      // answer.
      viewer = await retryWhileUnavailable(() => this.view(caller, responseId, -1), { wanted: () => !closed(), time });
    } catch (thrown) {
      // An idempotency key may lead to a response whose events are gone.
      if (!this.#isServedByStore(thrown)) throw thrown;
      await this.#snapshots.sendStored({ caller, responseId, streamId, wanted: () => !closed() });
      return;
    }
    if (viewer === undefined) return;
    // A resume that was sent after a slow create can be served before it. Following from the create
    // too would send its events twice, in two lanes. The later frame decides.
    const later = this.#decidedAfter(frame, responseId);
    if (later !== undefined) viewer.close();
    const following = later ?? outbound.follow(responseId, viewer, streamId);
    if (later === undefined) following.frame = frame;
    if (later === undefined) this.#resumes.get(responseId)?.release();
    // After a resume the error belongs to the lane of the resume.
    if ((await following.end) === 'lost' && !following.resumed) throw responseExpired();
  }

  /**
   * Announces a response of a watched conversation, and follows it unless it is followed here.
   * Waits for earlier resumes of the response.
   * @param viewer at the response's start; closed if it is not needed
   * @returns the new following, or undefined if there is none
   * @throws SluiceError `too_many_responses`
   */
  watch(viewer: Viewer, { streamId, wanted, announce, begun }: WatchedResponse): Promise<Following | undefined> {
    const { outbound } = this.#options;
    const { responseId } = viewer.head;
    return this.#inOrder.run(responseId, async () => {
      await outbound.whenRoom();
      const known = outbound.followings.has(responseId);
      try {
        // Other responses may have taken the last places while this viewer was opened. Check again.
        if (!known) this.checkRoom();
        if (wanted()) announce();
        if (!wanted() || known) {
          viewer.close();
          return undefined;
        }
      } catch (thrown) {
        viewer.close();
        throw thrown;
      }
      const following = outbound.follow(responseId, viewer, streamId);
      begun(following);
      return following;
    });
  }

  /** @throws SluiceError `too_many_responses` */
  checkRoom(): void {
    const ids = new Set([...this.#options.outbound.followings.keys(), ...this.#resumes.keys()]);
    if (ids.size < FOLLOWED_MAX) return;
    throw new SluiceError(
      'too_many_responses',
      `unable to follow another response; this connection has ${FOLLOWED_MAX} already; wait for one to end`,
      { retryAfterMs: 1_000 },
    );
  }

  /** Opens a viewer. Throws like `ResponseReader.open`. @returns undefined if the socket closed */
  async view(caller: Principal, responseId: string, after: number): Promise<Viewer | undefined> {
    const { reader, outbound, closed } = this.#options;
    const viewer = await reader.open(caller, responseId, after, outbound.wake);
    if (!closed()) return viewer;
    viewer.close();
    return undefined;
  }

  /** Moves a viewer that is `events` behind forward by a snapshot. @returns whether it does so */
  moveOn(following: Following, events: number): boolean {
    if (!this.#isLong(events)) return false;
    this.#snapshots.moveOn(this.#options.caller(), following);
    return true;
  }

  async #answer(
    responseId: string,
    resumes: Resumes,
    place: ResumePlace,
    begin: () => Promise<ResumeMode>,
  ): Promise<SluiceError | null> {
    const { metrics, refusals } = this.#options;
    // A later resume of the response begins when this work settles, and its answer could come
    // before a refusal that is sent after that. Refuse inside the work.
    const refusal = await this.#inOrder.run(responseId, async () => {
      try {
        metrics.of.resumes_total.inc({ mode: await begin() });
        return null;
      } catch (thrown) {
        metrics.of.resumes_total.inc({ mode: 'refused' });
        const error = asSluiceError(thrown);
        refusals.count(error);
        place.refuse(error);
        return error;
      }
    });
    resumes.settle(place);
    return refusal;
  }

  /** Opens a viewer and follows the response with it. Throws like `ResponseReader.open`. */
  async #begin(
    caller: Principal,
    point: ResumePoint,
    { resumes, place, frame, wanted }: ResumeTurn,
  ): Promise<ResumeMode> {
    const { responseId, startingAfter, streamId } = point;
    const { outbound } = this.#options;
    let viewer: Viewer | undefined;
    try {
      viewer = await this.view(caller, responseId, startingAfter);
    } catch (thrown) {
      if (!this.#isServedByStore(thrown)) throw thrown;
      if (await this.#snapshots.sendStored({ caller, responseId, streamId, wanted })) return 'stored';
      await this.#sendResumed(caller, point);
      return 'replaced';
    }
    if (viewer === undefined) return 'replaced';
    try {
      let mode: ResumeMode = 'replay';
      if (wanted() && this.#isLong(viewer.last - startingAfter)) {
        const range = { after: startingAfter, atLeast: staleLimit(viewer.last) };
        const outcome = await this.#snapshots.send({ caller, responseId, streamId, ...range, wanted });
        if (outcome === 'ended') {
          viewer.close();
          return 'stored';
        }
        if (typeof outcome === 'number') {
          viewer.skipTo(outcome);
          mode = 'snapshot';
        }
      }
      if (mode === 'replay') await this.#sendResumed(caller, point);
      if (!wanted()) {
        // A later frame has decided and sends the events. Close: no event may be sent twice.
        viewer.close();
        return 'replaced';
      }
      const following = outbound.follow(responseId, viewer, streamId);
      following.frame = frame;
      resumes.hold(place, following);
      return mode;
    } catch (thrown) {
      viewer.close();
      throw thrown;
    }
  }

  async #sendResumed(caller: Principal, { responseId, startingAfter, streamId }: ResumePoint): Promise<void> {
    const { reader, sendEvent } = this.#options;
    const status = await reader.currentStatus(caller, responseId);
    sendEvent({
      type: 'sluice:resumed',
      response_id: responseId,
      starting_after: startingAfter,
      status,
      stream_id: streamId,
    });
  }

  /** @throws SluiceError `too_many_responses` */
  #resumesOf(responseId: string): Resumes {
    let resumes = this.#resumes.get(responseId);
    if (resumes === undefined) {
      if (!this.#options.outbound.followings.has(responseId)) this.checkRoom();
      resumes = new Resumes(
        (streamId) => this.#placeIn(responseId, streamId),
        () => this.#resumes.delete(responseId),
      );
      this.#resumes.set(responseId, resumes);
    }
    return resumes;
  }

  #placeIn(responseId: string, streamId: string | undefined): ResumePlace {
    const { lanes, refusals } = this.#options;
    return new ResumePlace(responseId, lanes.open(streamId), {
      send: (error) => refusals.send(error, streamId),
      later: (send) => lanes.later(send),
    });
  }

  /** Returns the following if a frame after number `frame` decided about it. */
  #decidedAfter(frame: number, responseId: string): Following | undefined {
    const following = this.#options.outbound.followings.get(responseId);
    return following !== undefined && following.frame > frame ? following : undefined;
  }

  #isLong(events: number): boolean {
    return events > LONG_REPLAY_EVENTS && this.#options.takesSnapshots();
  }

  /** Whether the events are gone and the client accepts a snapshot of the stored response. */
  #isServedByStore(thrown: unknown): boolean {
    return thrown instanceof SluiceError && thrown.code === 'response_expired' && this.#options.takesSnapshots();
  }
}

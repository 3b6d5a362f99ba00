/*
 * The conversations that one connection watches, so that other devices of the same user see
 * questions and answers live. Subscribes and unsubscribes of one conversation take effect, and are
 * answered, in the order of their frames.
 */

import { asSluiceError, SluiceError } from '../../domain/errors.js';
import { withAuthor } from '../../domain/item.js';
import { type Principal } from '../../domain/principal.js';
import { type Time } from '../../domain/time.js';
import { type SluiceEvent } from '../../protocol/socket/server-events.js';
import { type ConversationAnnouncements } from '../../state/conversation-announcements.js';
import { type ConversationClaim } from '../../state/conversation-claim.js';
import { type Conversations } from '../../turn/conversations.js';
import { retryWhileUnavailable } from '../../turn/retry-while-unavailable.js';
import { responseExpired } from '../../turn/response-errors.js';
import { type ResponseReader } from '../../turn/response-reader.js';
import { InOrder } from '../in-order.js';
import { type Lanes } from '../lanes/lanes.js';
import { type Outbound } from '../outbound.js';
import { type Refusals } from '../refusals.js';
import { type FollowedResponses } from './followed-responses.js';
import { type Following } from './following.js';

export interface WatchedConversationsOptions {
  readonly conversations: Pick<Conversations, 'get'>;
  readonly claim: Pick<ConversationClaim, 'members'>;
  readonly announcements: Pick<ConversationAnnouncements, 'watch'>;
  readonly reader: Pick<ResponseReader, 'lastSequence'>;
  readonly outbound: Outbound;
  readonly lanes: Lanes;
  readonly followed: FollowedResponses;
  readonly refusals: Refusals;
  readonly time: Time;
  /** Conversations that may be watched at once. */
  readonly maxWatched: number;
  readonly sendEvent: (event: SluiceEvent) => void;
  readonly closed: () => boolean;
  /** Whether this connection created the response: its lane has the events already. */
  readonly created: (responseId: string) => boolean;
}

interface Running {
  readonly response_id: string;
  readonly sequence_number: number;
}

/** One subscription, from the moment it was answered. */
interface Watched {
  readonly caller: Principal;
  readonly conversation: string;
  readonly streamId: string;
  readonly following: Set<Following>;
  /** Responses announced to this subscription. The store may announce one more than once. */
  readonly announced: Set<string>;
  readonly unwatch: () => void;
  /** Whether the members are being read again after a gap. */
  catchingUp: boolean;
  /** Whether there was a gap since that read began. */
  gap: boolean;
}

export class WatchedConversations {
  readonly #options: WatchedConversationsOptions;
  readonly #watched = new Map<string, Watched>();
  readonly #inOrder = new InOrder();

  constructor(options: WatchedConversationsOptions) {
    this.#options = options;
  }

  /**
   * Watches a conversation, in place of an earlier subscription to it. A subscribe that fails is
   * refused and leaves the earlier subscription unchanged.
   * @returns a promise of the refusal that was sent, or null
   */
  subscribe(caller: Principal, conversation: string, streamId: string): Promise<SluiceError | null> {
    return this.#inOrder.run(conversation, async () => {
      try {
        await this.#subscribe(caller, conversation, streamId);
        return null;
      } catch (thrown) {
        // The next frame of this conversation runs as soon as this work settles. If the refusal
        // were sent after that, it could follow the answer to that frame. Refuse inside the work,
        // so that answers come in the order of frames.
        const error = asSluiceError(thrown);
        this.#options.refusals.refuse(error, streamId);
        return error;
      }
    });
  }

  /** Ends the subscription that earlier frames made. */
  unsubscribe(conversation: string): Promise<void> {
    return this.#inOrder.run(conversation, async () => {
      this.#end(conversation);
      this.#options.sendEvent({ type: 'sluice:unsubscribed', conversation });
    });
  }

  /** Ends all subscriptions: the connection is gone. */
  close(): void {
    for (const conversation of [...this.#watched.keys()]) this.#end(conversation);
  }

  async #subscribe(caller: Principal, conversation: string, streamId: string): Promise<void> {
    const { conversations, announcements, lanes, sendEvent, closed } = this.#options;
    await conversations.get(caller, conversation);
    lanes.open(streamId);
    this.#checkRoom(conversation);
    // Collect responses that are announced before the answer is sent. Later ones are followed at
    // once.
    const early: string[] = [];
    let onResponse = (responseId: string): void => void early.push(responseId);
    let onGap = (): void => undefined;
    const unwatch = await announcements.watch(
      conversation,
      (responseId) => onResponse(responseId),
      () => onGap(),
    );
    let running: readonly Running[];
    try {
      running = await this.#running(caller, conversation);
    } catch (thrown) {
      unwatch();
      throw thrown;
    }
    if (closed()) {
      unwatch();
      return;
    }
    try {
      // Subscribes to other conversations may have taken the last places during the reads. Check
      // again, in the same tick as this subscription takes its place.
      this.#checkRoom(conversation);
    } catch (thrown) {
      unwatch();
      throw thrown;
    }
    this.#end(conversation);
    const watched: Watched = {
      caller,
      conversation,
      streamId,
      unwatch,
      following: new Set(),
      announced: new Set(),
      catchingUp: false,
      gap: false,
    };
    this.#watched.set(conversation, watched);
    sendEvent({ type: 'sluice:subscribed', conversation, running, stream_id: streamId });
    onResponse = (responseId) => this.#follow(watched, responseId);
    onGap = () => void this.#catchUp(watched);
    for (const responseId of [...running.map(({ response_id }) => response_id), ...early]) onResponse(responseId);
  }

  #checkRoom(conversation: string): void {
    const { maxWatched } = this.#options;
    if (this.#watched.size < maxWatched || this.#watched.has(conversation)) return;
    throw new SluiceError(
      'too_many_lanes',
      `unable to watch another conversation; a connection watches at most ${maxWatched}; unsubscribe from one`,
      { param: 'conversation' },
    );
  }

  #isOver(watched: Watched): boolean {
    return this.#watched.get(watched.conversation) !== watched || this.#options.closed();
  }

  /**
   * Returns the running and queued responses of the conversation, with the progress of each. A
   * member without a log is announced later.
   */
  async #running(caller: Principal, conversation: string): Promise<readonly Running[]> {
    const { claim, reader } = this.#options;
    const members = await claim.members(conversation);
    const running = await Promise.all(
      members.map(async (responseId) => {
        const last = await reader.lastSequence(caller, responseId);
        return last === undefined ? [] : [{ response_id: responseId, sequence_number: last }];
      }),
    );
    return running.flat();
  }

  /**
   * Follows running responses that were not announced, because the store may have lost
   * announcements. A gap during the reading causes one more reading.
   */
  async #catchUp(watched: Watched): Promise<void> {
    watched.gap = true;
    if (watched.catchingUp) return;
    watched.catchingUp = true;
    const { caller, conversation } = watched;
    const read = (): Promise<readonly Running[]> => this.#running(caller, conversation);
    const wanted = (): boolean => !this.#isOver(watched);
    try {
      while (watched.gap && wanted()) {
        watched.gap = false;
        const running = await retryWhileUnavailable(read, { wanted, time: this.#options.time });
        for (const { response_id: responseId } of running) this.#follow(watched, responseId);
      }
    } catch {
      // The store was unavailable longer than the retries. The next gap or subscription reads
      // again.
    } finally {
      watched.catchingUp = false;
    }
  }

  #follow(watched: Watched, responseId: string): void {
    const { announced, streamId } = watched;
    if (this.#isOver(watched) || announced.has(responseId) || this.#options.created(responseId)) return;
    remember(announced, responseId);
    this.#announceAndFollow(watched, responseId).catch((thrown: unknown) => {
      if (this.#isOver(watched)) return;
      const error = asSluiceError(thrown);
      // The response existed when it was announced, so its log is gone.
      this.#options.refusals.send(error.code === 'response_not_found' ? responseExpired() : error, streamId);
    });
  }

  async #announceAndFollow(watched: Watched, responseId: string): Promise<void> {
    const { caller, conversation, streamId } = watched;
    const { followed, outbound, sendEvent, time } = this.#options;
    if (!outbound.followings.has(responseId)) followed.checkRoom();
    const wanted = (): boolean => !this.#isOver(watched);
    const viewer = await retryWhileUnavailable(() => followed.view(caller, responseId, -1), { wanted, time });
    if (viewer === undefined) return;
    const following = await followed.watch(viewer, {
      streamId,
      wanted,
      announce: () => {
        const input = viewer.head.input.map(({ item }) => withAuthor(item));
        sendEvent({ type: 'sluice:turn', conversation, response_id: responseId, input, stream_id: streamId });
      },
      begun: (begun) => watched.following.add(begun),
    });
    if (following === undefined) return;
    const end = await following.end;
    watched.following.delete(following);
    // After a resume the error belongs to the lane of the resume.
    if (end === 'lost' && !following.resumed) throw responseExpired();
  }

  #end(conversation: string): void {
    const watched = this.#watched.get(conversation);
    if (watched === undefined) return;
    this.#watched.delete(conversation);
    watched.unwatch();
    for (const following of watched.following) {
      // A response that the client resumed by name stays in the lane of the resume.
      if (!following.resumed) this.#options.outbound.unfollow(following, 'left');
    }
  }
}

/** Most ids in a set: announcements repeat within seconds, so only recent ids are needed. */
const REMEMBERED = 256;

/** Adds an id to a set and drops the oldest one above the bound. */
export function remember(set: Set<string>, value: string): void {
  set.add(value);
  if (set.size <= REMEMBERED) return;
  const oldest = set.values().next();
  if (oldest.done !== true) set.delete(oldest.value);
}

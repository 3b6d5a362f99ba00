/*
 * What a connection watches: whole conversations, so that other devices of the same user see questions and answers live. Watches first,
 * then names what runs, then follows each response from its first event; what the connection asked for itself is not told twice.
 */

import { SluiceError } from '../domain/errors.js';
import { type Principal } from '../domain/principal.js';
import { type SluiceEvent } from '../protocol/server-events.js';
import { type ConversationClaim } from '../state/conversation-claim.js';
import { type Viewer } from '../state/viewer.js';
import { type Conversations } from '../turn/conversations.js';
import { patiently } from '../turn/patience.js';
import { type ResponseReader, responseExpired } from '../turn/response-reader.js';
import { type SocketSettings } from './settings.js';
import { type Following, type Outbound } from './outbound.js';

interface Subscription {
  readonly conversation: string;
  readonly streamId: string;
  readonly following: Set<Following>;
  /** Responses told here already; announcements may come twice. */
  readonly told: Set<string>;
  unwatch: () => void;
}

/** What a subscription needs of the connection that it belongs to. */
export interface Watcher {
  readonly principal: Principal;
  readonly closed: boolean;
  readonly outbound: Outbound;
  readonly parts: { readonly reader: ResponseReader; readonly settings: SocketSettings };
  /** Counts the lane; throws `too_many_lanes`. */
  lane(streamId: string): unknown;
  owns(responseId: string): boolean;
  view(responseId: string, after: number): Promise<Viewer | undefined>;
  tell(event: SluiceEvent): void;
  refuse(error: SluiceError, streamId: string): void;
}

export interface SubscriptionParts {
  readonly conversations: Conversations;
  readonly claim: ConversationClaim;
}

/** Responses remembered as told; announcements repeat within seconds, not for ever. */
const REMEMBERED = 256;

export class Subscriptions {
  readonly #connection: Watcher;
  readonly #parts: SubscriptionParts;
  readonly #byConversation = new Map<string, Subscription>();

  constructor(connection: Watcher, parts: SubscriptionParts) {
    this.#connection = connection;
    this.#parts = parts;
  }

  /** @throws SluiceError `conversation_not_found`, `too_many_lanes`, `state_unavailable` */
  async subscribe(conversation: string, streamId: string): Promise<void> {
    const connection = this.#connection;
    await this.#parts.conversations.get(connection.principal, conversation);
    connection.lane(streamId);
    this.#end(conversation);
    this.#checkRoom();
    const subscription: Subscription = {
      conversation,
      streamId,
      following: new Set(),
      told: new Set(),
      unwatch: () => undefined,
    };
    this.#byConversation.set(conversation, subscription);
    const early: string[] = [];
    let onResponse = (responseId: string): void => void early.push(responseId);
    let onGap = (): void => undefined;
    try {
      const unwatch = await this.#parts.claim.watch(
        conversation,
        (responseId) => onResponse(responseId),
        () => onGap(),
      );
      if (this.#isOver(subscription)) {
        unwatch();
        return;
      }
      subscription.unwatch = unwatch;
      const running = await this.#running(subscription);
      connection.tell({ type: 'sluice:subscribed', conversation, running, stream_id: streamId });
      onResponse = (responseId) => this.#follow(subscription, responseId);
      onGap = () => void this.#catchUp(subscription).catch(() => undefined);
      for (const responseId of [...running.map(({ response_id }) => response_id), ...early]) onResponse(responseId);
    } catch (thrown) {
      this.#end(conversation);
      throw thrown;
    }
  }

  unsubscribe(conversation: string): void {
    this.#end(conversation);
    this.#connection.tell({ type: 'sluice:unsubscribed', conversation });
  }

  close(): void {
    for (const conversation of [...this.#byConversation.keys()]) this.#end(conversation);
  }

  #checkRoom(): void {
    const { maxLanes } = this.#connection.parts.settings;
    if (this.#byConversation.size < maxLanes) return;
    throw new SluiceError(
      'too_many_lanes',
      `unable to watch another conversation; a connection watches at most ${maxLanes}; unsubscribe from one`,
      { param: 'conversation' },
    );
  }

  #isOver(subscription: Subscription): boolean {
    return this.#byConversation.get(subscription.conversation) !== subscription || this.#connection.closed;
  }

  /** What runs or waits in the conversation now, and how far each has come. A member whose log is not there yet will be announced. */
  async #running(subscription: Subscription): Promise<{ response_id: string; sequence_number: number }[]> {
    const { reader } = this.#connection.parts;
    const members = await this.#parts.claim.members(subscription.conversation);
    const running = await Promise.all(
      members.map(async (responseId) => {
        const last = await reader.lastSequence(this.#connection.principal, responseId);
        return last === undefined ? [] : [{ response_id: responseId, sequence_number: last }];
      }),
    );
    return running.flat();
  }

  /** The store may have lost announcements: whatever runs and was not told is told now. */
  async #catchUp(subscription: Subscription): Promise<void> {
    const running = await patiently(() => this.#running(subscription), { wanted: () => !this.#isOver(subscription) });
    for (const { response_id: responseId } of running) this.#follow(subscription, responseId);
  }

  #follow(subscription: Subscription, responseId: string): void {
    const { told, streamId } = subscription;
    if (this.#isOver(subscription) || told.has(responseId) || this.#connection.owns(responseId)) return;
    remember(told, responseId);
    this.#announceAndFollow(subscription, responseId).catch(() => {
      // Its log is gone or out of reach: the client is told that it can't have this one.
      if (!this.#isOver(subscription)) this.#connection.refuse(responseExpired(), streamId);
    });
  }

  async #announceAndFollow(subscription: Subscription, responseId: string): Promise<void> {
    const { conversation, streamId } = subscription;
    const connection = this.#connection;
    if (connection.outbound.followings.has(responseId)) return;
    const viewer = await patiently(() => connection.view(responseId, -1), {
      wanted: () => !this.#isOver(subscription),
    });
    if (viewer === undefined) return;
    if (this.#isOver(subscription) || connection.outbound.followings.has(responseId)) {
      viewer.close();
      return;
    }
    const input = viewer.head.input.map(({ item }) => item);
    connection.tell({ type: 'sluice:turn', conversation, response_id: responseId, input, stream_id: streamId });
    const following = connection.outbound.follow(responseId, viewer, streamId);
    subscription.following.add(following);
    const end = await following.end;
    subscription.following.delete(following);
    if (end === 'lost') throw responseExpired();
  }

  #end(conversation: string): void {
    const subscription = this.#byConversation.get(conversation);
    if (subscription === undefined) return;
    this.#byConversation.delete(conversation);
    subscription.unwatch();
    for (const following of subscription.following) {
      // What was resumed into another lane since is that lane's.
      if (!following.asked) this.#connection.outbound.unfollow(following);
    }
  }
}

/** Adds to a set that forgets its oldest. */
export function remember(set: Set<string>, value: string): void {
  set.add(value);
  const oldest = set.values().next();
  if (set.size > REMEMBERED && oldest.done !== true) set.delete(oldest.value);
}

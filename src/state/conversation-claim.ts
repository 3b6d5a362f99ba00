/*
 * One turn at a time writes to a conversation: a first-in-first-out queue of response ids, bounded, shared by all replicas. The
 * same queue says which responses run in a conversation now, and tells whoever watches it of new ones.
 */

import { SluiceError } from '../domain/errors.js';
import { LOG_TIMES } from './event-log.js';

/**
 * For how long after it asked to join a member can be sure of its place, in milliseconds: other replicas put out a head without a log when a whole lease
 * has passed.
 */
export const SURE_OF_PLACE_MS = LOG_TIMES.leaseMs / 2;

export abstract class ConversationClaim {
  /**
   * Joins the queue of a conversation. `first: true`: the claim is held at once. @throws SluiceError `conversation_busy` when `maxWaiting` others
   * already wait (0: refuse rather than wait). Joining again changes nothing, so that a retry after a lost reply is safe. A head
   * that never began, or has ended without leaving, does not hold the others up for long.
   */
  abstract join(conversationId: string, responseId: string, maxWaiting: number): Promise<{ readonly first: boolean }>;

  /**
   * Gives up the place in the queue, if it is still there, and joins again at the end, in one step. For a member that was slow to begin its log: other
   * replicas may have put it out of the queue, or be about to. A replica that looked at the old place cannot put out the new one.
   * @throws SluiceError `conversation_busy` (it is in the queue no more), `state_unavailable`
   */
  abstract rejoin(conversationId: string, responseId: string, maxWaiting: number): Promise<{ readonly first: boolean }>;

  /** Resolves when `responseId` is at the head and holds the claim. Rejects with the signal's reason when it aborts. */
  abstract wait(conversationId: string, responseId: string, signal: AbortSignal): Promise<void>;

  /** Leaves the queue, held or waiting; the next one gets the claim. Idempotent. */
  abstract leave(conversationId: string, responseId: string): Promise<void>;

  /** Tells the watchers of a member that its log exists and can be followed. Idempotent. @throws SluiceError `state_unavailable` */
  abstract announce(conversationId: string, responseId: string): Promise<void>;

  /** Responses that run or wait in the conversation, in order. A member whose log does not exist yet will be announced. */
  abstract members(conversationId: string): Promise<readonly string[]>;

  /**
   * Calls `onResponse` for every response announced from now on, also where the message was lost on its way (then a little later); perhaps
   * more than once. `onGap`: the store was away and may have lost what was announced, too; look at `members` again. Resolves, when the
   * watch stands, to what ends it. @throws SluiceError `state_unavailable`
   */
  abstract watch(
    conversationId: string,
    onResponse: (responseId: string) => void,
    onGap: () => void,
  ): Promise<() => void>;
}

export function conversationBusy(maxWaiting: number): SluiceError {
  const why = maxWaiting === 0 ? 'another turn is running in it' : `${maxWaiting} turns already wait for it`;
  return new SluiceError(
    'conversation_busy',
    `unable to start a turn in this conversation; ${why}; try again when it has ended`,
    { retryAfterMs: 1_000, param: 'conversation' },
  );
}

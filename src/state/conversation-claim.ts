/*
 * The claim on a conversation: a bounded first-in-first-out queue of response ids, shared by all
 * replicas. The head of the queue holds the claim, and only its turn writes to the conversation.
 * The queue also lists the responses that run or wait.
 */

import { SluiceError } from '../domain/errors.js';
import { LOG_TIMES } from './event-log.js';

/**
 * How long a turn can rely on its place after it requested to join, in milliseconds. Other replicas
 * evict a head that has had no log for a whole lease.
 */
export const SURE_OF_PLACE_MS = LOG_TIMES.leaseMs / 2;

export abstract class ConversationClaim {
  /**
   * Joins the queue of a conversation. Joining twice changes nothing, so a retry after a lost reply
   * is safe. A head that never created its log, or whose turn ended without leaving, is evicted.
   * @param maxWaiting most turns that may wait behind the head; 0 refuses instead of waiting
   * @returns `first: true` if the response holds the claim
   * @throws SluiceError `conversation_busy` if `maxWaiting` turns already wait
   */
  abstract join(conversationId: string, responseId: string, maxWaiting: number): Promise<{ readonly first: boolean }>;

  /**
   * Leaves the queue, if the response is still in it, and joins again at the end, in one step. For
   * a turn that was slow to create its log: another replica may have evicted it, or may have
   * decided to. Such a decision applies to the old place only and cannot evict the new one.
   * @param call unique to the call. A repeat of the call can arrive long after its answer. It
   * changes no place that the response holds, because moving a running turn to the end would let a
   * second turn run
   * @throws SluiceError `conversation_busy` if the queue is full; the response is then no longer in
   * it
   * @throws SluiceError `state_unavailable`
   */
  abstract rejoin(
    conversationId: string,
    responseId: string,
    maxWaiting: number,
    call: string,
  ): Promise<{ readonly first: boolean }>;

  /**
   * Resolves when `responseId` is the head and holds the claim. Rejects with the signal's reason
   * when the signal aborts.
   * @throws SluiceError `state_unavailable` if the response was removed from the queue meanwhile
   */
  abstract wait(conversationId: string, responseId: string, signal: AbortSignal): Promise<void>;

  /**
   * Leaves the queue, as the head or from a waiting place. The next response becomes the head.
   * Idempotent.
   */
  abstract leave(conversationId: string, responseId: string): Promise<void>;

  /**
   * Returns the responses that run or wait in the conversation, in order. One whose log does not
   * exist yet is announced later.
   */
  abstract members(conversationId: string): Promise<readonly string[]>;
}

/** Returns the refusal of a conversation whose queue is full. */
export function conversationBusy(maxWaiting: number): SluiceError {
  const why = maxWaiting === 0 ? 'another turn is running in it' : `${maxWaiting} turns already wait for it`;
  return new SluiceError(
    'conversation_busy',
    `unable to start a turn in this conversation; ${why}; try again when it has ended`,
    { retryAfterMs: 1_000, param: 'conversation' },
  );
}

/*
 * The claim queue of each conversation, in memory, by the same rules as in Redis: a turn that waits
 * or would be refused evicts a stale head, one that never created its log or whose turn ended
 * without leaving.
 */

import { SluiceError } from '../../domain/errors.js';
import { every } from '../../domain/time.js';
import { ConversationClaim, conversationBusy } from '../conversation-claim.js';
import { type MemoryLogTable } from './memory-log-table.js';

interface Member {
  readonly responseId: string;
  /** When it joined, by `Time.now()`. */
  readonly joinedAt: number;
  /** Set while the turn waits: called when it has become the head or was evicted. */
  onMove?: () => void;
}

/** How often a waiting turn checks for a stale head, in milliseconds. */
const POLL_MS = 1_000;

export class MemoryConversationClaim extends ConversationClaim {
  readonly #logs: MemoryLogTable;
  readonly #queues = new Map<string, Member[]>();
  /** Calls of `rejoin`, with the time of each by `Time.now()`. */
  readonly #rejoins = new Map<string, number>();

  constructor(logs: MemoryLogTable) {
    super();
    this.#logs = logs;
  }

  override async join(conversationId: string, responseId: string, maxWaiting: number): Promise<{ first: boolean }> {
    const index = this.#indexOf(conversationId, responseId);
    if (index >= 0) return { first: index === 0 };
    if (this.#queueOf(conversationId).length > maxWaiting) this.#evictStaleHeads(conversationId);
    const queue = this.#queueOf(conversationId);
    if (queue.length > maxWaiting) throw conversationBusy(maxWaiting);
    queue.push({ responseId, joinedAt: this.#logs.time.now() });
    this.#queues.set(conversationId, queue);
    return { first: queue.length === 1 };
  }

  override async rejoin(
    conversationId: string,
    responseId: string,
    maxWaiting: number,
    call: string,
  ): Promise<{ first: boolean }> {
    if (!this.#rejoins.has(call)) void this.leave(conversationId, responseId);
    this.#rejoins.set(call, this.#logs.time.now());
    return this.join(conversationId, responseId, maxWaiting);
  }

  override async wait(conversationId: string, responseId: string, signal: AbortSignal): Promise<void> {
    const mine = this.#queueOf(conversationId).find((member) => member.responseId === responseId);
    if (mine === undefined)
      throw new Error(`unable to wait for ${conversationId}; ${responseId} never joined its queue`);
    signal.throwIfAborted();
    this.#evictStaleHeads(conversationId);
    if (this.#indexOf(conversationId, responseId) === 0) return;
    const moved = Promise.withResolvers<void>();
    mine.onMove = () => moved.resolve();
    const onAbort = (): void => moved.reject(signal.reason as Error);
    signal.addEventListener('abort', onAbort, { once: true });
    const stopLooking = every(this.#logs.time, POLL_MS, () => this.#evictStaleHeads(conversationId));
    try {
      await moved.promise;
    } finally {
      stopLooking();
      signal.removeEventListener('abort', onAbort);
      delete mine.onMove;
    }
    if (this.#indexOf(conversationId, responseId) !== 0) throw removedFromQueue();
  }

  override async leave(conversationId: string, responseId: string): Promise<void> {
    const queue = this.#queueOf(conversationId);
    const index = this.#indexOf(conversationId, responseId);
    if (index < 0) return;
    const [left] = queue.splice(index, 1);
    left?.onMove?.();
    if (queue.length === 0) this.#queues.delete(conversationId);
    else if (index === 0) queue[0]?.onMove?.();
  }

  /** Whether a turn runs or waits in a conversation. */
  isBusy(conversationId: string): boolean {
    this.#evictStaleHeads(conversationId);
    return this.#queues.has(conversationId);
  }

  override async members(conversationId: string): Promise<readonly string[]> {
    return this.#queueOf(conversationId).map((member) => member.responseId);
  }

  /**
   * Returns the response that may write to a conversation, or undefined if no response is in its
   * queue.
   */
  writerOf(conversationId: string): string | undefined {
    return this.#queueOf(conversationId)[0]?.responseId;
  }

  /**
   * Evicts stale heads of queues without a waiting turn, and calls, which would otherwise be stored
   * for ever.
   */
  sweep(): void {
    const { time, times } = this.#logs;
    for (const [call, at] of this.#rejoins) if (time.now() - at > times.runningMs) this.#rejoins.delete(call);
    for (const conversationId of this.#queues.keys()) this.#evictStaleHeads(conversationId);
  }

  #queueOf(conversationId: string): Member[] {
    return this.#queues.get(conversationId) ?? [];
  }

  #indexOf(conversationId: string, responseId: string): number {
    return this.#queueOf(conversationId).findIndex((member) => member.responseId === responseId);
  }

  /**
   * Evicts heads, one after the other, whose turn has ended or that have had no log for a whole
   * lease.
   */
  #evictStaleHeads(conversationId: string): void {
    const { time, times } = this.#logs;
    for (;;) {
      const [head] = this.#queueOf(conversationId);
      if (head === undefined) return;
      const log = this.#logs.stateOf(head.responseId);
      const stale = log === 'ended' || (log === undefined && time.now() - head.joinedAt > times.leaseMs);
      if (!stale) return;
      void this.leave(conversationId, head.responseId);
    }
  }
}

function removedFromQueue(): SluiceError {
  return new SluiceError(
    'state_unavailable',
    'unable to wait for this conversation; its queue no longer holds this turn; send the request again',
  );
}

/* One turn at a time writes to a conversation: a first-in-first-out queue of response ids, bounded, shared by all replicas. */

export abstract class ConversationClaim {
  /**
   * Joins the queue of a conversation. `first: true`: the claim is held at once. @throws SluiceError `conversation_busy` when `maxWaiting` others
   * already wait (0: refuse rather than wait).
   */
  abstract join(conversationId: string, responseId: string, maxWaiting: number): Promise<{ readonly first: boolean }>;
  /** Resolves when `responseId` is at the head and holds the claim. Rejects with the signal's reason when it aborts. */
  abstract wait(conversationId: string, responseId: string, signal: AbortSignal): Promise<void>;
  /** Leaves the queue, held or waiting; the next one gets the claim. Idempotent. */
  abstract leave(conversationId: string, responseId: string): Promise<void>;
}

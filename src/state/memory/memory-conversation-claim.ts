/* The queue of writers of each conversation, in memory. */

import { SluiceError } from '../../domain/errors.js';
import { ConversationClaim } from '../conversation-claim.js';

interface Waiting {
  readonly responseId: string;
  turn?: () => void;
}

export class MemoryConversationClaim extends ConversationClaim {
  readonly #queues = new Map<string, Waiting[]>();

  override async join(conversationId: string, responseId: string, maxWaiting: number): Promise<{ first: boolean }> {
    const queue = this.#queues.get(conversationId) ?? [];
    if (queue.length > maxWaiting) throw busy(maxWaiting);
    queue.push({ responseId });
    this.#queues.set(conversationId, queue);
    return { first: queue.length === 1 };
  }

  override async wait(conversationId: string, responseId: string, signal: AbortSignal): Promise<void> {
    const queue = this.#queues.get(conversationId) ?? [];
    const mine = queue.find((waiting) => waiting.responseId === responseId);
    if (mine === undefined)
      throw new Error(`unable to wait for ${conversationId}; ${responseId} never joined its queue`);
    signal.throwIfAborted();
    if (queue[0] === mine) return;
    await new Promise<void>((resolve, reject) => {
      const onAbort = (): void => reject(signal.reason as Error);
      signal.addEventListener('abort', onAbort, { once: true });
      mine.turn = () => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      };
    });
  }

  override async leave(conversationId: string, responseId: string): Promise<void> {
    const queue = this.#queues.get(conversationId);
    const index = queue?.findIndex((waiting) => waiting.responseId === responseId) ?? -1;
    if (queue === undefined || index < 0) return;
    queue.splice(index, 1);
    if (queue.length === 0) this.#queues.delete(conversationId);
    else if (index === 0) queue[0]?.turn?.();
  }
}

/** The refusal both stores give when a conversation's queue is full. */
export function busy(maxWaiting: number): SluiceError {
  const why = maxWaiting === 0 ? 'another turn is running in it' : `${maxWaiting} turns already wait for it`;
  return new SluiceError(
    'conversation_busy',
    `unable to start a turn in this conversation; ${why}; try again when it has ended`,
    {
      retryAfterMs: 1_000,
      param: 'conversation',
    },
  );
}

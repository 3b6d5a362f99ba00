/* The queue of writers of each conversation, in memory. */

import { ConversationClaim } from '../conversation-claim.js';
import { conversationBusy } from '../conversation-busy.js';

interface Member {
  readonly responseId: string;
  /** Set while it waits. */
  onTurn?: () => void;
}

export class MemoryConversationClaim extends ConversationClaim {
  readonly #queues = new Map<string, Member[]>();
  readonly #watchers = new Map<string, Set<(responseId: string) => void>>();

  override async join(conversationId: string, responseId: string, maxWaiting: number): Promise<{ first: boolean }> {
    const queue = this.#queues.get(conversationId) ?? [];
    const index = queue.findIndex((member) => member.responseId === responseId);
    if (index >= 0) return { first: index === 0 };
    if (queue.length > maxWaiting) throw conversationBusy(maxWaiting);
    queue.push({ responseId });
    this.#queues.set(conversationId, queue);
    return { first: queue.length === 1 };
  }

  override async wait(conversationId: string, responseId: string, signal: AbortSignal): Promise<void> {
    const queue = this.#queues.get(conversationId) ?? [];
    const mine = queue.find((member) => member.responseId === responseId);
    if (mine === undefined)
      throw new Error(`unable to wait for ${conversationId}; ${responseId} never joined its queue`);
    signal.throwIfAborted();
    if (queue[0] === mine) return;
    await new Promise<void>((resolve, reject) => {
      const onAbort = (): void => reject(signal.reason as Error);
      signal.addEventListener('abort', onAbort, { once: true });
      mine.onTurn = () => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      };
    });
  }

  override async leave(conversationId: string, responseId: string): Promise<void> {
    const queue = this.#queues.get(conversationId);
    const index = queue?.findIndex((member) => member.responseId === responseId) ?? -1;
    if (queue === undefined || index < 0) return;
    queue.splice(index, 1);
    if (queue.length === 0) this.#queues.delete(conversationId);
    else if (index === 0) queue[0]?.onTurn?.();
  }

  override async announce(conversationId: string, responseId: string): Promise<void> {
    for (const onResponse of this.#watchers.get(conversationId) ?? []) onResponse(responseId);
  }

  override async members(conversationId: string): Promise<readonly string[]> {
    return (this.#queues.get(conversationId) ?? []).map((member) => member.responseId);
  }

  override async watch(conversationId: string, onResponse: (responseId: string) => void): Promise<() => void> {
    const watchers = this.#watchers.get(conversationId) ?? new Set();
    const watcher = (responseId: string): void => onResponse(responseId);
    watchers.add(watcher);
    this.#watchers.set(conversationId, watchers);
    return () => {
      watchers.delete(watcher);
      if (watchers.size === 0 && this.#watchers.get(conversationId) === watchers) this.#watchers.delete(conversationId);
    };
  }
}

/*
 * How a turn leaves its conversation: it writes the last events before its terminal event, adds its
 * items and releases its place in the queue, in one step. The log holds at least what the
 * conversation holds, so a replica that ends a lost turn reports what was stored.
 */

import { type LoggedEvent } from '../domain/event.js';
import { type StoredItem } from '../domain/item.js';
import { type ConversationStore } from './conversation-store.js';
import { type AppendResult, type EventLog, type Fence } from './event-log.js';

export interface Leaving {
  readonly conversationId: string;
  readonly responseId: string;
  readonly fence: Fence;
  readonly events: readonly LoggedEvent[];
  readonly items: readonly StoredItem[];
}

export type Left =
  | (Extract<AppendResult, { readonly outcome: 'appended' }> & {
      /** False if the conversation no longer exists. */
      readonly kept: boolean;
    })
  | Extract<AppendResult, { readonly outcome: 'fenced' }>;

/** Takes these steps one after the other. A store for which each is a command overrides it. */
export class ConversationExit {
  readonly #events: Pick<EventLog, 'append'>;
  readonly #conversations: Pick<ConversationStore, 'appendItems'>;

  constructor(events: Pick<EventLog, 'append'>, conversations: Pick<ConversationStore, 'appendItems'>) {
    this.#events = events;
    this.#conversations = conversations;
  }

  /**
   * Appends the events like EventLog.append, then the items like ConversationStore.appendItems. A
   * replica that no longer owns the log adds nothing and stays in the queue. Idempotent.
   * @throws SluiceError `conversation_busy` if another response holds the claim;
   * `state_unavailable`
   */
  async exit({ conversationId, responseId, fence, events, items }: Leaving): Promise<Left> {
    const appended = await this.#append(responseId, fence, events);
    if (appended.outcome === 'fenced') return appended;
    return { ...appended, kept: await this.#conversations.appendItems(conversationId, items, responseId) };
  }

  async #append(responseId: string, fence: Fence, events: readonly LoggedEvent[]): Promise<AppendResult> {
    if (events.length === 0) return { outcome: 'appended', cancelRequested: false };
    return this.#events.append(responseId, fence, events);
  }
}

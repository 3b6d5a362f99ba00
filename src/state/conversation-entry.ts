/*
 * How a turn enters its conversation: it takes its place in the queue and, as the head, reads the
 * newest items, in one step.
 */

import { isWithin, type Reach } from '../domain/principal.js';
import { type StoredItem } from '../domain/item.js';
import { type ConversationClaim } from './conversation-claim.js';
import { type ConversationStore } from './conversation-store.js';

export interface Entering {
  readonly conversationId: string;
  readonly responseId: string;
  /** The owners whose conversations the turn may enter. */
  readonly reach: Reach;
  /** See ConversationClaim.join. */
  readonly maxWaiting: number;
  /** Most items that are read. */
  readonly maxItems: number;
}

export interface Entered {
  /** Whether the response holds the claim. If not, it has to wait. */
  readonly first: boolean;
  /**
   * The newest items, oldest first. Absent if the turn has to wait, since turns before it add
   * items, and if they could not be read. The turn reads them later then.
   */
  readonly recent?: readonly StoredItem[];
}

/** Takes these steps one after the other. A store for which each is a command overrides it. */
export class ConversationEntry {
  readonly #claim: Pick<ConversationClaim, 'join'>;
  readonly #conversations: Pick<ConversationStore, 'get' | 'recentItems'>;

  constructor(claim: Pick<ConversationClaim, 'join'>, conversations: Pick<ConversationStore, 'get' | 'recentItems'>) {
    this.#claim = claim;
    this.#conversations = conversations;
  }

  /**
   * Joins the queue of a conversation like ConversationClaim.join, if the conversation exists and
   * its owner is in reach.
   * @returns undefined if there is no such conversation; nothing has changed then
   * @throws SluiceError `conversation_busy`; `state_unavailable`, in which case the response may be
   * in the queue
   */
  async enter({ conversationId, responseId, reach, maxWaiting, maxItems }: Entering): Promise<Entered | undefined> {
    const conversation = await this.#conversations.get(conversationId);
    if (conversation === undefined || !isWithin(reach, conversation.owner)) return undefined;
    const { first } = await this.#claim.join(conversationId, responseId, maxWaiting);
    if (!first) return { first };
    const recent = await this.#conversations.recentItems(conversationId, maxItems).catch(() => undefined);
    return { first, ...(recent === undefined ? {} : { recent }) };
  }
}

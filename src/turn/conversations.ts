/* The conversations of a caller: made and read by their owners only; somebody else's answers like one that does not exist. */

import { type Conversation } from '../domain/conversation.js';
import { newId } from '../domain/ids.js';
import { type Item } from '../domain/item.js';
import { type Principal, reaches } from '../domain/principal.js';
import { type ConversationStore } from '../state/conversation-store.js';
import { conversationNotFound } from './admission.js';

export class Conversations {
  readonly #store: ConversationStore;

  constructor(store: ConversationStore) {
    this.#store = store;
  }

  async create(
    caller: Principal,
    metadata: Readonly<Record<string, string>>,
    items: readonly Item[],
  ): Promise<Conversation> {
    const now = Math.floor(Date.now() / 1_000);
    const conversation = { id: newId('conv'), owner: caller.owner, createdAt: now, updatedAt: now, metadata };
    await this.#store.create(
      conversation,
      items.map((item) => ({ item, responseId: null, withheld: false })),
    );
    return conversation;
  }

  /** @throws SluiceError `conversation_not_found` */
  async get(caller: Principal, id: string): Promise<Conversation> {
    const conversation = await this.#store.get(id);
    if (conversation === undefined || !reaches(caller, conversation.owner)) throw conversationNotFound();
    return conversation;
  }
}

/*
 * Creates, reads, changes and deletes the conversations of a caller and their items. A conversation
 * of another owner is reported as not found. Turns write their items themselves. Adding items here
 * takes the same claim as a turn takes.
 */

import { derivedTitle } from '../domain/conversation-title.js';
import { type Conversation } from '../domain/conversation.js';
import { SluiceError } from '../domain/errors.js';
import { itemIdsOf, itemPrefix, newId } from '../domain/ids.js';
import { type Item, type StoredItem } from '../domain/item.js';
import { type Principal, reaches } from '../domain/principal.js';
import { systemTime, type Time } from '../domain/time.js';
import { type ConversationClaim, SURE_OF_PLACE_MS } from '../state/conversation-claim.js';
import { type ConversationStore, type ItemQuery, type Page, type ResponseStore } from '../state/conversation-store.js';
import { type EventLog } from '../state/event-log.js';
import { conversationNotFound } from './response-errors.js';
import { mayInstruct, refuseHistory, refuseHumanItems, refuseInstructingItems } from './instruction-rules.js';
import { refuseLargeItems } from './item-size.js';
import { type MediaCheck } from './media-check.js';
import { removeConversation } from './conversation-removal.js';
import { retryWhileUnavailable } from './retry-while-unavailable.js';
import { classOf } from './caller-rules.js';

export interface ConversationParts {
  readonly store: ConversationStore;
  readonly claim: ConversationClaim;
  readonly events: Pick<EventLog, 'requestCancel' | 'read' | 'delete'>;
  /**
   * `clients.allow.instructions`. Null: only trusted callers may write system and developer
   * messages.
   */
  readonly allowInstructions: boolean | null;
  /** `clients.allow.history`. Null: only trusted callers may write what the model says. */
  readonly allowHistory: boolean | null;
  readonly responses: Pick<ResponseStore, 'delete'>;
  /** Maximum size of an item, in bytes (`state.max_bytes`). */
  readonly maxItemBytes: number;
  readonly media: MediaCheck;
  readonly time?: Time;
}

/** How long adding items is retried while the store is unavailable, in milliseconds. */
const APPEND_WITHIN_MS = 2_000;

export class Conversations {
  readonly #store: ConversationStore;
  readonly #claim: ConversationClaim;
  readonly #events: ConversationParts['events'];
  readonly #allowInstructions: boolean | null;
  readonly #allowHistory: boolean | null;
  readonly #responses: ConversationParts['responses'];
  readonly #maxItemBytes: number;
  readonly #media: MediaCheck;
  readonly #time: Time;

  constructor({
    store,
    claim,
    events,
    allowInstructions,
    allowHistory,
    responses,
    maxItemBytes,
    media,
    time = systemTime,
  }: ConversationParts) {
    this.#store = store;
    this.#claim = claim;
    this.#events = events;
    this.#allowInstructions = allowInstructions;
    this.#allowHistory = allowHistory;
    this.#responses = responses;
    this.#maxItemBytes = maxItemBytes;
    this.#media = media;
    this.#time = time;
  }

  async create(
    caller: Principal,
    metadata: Readonly<Record<string, string>>,
    items: readonly Item[],
  ): Promise<Conversation> {
    await this.#check(caller, items);
    const now = Math.floor(this.#time.date() / 1_000);
    const conversation = {
      id: newId('conv', this.#time),
      owner: caller.owner,
      ...classOf(caller.limitsClass),
      createdAt: now,
      updatedAt: now,
      metadata,
    };
    const stored = written(items, conversation.id, this.#time);
    await this.#store.create(conversation, stored);
    return named({ ...conversation, title: derivedTitle(stored)?.text ?? null });
  }

  async #check(caller: Principal, items: readonly Item[]): Promise<void> {
    if (!mayInstruct(caller, this.#allowInstructions)) refuseInstructingItems(items, 'items');
    if (!(this.#allowHistory ?? caller.trusted)) refuseHistory(items, 'items');
    refuseHumanItems(caller, items);
    refuseLargeItems(items, this.#maxItemBytes, 'items');
    await this.#media.check(caller, items, 'items');
  }

  /** @throws SluiceError `conversation_not_found` */
  async get(caller: Principal, id: string): Promise<Conversation> {
    const conversation = await this.#store.get(id);
    if (conversation === undefined || !reaches(caller, conversation.owner, id)) throw conversationNotFound();
    return conversation;
  }

  /** @throws SluiceError `conversation_not_found` */
  async retrieve(caller: Principal, id: string): Promise<Conversation> {
    return named(await this.get(caller, id));
  }

  /**
   * Lists the caller's conversations, most recently changed first.
   * @throws SluiceError `invalid_cursor`
   */
  async list(
    caller: Principal,
    query: { readonly limit: number; readonly after?: string },
  ): Promise<Page<Conversation>> {
    if (query.after !== undefined && (await this.#store.get(query.after))?.owner !== caller.owner) throw lostPlace();
    const only = caller.binding?.conversation;
    if (only !== undefined)
      return { data: query.after === only ? [] : [await this.retrieve(caller, only)], hasMore: false };
    const page = await this.#store.listByOwner(caller.owner, query);
    return { ...page, data: page.data.map(named) };
  }

  /** Replaces the metadata. @throws SluiceError `conversation_not_found` */
  async update(caller: Principal, id: string, metadata: Readonly<Record<string, string>>): Promise<Conversation> {
    await this.get(caller, id);
    const updated = await this.#store.updateMetadata(id, metadata);
    if (updated === undefined) throw conversationNotFound();
    return named(updated);
  }

  /**
   * Deletes a conversation with its items, and cancels the turns that run or wait in it.
   * @param responses whether the responses of its items are deleted too; those that run get their
   * terminal and are not stored
   * @throws SluiceError `conversation_not_found`
   */
  async remove(caller: Principal, id: string, responses: 'delete' | 'keep' = 'delete'): Promise<void> {
    await this.get(caller, id);
    await removeConversation(id, responses, {
      store: this.#store,
      claim: this.#claim,
      events: this.#events,
      responses: this.#responses,
      time: this.#time,
    });
  }

  /** @throws SluiceError `conversation_not_found`, `invalid_cursor` */
  async listItems(caller: Principal, id: string, query: ItemQuery): Promise<Page<StoredItem>> {
    await this.get(caller, id);
    if (query.after !== undefined && (await this.#store.getItem(id, query.after)) === undefined) throw lostPlace();
    return this.#store.listItems(id, query);
  }

  /**
   * Appends items while no turn runs. A running turn has read the conversation already: its answer
   * would follow items that it never saw.
   * @throws SluiceError `conversation_not_found`, `conversation_busy`
   */
  async addItems(caller: Principal, id: string, items: readonly Item[]): Promise<readonly StoredItem[]> {
    await this.get(caller, id);
    await this.#check(caller, items);
    const stored = written(items, id, this.#time);
    const writer = newId('req', this.#time);
    try {
      await this.#takeClaim(id, writer);
      // An append whose reply is lost may still arrive at the store after the claim is released,
      // and add its items in the middle of another turn. Repeating it prevents that: after one
      // successful append, a late copy adds nothing. The retries end well before another replica
      // may evict this writer from the queue. A successful append releases the claim.
      const added = await retryWhileUnavailable(() => this.#store.appendItems(id, stored, writer), {
        giveUpMs: APPEND_WITHIN_MS,
        time: this.#time,
      }).catch((error: unknown) => {
        throw asBusy(error);
      });
      if (!added) throw conversationNotFound();
      return stored;
    } catch (error) {
      // Do not wait for the release. Other replicas evict a writer that does not leave.
      await this.#claim.leave(id, writer).catch(() => {
        void retryWhileUnavailable(() => this.#claim.leave(id, writer), { time: this.#time }).catch(() => undefined);
      });
      throw error;
    }
  }

  async #takeClaim(id: string, writer: string): Promise<void> {
    try {
      let requestedAt = this.#time.now();
      await this.#claim.join(id, writer, 0);
      // A writer has no log, so other replicas evict it as dead if this process stalls after
      // joining. A turn may then read the conversation, and items added now would come between its
      // input and its answer. Rejoin until the reply comes in time: then the place is certain.
      while (this.#time.now() - requestedAt > SURE_OF_PLACE_MS) {
        requestedAt = this.#time.now();
        await this.#claim.rejoin(id, writer, 0, this.#time.unique());
      }
    } catch (error) {
      throw asBusy(error);
    }
  }

  /** @throws SluiceError `conversation_not_found`, `item_not_found` */
  async getItem(caller: Principal, id: string, itemId: string): Promise<StoredItem> {
    await this.get(caller, id);
    const stored = await this.#store.getItem(id, itemId);
    if (stored === undefined) throw itemNotFound();
    return stored;
  }

  /**
   * Removes an item, also while a turn runs. That turn has read the item already; later turns will
   * not.
   * @throws like `getItem`
   */
  async removeItem(caller: Principal, id: string, itemId: string): Promise<Conversation> {
    await this.get(caller, id);
    if (!(await this.#store.deleteItem(id, itemId))) throw itemNotFound();
    return this.retrieve(caller, id);
  }
}

/** Returns the conversation with the title from its metadata, if there is one. */
function named(conversation: Conversation): Conversation {
  const own = conversation.metadata['title'];
  return own === undefined || own.trim() === '' ? conversation : { ...conversation, title: own };
}

/** The items that a client writes into a conversation, with ids that name the conversation. */
function written(items: readonly Item[], conversationId: string, time: Time): readonly StoredItem[] {
  const newItemId = itemIdsOf(conversationId, time);
  return items.map((item) => ({
    item: { ...item, id: newItemId(itemPrefix(item.type)) },
    responseId: null,
    withheld: false,
  }));
}

function itemNotFound(): SluiceError {
  return new SluiceError('item_not_found', 'unable to find this item; it is not in this conversation', {
    param: 'item_id',
  });
}

/**
 * Returns the error for an unknown cursor. Listing from the start instead would show the caller all
 * entries twice.
 */
function lostPlace(): SluiceError {
  return new SluiceError(
    'invalid_cursor',
    'unable to continue this list; the entry named by `after` is not in it; list from the start',
    { param: 'after' },
  );
}

function busy(): SluiceError {
  return new SluiceError(
    'conversation_busy',
    'unable to add items; a turn is running in this conversation; try again when it has ended',
    { retryAfterMs: 1_000, param: 'conversation' },
  );
}

/**
 * Converts the refusal of an append, because another writer holds the claim, to the error that a
 * client receives.
 */
function asBusy(error: unknown): unknown {
  return error instanceof SluiceError && error.code === 'conversation_busy' ? busy() : error;
}

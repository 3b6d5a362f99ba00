/* Where conversations, their items and ended responses are kept. Says nothing of who may see them: callers compare owners. */

import { type Conversation, type NewConversation } from '../domain/conversation.js';
import { type StoredItem } from '../domain/item.js';
import { type StoredResponse } from '../domain/response.js';

export interface ItemQuery {
  readonly limit: number;
  readonly order: 'asc' | 'desc';
  /** Id of the item to start after; unknown ids start at the beginning. */
  readonly after?: string;
}

export interface Page<T> {
  readonly data: readonly T[];
  readonly hasMore: boolean;
}

/** The page of `all` that a query asks for, where all of it is at hand. */
export function pageOf<T>(
  all: readonly T[],
  idOf: (value: T) => string,
  query: { readonly limit: number; readonly after?: string },
): Page<T> {
  const start = query.after === undefined ? 0 : all.findIndex((value) => idOf(value) === query.after) + 1;
  return { data: all.slice(start, start + query.limit), hasMore: all.length > start + query.limit };
}

/** How many commits of a conversation are remembered, so that a repeated one is recognized. */
export const COMMITS_KEPT = 64;

/** `state.max_bytes` where nothing else is said. */
export const MAX_BYTES = 8 * 1024 * 1024;

/**
 * Conversations and items. Every read and write of a conversation slides its time to live (`state.ttl`). Of its items the newest
 * `state.max_messages` of at most `state.max_bytes` together are kept and read, the newest one whatever its size. A conversation's title is
 * written with the first item that has one, so that a list reads no items.
 */
export abstract class ConversationStore {
  abstract create(conversation: NewConversation, items: readonly StoredItem[]): Promise<void>;
  abstract get(id: string): Promise<Conversation | undefined>;
  /** Replaces the metadata. Undefined: no such conversation. */
  abstract updateMetadata(id: string, metadata: Readonly<Record<string, string>>): Promise<Conversation | undefined>;
  abstract delete(id: string): Promise<boolean>;
  /** The owner's conversations, newest change first. */
  abstract listByOwner(
    owner: string,
    query: { readonly limit: number; readonly after?: string },
  ): Promise<Page<Conversation>>;

  /**
   * Appends items; idempotent by `commitId` (the response's id), so that a retried or adopted commit adds nothing twice.
   * False: the conversation is gone.
   */
  abstract appendItems(id: string, items: readonly StoredItem[], commitId: string): Promise<boolean>;
  /** The newest `limit` items within the bounds, oldest first. */
  abstract recentItems(id: string, limit: number): Promise<readonly StoredItem[]>;
  /** Pages may hold fewer than `limit` items where those are large; `hasMore` says whether to go on. */
  abstract listItems(id: string, query: ItemQuery): Promise<Page<StoredItem>>;
  abstract getItem(id: string, itemId: string): Promise<StoredItem | undefined>;
  abstract deleteItem(id: string, itemId: string): Promise<boolean>;
}

/** Responses that have ended (and were to be stored), with the context a next one continues from. Time to live: `state.ttl`, sliding. */
export abstract class ResponseStore {
  /**
   * Stores the end of a response unless one is stored already: the first end wins. Safe to repeat after a lost reply.
   * @returns the end that is stored: `stored` itself or an earlier one; undefined if the response was deleted
   * @throws SluiceError `state_unavailable`
   */
  abstract put(stored: StoredResponse): Promise<StoredResponse | undefined>;
  abstract get(id: string): Promise<StoredResponse | undefined>;
  /**
   * Deletes a response and remembers the deletion for `deletedMs`, so that a replica that was away cannot store the response again.
   * @returns whether the response was stored
   */
  abstract delete(id: string): Promise<boolean>;
}

/*
 * The contracts of stored conversations, their items and ended responses. They check no access:
 * callers compare owners.
 */

import { type Conversation, type NewConversation } from '../domain/conversation.js';
import { SluiceError } from '../domain/errors.js';
import { type StoredItem } from '../domain/item.js';
import { type StoredResponse } from '../domain/response.js';

export interface ItemQuery {
  readonly limit: number;
  readonly order: 'asc' | 'desc';
  /** Id of the item to start after. An unknown id starts at the beginning. */
  readonly after?: string;
}

export interface Page<T> {
  readonly data: readonly T[];
  readonly hasMore: boolean;
}

/** Returns the page of a complete list that a query requests. */
export function pageOf<T>(
  all: readonly T[],
  idOf: (value: T) => string,
  query: { readonly limit: number; readonly after?: string },
): Page<T> {
  const start = query.after === undefined ? 0 : all.findIndex((value) => idOf(value) === query.after) + 1;
  return { data: all.slice(start, start + query.limit), hasMore: all.length > start + query.limit };
}

/** How many commit ids of a conversation are stored, so that a repeated commit is recognized. */
export const COMMITS_KEPT = 64;

/**
 * How long each commit is stored, whatever their number, in milliseconds. A writer leaves the queue
 * with its commit, so others can follow quickly. If its replica is lost before its terminal event,
 * the replica that ends the turn must still find the commit.
 */
export const COMMITTED_MS = 60_000;

/** The default of `state.max_bytes`. */
export const MAX_BYTES = 8 * 1024 * 1024;

/**
 * Conversations and items. Every read and write of a conversation extends its life to `state.ttl`.
 * The newest `state.max_messages` items are stored, up to `state.max_bytes` together; the newest
 * item is stored whatever its size. The title is written with the first item that gives one, so
 * that a list of conversations reads no items.
 */
export abstract class ConversationStore {
  abstract create(conversation: NewConversation, items: readonly StoredItem[]): Promise<void>;
  abstract get(id: string): Promise<Conversation | undefined>;
  /**
   * Replaces the metadata.
   * @returns the conversation, or undefined if there is none
   */
  abstract updateMetadata(id: string, metadata: Readonly<Record<string, string>>): Promise<Conversation | undefined>;
  /**
   * Deletes a conversation with its items.
   * @param responses `keep`: the responses of the conversation stay readable. Default: `delete`;
   * with encryption at rest they cannot be read any more
   * @returns whether it existed
   */
  abstract delete(id: string, responses?: 'delete' | 'keep'): Promise<boolean>;
  /** Returns a page of the owner's conversations, newest change first. */
  abstract listByOwner(
    owner: string,
    query: { readonly limit: number; readonly after?: string },
  ): Promise<Page<Conversation>>;
  /**
   * Returns ids of the owner's conversations, newest change first. Reads no text, so that also
   * conversations whose text cannot be decrypted can be erased.
   * @param limit most ids, at least 1
   */
  abstract idsOfOwner(owner: string, limit: number): Promise<readonly string[]>;

  /**
   * Appends the items of a writer and takes it out of the conversation's queue, in one step. The
   * writer leaves whatever the result, unless the store is unavailable. Idempotent by `commitId`,
   * so that a commit that is retried, or repeated by the replica that adopted the turn, adds
   * nothing twice, also after COMMITTED_MS of other commits. Fenced by the claim: while another
   * response is the head of the queue, nothing is added, so that an append which arrives late
   * cannot come between what the head reads and what it writes.
   * @param commitId the response, or other writer, as it joined the queue
   * @returns false if the conversation no longer exists
   * @throws SluiceError `conversation_busy` if another response holds the claim
   */
  abstract appendItems(id: string, items: readonly StoredItem[], commitId: string): Promise<boolean>;
  /** Returns the newest `limit` items within the bounds, oldest first. */
  abstract recentItems(id: string, limit: number): Promise<readonly StoredItem[]>;
  /**
   * Returns a page of items. It may hold fewer than `limit` items if they are large; `hasMore` says
   * whether more follow.
   */
  abstract listItems(id: string, query: ItemQuery): Promise<Page<StoredItem>>;
  abstract getItem(id: string, itemId: string): Promise<StoredItem | undefined>;
  /** Deletes an item. @returns whether it existed */
  abstract deleteItem(id: string, itemId: string): Promise<boolean>;
}

/**
 * Ended responses with `store: true`, each with the context that a next response continues from.
 * Each read extends the life to `state.ttl`.
 */
export abstract class ResponseStore {
  /**
   * Stores the end of a response unless an end is stored already: the first end wins. Safe to
   * repeat after a lost reply.
   * @returns the stored end: `stored` itself or an earlier one; undefined if the response was
   * deleted
   * @throws SluiceError `state_unavailable`
   */
  abstract put(stored: StoredResponse): Promise<StoredResponse | undefined>;
  abstract get(id: string): Promise<StoredResponse | undefined>;
  /**
   * Whether an end of the response was stored, or the response was deleted within `deletedMs`.
   * Distinguishes a response that ended and was deleted from one that the store has lost.
   * @throws SluiceError `state_unavailable`
   */
  abstract hasEnded(id: string): Promise<boolean>;
  /**
   * Deletes a response and stores a mark of the deletion for `deletedMs`, so that a replica that
   * was cut off cannot store the response again.
   * @returns whether the response was stored
   */
  abstract delete(id: string): Promise<boolean>;
}

/** Returns the refusal of an append whose writer no longer holds the claim. */
export function anotherWriter(): SluiceError {
  return new SluiceError(
    'conversation_busy',
    'unable to add items to this conversation; another turn writes to it; send the request again',
    { retryAfterMs: 1_000, param: 'conversation' },
  );
}

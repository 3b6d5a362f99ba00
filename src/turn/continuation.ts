/*
 * The context of a turn that continues from an earlier response. Compares no owners: admission has
 * done that.
 */

import { type StoredItem } from '../domain/item.js';
import { type StoredResponse } from '../domain/response.js';
import { type ConversationStore } from '../state/conversation-store.js';

/** Number of items to read for "all of them": more than any conversation keeps. */
export const ALL = 10_000;

/**
 * Reads all items up to and including a stored response. The items of a response in a conversation
 * are read from the conversation, so items that were removed or trimmed meanwhile are missing.
 * @returns the items, or undefined if the conversation holds none of the response's own items: its
 * position is unknown then, and continuing
 *   from another position would give a wrong answer
 * @throws SluiceError `state_unavailable`
 */
export async function contextAfter(
  { response, context, contextIn }: StoredResponse,
  conversations: Pick<ConversationStore, 'recentItems'>,
): Promise<readonly StoredItem[] | undefined> {
  if (contextIn === undefined) return context;
  const items = await conversations.recentItems(contextIn, ALL);
  const last = items.findLastIndex(({ responseId }) => responseId === response.id);
  return last < 0 ? undefined : items.slice(0, last + 1);
}

/* What a turn continues from that names an earlier response. Says nothing of who may: admission compares owners. */

import { type StoredItem } from '../domain/item.js';
import { type StoredResponse } from '../domain/response.js';
import { type ConversationStore } from '../state/conversation-store.js';

/** More items than any conversation keeps. */
export const ALL = 10_000;

/**
 * Returns everything up to and including a stored response. Of one that was made in a conversation that is what stands there now: items that
 * were removed or trimmed meanwhile are left out. Undefined where none of the response's own items is there any more: without them nothing says
 * where it stood, and an answer that continues from somewhere else would be wrong.
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

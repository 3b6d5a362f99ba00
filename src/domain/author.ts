/* Who speaks in an item, so that an interface can show people when a machine speaks. */

import { type Author, type AuthorFacts, type Item, type Role } from './item.js';

/** The author of every item that a turn produces. */
export const BY_MODEL: AuthorFacts = { author: 'model' };

/**
 * Returns the author of an item. A person who writes in place of the model is recorded in the item.
 * The output of a function comes from the client's program.
 */
export function authorOf(item: Item): Author {
  return item.sluice?.author ?? authorByRole(item);
}

/** Returns the author that the type and role of an item say. */
export function authorByRole({ type, role }: { readonly type: Item['type']; readonly role?: Role }): Author {
  if (type === 'function_call_output') return 'system';
  if (type !== 'message' || role === 'assistant') return 'model';
  return role === 'user' ? 'user' : 'system';
}

/** Returns an item as clients see it: with its author. */
export function withAuthor(item: Item): Item {
  return item.sluice === undefined ? { ...item, sluice: { author: authorOf(item) } } : item;
}

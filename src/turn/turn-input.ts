/* The items of a request in the form in which a turn stores them. */

import { type ItemIds, itemPrefix } from '../domain/ids.js';
import { type Item, type StoredItem } from '../domain/item.js';
import { type TurnPlan } from './admission.js';

/**
 * Returns the input of a turn in stored form, with ids that name where the items are stored. An
 * item that a reference named keeps its id, so that a later request finds it in the newest response
 * that holds it. In a conversation, which may hold the item already, it is stored as a copy.
 * @param withheld items that a guardrail keeps from the provider
 */
export function storedInput(
  { request, referenced, source }: TurnPlan,
  responseId: string,
  withheld: ReadonlySet<Item>,
  newItemId: ItemIds,
): readonly StoredItem[] {
  return request.input.map((item) => {
    const known = referenced?.get(item);
    const keepsId = known !== undefined && source.kind !== 'conversation';
    return {
      item: keepsId ? item : { ...item, id: newItemId(itemPrefix(item.type)) },
      responseId,
      withheld: withheld.has(item) || known?.withheld === true,
      ...(known?.reasoning === undefined ? {} : { reasoning: known.reasoning }),
    };
  });
}

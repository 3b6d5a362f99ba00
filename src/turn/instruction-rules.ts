/*
 * Which callers may instruct the model, by `instructions` or by system and developer messages,
 * which have the same effect.
 */

import { SluiceError } from '../domain/errors.js';
import { type Item } from '../domain/item.js';
import { type Principal } from '../domain/principal.js';
import { type ItemReference } from '../domain/request.js';

/**
 * Whether the caller may instruct the model.
 * @param allow `clients.allow.instructions`; null: only trusted callers may
 */
export function mayInstruct(caller: Principal, allow: boolean | null): boolean {
  return allow ?? caller.trusted;
}

/**
 * Refuses system and developer messages.
 * @param field name of the list in the request
 * @param places the place of each item in that list, where it differs
 * @throws SluiceError `parameter_not_allowed` if an item is one
 */
export function refuseInstructingItems(
  items: readonly (Item | ItemReference)[],
  field: 'input' | 'items',
  places?: readonly number[],
): void {
  const at = items.findIndex((item) => item.type === 'message' && item.role !== 'user' && item.role !== 'assistant');
  if (at >= 0) refuseParameter(`${field}[${places?.[at] ?? at}].role`);
}

/**
 * Refuses items that only the model may write: its messages, function calls and reasoning. A
 * summary is sealed for its owner, so it may be sent back.
 * @param field name of the list in the request
 * @throws SluiceError `parameter_not_allowed` if an item is one
 */
export function refuseHistory(items: readonly (Item | ItemReference)[], field: 'input' | 'items'): void {
  const at = items.findIndex(
    (item) =>
      (item.type === 'message' && item.role === 'assistant') ||
      item.type === 'function_call' ||
      item.type === 'reasoning',
  );
  if (at >= 0) refuseParameter(`${field}[${at}].${items[at]?.type === 'message' ? 'role' : 'type'}`);
}

/**
 * Refuses messages in which a person writes in place of the model: only a server key can vouch for
 * that.
 * @throws SluiceError `parameter_not_allowed` if an item is one
 */
export function refuseHumanItems(caller: Principal, items: readonly Item[]): void {
  const at = caller.trusted ? -1 : items.findIndex(({ sluice }) => sluice?.author === 'human');
  if (at >= 0) refuseParameter(`items[${at}].sluice.author`);
}

/** Refuses a parameter that the caller may not set. @throws SluiceError `parameter_not_allowed` */
export function refuseParameter(param: string): never {
  throw new SluiceError(
    'parameter_not_allowed',
    `unable to accept ${param}; the configuration does not allow this caller to set it; leave it out`,
    { param },
  );
}

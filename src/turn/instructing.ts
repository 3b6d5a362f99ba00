/* Who may instruct the model, and how: by `instructions`, or by system and developer messages, which are the same by another way. */

import { SluiceError } from '../domain/errors.js';
import { type Item } from '../domain/item.js';
import { type Principal } from '../domain/principal.js';

/** `allow` as the configuration has it; null: callers that are trusted may. */
export function mayInstruct(caller: Principal, allow: boolean | null): boolean {
  return allow ?? caller.trusted;
}

/** @throws SluiceError `parameter_not_allowed` where an item instructs. `field` names the list in the request. */
export function refuseInstructingItems(items: readonly Item[], field: 'input' | 'items'): void {
  const at = items.findIndex((item) => item.type === 'message' && item.role !== 'user' && item.role !== 'assistant');
  if (at >= 0) refuseParameter(`${field}[${at}].role`);
}

/** @throws SluiceError `parameter_not_allowed` */
export function refuseParameter(param: string): never {
  throw new SluiceError(
    'parameter_not_allowed',
    `unable to accept ${param}; the configuration does not let this caller set it`,
    { param },
  );
}

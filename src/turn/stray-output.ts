/* Refuses outputs of functions that answer no open call. */

import { strayOutput } from '../domain/context.js';
import { SluiceError } from '../domain/errors.js';
import { type Item, type StoredItem } from '../domain/item.js';

/**
 * Refuses a function call output without an open call. Providers refuse such input, so a
 * conversation that stored it could not continue.
 * @param places the place of each item in the request, where it differs
 * @throws SluiceError `unknown_call_id`, or `invalid_value` if the call has an output already
 */
export function refuseStrayOutput(
  context: readonly StoredItem[],
  input: readonly Item[],
  places?: readonly number[],
): void {
  const stray = strayOutput(context, input);
  if (stray === undefined) return;
  const param = `input[${places?.[stray.index] ?? stray.index}].call_id`;
  if (stray.repeated) throw repeatedOutput(param);
  throw new SluiceError(
    'unknown_call_id',
    'unable to use a function_call_output; no earlier function call has its call_id; send the call too',
    { param },
  );
}

/** Returns the refusal of a second output for one call. */
export function repeatedOutput(param: string): SluiceError {
  return new SluiceError(
    'invalid_value',
    'unable to use a function_call_output; its function call has an output already; send each output once',
    { param },
  );
}

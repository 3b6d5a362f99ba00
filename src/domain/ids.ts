/* The ids that appear on the wire: a prefix that names the kind, and 128 random bits. */

import { systemTime, type Time } from './time.js';

export type IdPrefix = 'resp' | 'conv' | 'msg' | 'fc' | 'fco' | 'rs' | 'req' | 'conn' | 'chatcmpl' | 'replica';

/**
 * Returns a new id such as `resp_3f…` (32 lower-case hex digits). An id cannot be guessed. It is
 * never the only protection of a resource: owners are compared as well.
 */
export function newId(prefix: IdPrefix, time: Pick<Time, 'unique'> = systemTime): string {
  return `${prefix}_${time.unique()}`;
}

/* The ids that appear on the wire: a prefix that tells the kind, and 128 random bits. */

export type IdPrefix = 'resp' | 'conv' | 'msg' | 'fc' | 'fco' | 'req' | 'conn' | 'chatcmpl' | 'replica';

/** A fresh id such as `resp_3f…` (32 lower-case hex digits). Not guessable, yet never the only guard of a resource: owners are checked. */
export function newId(prefix: IdPrefix): string {
  return `${prefix}_${globalThis.crypto.randomUUID().replaceAll('-', '')}`;
}

/* The ids that appear on the wire: a prefix that names the kind, and 128 random bits. */

import { systemTime, type Time } from './time.js';

/** Prefixes of the ids of items. */
export type ItemPrefix = 'msg' | 'fc' | 'fco' | 'rs' | 'cmp';

export type IdPrefix = ItemPrefix | 'resp' | 'conv' | 'req' | 'conn' | 'chatcmpl' | 'replica';

/**
 * Returns a new id such as `resp_3f…` (32 lower-case hex digits). An id cannot be guessed. It is
 * never the only protection of a resource: owners are compared as well.
 */
export function newId(prefix: IdPrefix, time: Pick<Time, 'unique'> = systemTime): string {
  return `${prefix}_${time.unique()}`;
}

/** Makes the ids of the items that one response or conversation stores. */
export type ItemIds = (prefix: ItemPrefix) => string;

/** Between the home's own digits and those of the item; no hex digit. */
const HOME_MARKS = { resp: 'r', conv: 'v' } as const;
/** Random digits of an item beside those of its home. */
const ITEM_DIGITS = 16;
const HOME = /^(resp|conv)_([0-9a-f]{32})$/u;
const ITEM_OF_HOME = /^(?:msg|fc|fco|rs|cmp)_([0-9a-f]{32})([rv])[0-9a-f]{16}$/u;

/**
 * Returns a source of item ids that name where the items are stored, such as
 * `msg_<digits of resp_...>r<16 digits>`. A stored item is found by its id without an index, which
 * would need a write for each turn and a bound of its own.
 * @param home id of the response or conversation
 */
export function itemIdsOf(home: string, time: Pick<Time, 'unique'> = systemTime): ItemIds {
  const [, kind, digits] = HOME.exec(home) ?? [];
  if (kind !== 'resp' && kind !== 'conv') return (prefix) => newId(prefix, time);
  // The last digits: a simulation counts in them.
  return (prefix) => `${prefix}_${digits}${HOME_MARKS[kind]}${time.unique().slice(-ITEM_DIGITS)}`;
}

/** Returns the response or conversation that an item id names, or undefined if it names none. */
export function homeOf(
  itemId: string,
): { readonly kind: 'response' | 'conversation'; readonly id: string } | undefined {
  const [, digits, mark] = ITEM_OF_HOME.exec(itemId) ?? [];
  if (digits === undefined) return undefined;
  return mark === HOME_MARKS.resp
    ? { kind: 'response', id: `resp_${digits}` }
    : { kind: 'conversation', id: `conv_${digits}` };
}

/** Returns the prefix of the ids of one type of item. */
export function itemPrefix(type: keyof typeof ITEM_PREFIXES): ItemPrefix {
  return ITEM_PREFIXES[type];
}

const ITEM_PREFIXES = {
  message: 'msg',
  function_call: 'fc',
  function_call_output: 'fco',
  reasoning: 'rs',
  compaction: 'cmp',
} as const;

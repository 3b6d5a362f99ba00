/*
 * Sizes of input. Computes the bytes of a request, and refuses items that are too large for any
 * conversation, before a turn starts or anything is stored.
 */

import { SluiceError } from '../domain/errors.js';
import { type Item, itemText, mediaOf, storedBytes } from '../domain/item.js';
import { addressOf } from '../domain/media.js';
import { isReference, type ItemReference, type ResponseRequest } from '../domain/request.js';
import { MOST_LOGPROB_BYTES } from './answer-logprobs.js';

/** Maximum bytes of one character in JSON (`\\u0000`). */
const BYTES_PER_CHARACTER = 6;
/** Upper bound of the bytes in a stored item beside its text. */
const BYTES_AROUND_TEXT = 64 * 1024;

/**
 * Refuses items that are larger than `maxBytes` (`state.max_bytes`).
 * @throws SluiceError `invalid_value`
 */
export function refuseLargeItems(items: readonly (Item | ItemReference)[], maxBytes: number, param: string): void {
  items.forEach((item, i) => {
    if (isReference(item)) return;
    // Almost every item is far below the limit. Serialize only those that may exceed it.
    if (bytesAtMost(item) + BYTES_AROUND_TEXT <= maxBytes) return;
    const bytes = storedBytes({ item, responseId: null, withheld: false });
    if (bytes <= maxBytes) return;
    throw new SluiceError(
      'invalid_value',
      `unable to store this item; it takes ${bytes} bytes and a conversation keeps ${maxBytes}; send a shorter item`,
      { param: `${param}[${i}]` },
    );
  });
}

/**
 * Returns an upper bound of the bytes of an item. The data of images and files is ASCII and takes
 * one byte for each character.
 */
function bytesAtMost(item: Item): number {
  const text = itemText(item).length * BYTES_PER_CHARACTER;
  return mediaOf(item).reduce((sum, part) => sum + addressOf(part).length, text);
}

/**
 * Returns the bytes of a request: instructions, tools and items, and what its log probabilities may
 * take.
 */
export function requestBytes({ instructions, tools, input, sampling }: ResponseRequest): number {
  let bytes = Buffer.byteLength(instructions ?? '') + (tools === undefined ? 0 : JSON.stringify(tools).length);
  if (sampling?.topLogprobs !== undefined) bytes += MOST_LOGPROB_BYTES;
  for (const item of input) bytes += isReference(item) ? item.id.length : itemBytes(item);
  return bytes;
}

/** Returns the bytes of text in an item, and of its images and files as they are sent. */
export function itemBytes(item: Item): number {
  return mediaOf(item).reduce((sum, part) => sum + addressOf(part).length, textBytes(item));
}

/** Returns the bytes of text in an item. */
export function textBytes(item: Item): number {
  return Buffer.byteLength(itemText(item));
}

/*
 * The size of a turn's input. Cheap enough to compute for every request, before anything is stored.
 */

import { type Item, messageText, thoughtText } from '../domain/item.js';
import { type ResponseRequest } from '../domain/request.js';

/** Returns the bytes of text in a request: instructions, tools and items. */
export function requestBytes({ instructions, tools, input }: ResponseRequest): number {
  let bytes = Buffer.byteLength(instructions ?? '') + (tools === undefined ? 0 : JSON.stringify(tools).length);
  for (const item of input) bytes += itemBytes(item);
  return bytes;
}

/** Returns the bytes of text in an item. */
export function itemBytes(item: Item): number {
  if (item.type === 'message') return Buffer.byteLength(messageText(item, true));
  if (item.type === 'reasoning') return Buffer.byteLength(thoughtText(item));
  return Buffer.byteLength(item.type === 'function_call' ? item.name + item.arguments : item.output);
}

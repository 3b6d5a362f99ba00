/*
 * Reads JSON from clients. Counts values and nesting in the text before it is parsed, so that the
 * cost of a request is bounded by its length: neither the parser nor a schema sees more than
 * MOST_VALUES values.
 */

import { SluiceError } from '../domain/errors.js';

/**
 * Most values of one request: lists, maps, strings, numbers and literals. A request with 1,000
 * items and 128 tools has about 27,000.
 */
export const MOST_VALUES = 32_000;
/** Most levels of nesting: 64 of a JSON Schema, plus the request around it. */
export const MOST_LEVELS = 96;

/**
 * Parses one JSON text.
 * @param what the name of the text in errors: `the request`, `the message`
 * @throws SluiceError `invalid_json`, or `invalid_request` if the text has too many values or
 * levels
 */
export function readJson(text: string, what: string, remedy: string): unknown {
  const excess = excessOf(text);
  if (excess !== undefined) throw new SluiceError('invalid_request', `unable to read ${what}; ${excess}`);
  try {
    return JSON.parse(text);
  } catch {
    throw new SluiceError('invalid_json', `unable to read ${what}; ${remedy}`);
  }
}

const [QUOTE, COMMA, BACKSLASH] = [0x22, 0x2c, 0x5c];
const [OPEN_LIST, CLOSE_LIST, OPEN_MAP, CLOSE_MAP] = [0x5b, 0x5d, 0x7b, 0x7d];

/**
 * Returns the bound that the text exceeds, or undefined. Reads the text once, and skips strings
 * with the engine's own search.
 */
function excessOf(text: string): string | undefined {
  let values = 1;
  let levels = 0;
  for (let i = 0; i < text.length; i++) {
    switch (text.charCodeAt(i)) {
      case QUOTE:
        i = endOfString(text, i);
        break;
      case COMMA:
        values += 1;
        break;
      case OPEN_LIST:
      case OPEN_MAP:
        values += 1;
        levels += 1;
        if (levels > MOST_LEVELS) return `it is nested more than ${MOST_LEVELS} levels deep; send a flatter one`;
        break;
      case CLOSE_LIST:
      case CLOSE_MAP:
        levels -= 1;
    }
    if (values > MOST_VALUES) return `it has more than ${MOST_VALUES} values; send fewer`;
  }
  return undefined;
}

/**
 * Returns the index of the quote that ends the string at `start`, or the length of the text if no
 * quote does.
 */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    let slashes = 0;
    while (text.charCodeAt(end - 1 - slashes) === BACKSLASH) slashes += 1;
    if (slashes % 2 === 0) return end;
  }
  return text.length;
}

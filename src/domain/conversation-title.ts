/* What a history calls a conversation that its client gave no title: how the first question in it begins. Pure. */

import { messageText, type StoredItem } from './item.js';

export interface DerivedTitle {
  readonly text: string;
  /** The item that it was taken from. */
  readonly itemId: string;
}

/** Most characters (as people count them) of a derived title. */
const LONGEST = 60;
/** A title is cut at a word where one ends not too far before the limit, else in the middle of one. */
const SHORTEST = 30;
/** What is looked at of a message: more than any title needs. */
const LOOKED_AT = 1_000;

const graphemes = new Intl.Segmenter('und', { granularity: 'grapheme' });

/** Returns the beginning of the first user message that was not withheld, on one line, or null where there is none. */
export function derivedTitle(items: readonly StoredItem[]): DerivedTitle | null {
  for (const { item, withheld } of items) {
    if (withheld || item.type !== 'message' || item.role !== 'user') continue;
    const line = messageText(item).slice(0, LOOKED_AT).replace(/\s+/gu, ' ').trim();
    if (line !== '') return { text: cut(line), itemId: item.id };
  }
  return null;
}

function cut(line: string): string {
  const characters = Array.from(graphemes.segment(line), ({ segment }) => segment);
  if (characters.length <= LONGEST) return line;
  const space = characters.lastIndexOf(' ', LONGEST);
  const end = space >= SHORTEST ? space : LONGEST;
  return `${characters.slice(0, end).join('')}…`;
}

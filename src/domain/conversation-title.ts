/*
 * Derives the title of a conversation without one from the beginning of its first question. Pure.
 */

import { messageText, type StoredItem } from './item.js';

export interface DerivedTitle {
  readonly text: string;
  /** The item that it was taken from. */
  readonly itemId: string;
}

/** Maximum number of characters (grapheme clusters) of a derived title. */
const LONGEST = 60;
/**
 * How far before the limit a word must end for the title to be cut there. Otherwise the title is
 * cut inside a word.
 */
const SHORTEST = 30;
/** Number of characters of a message that are read: more than any title needs. */
const READ_CHARACTERS = 1_000;

const graphemes = new Intl.Segmenter('und', { granularity: 'grapheme' });

/**
 * Returns the beginning of the first user message that was not withheld, on one line, or null if
 * there is none.
 */
export function derivedTitle(items: readonly StoredItem[]): DerivedTitle | null {
  for (const { item, withheld } of items) {
    if (withheld || item.type !== 'message' || item.role !== 'user') continue;
    const line = messageText(item).slice(0, READ_CHARACTERS).replace(/\s+/gu, ' ').trim();
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

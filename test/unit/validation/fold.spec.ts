/*
 * Equivalent spellings fold to one text: all Unicode characters below U+3100 and the compatibility
 * characters.
 */

import { describe, expect, it } from '@jest/globals';
import { foldWord } from '../../../src/validation/guardrails/fold.js';

const read = (text: string) => foldWord(`x${text}x`).map((symbol) => symbol.codePoint);

function* characters(): Generator<string> {
  const blocks = [
    [0, 0x3100],
    [0xf900, 0xfffe],
    [0x1d400, 0x1d800],
  ] as const;
  for (const [first, end] of blocks) for (let c = first; c < end; c++) yield String.fromCodePoint(c);
}

/** Characters that fold differently, as hexadecimal code points. */
function differing(write: (character: string) => string): string[] {
  const found: string[] = [];
  for (const character of characters()) {
    if (String(read(write(character))) !== String(read(character)))
      found.push(character.codePointAt(0)?.toString(16) ?? '');
  }
  return found;
}

describe('folding', () => {
  it('folds canonically equivalent texts alike', () => {
    expect(differing((character) => character.normalize('NFC'))).toEqual([]);
    expect(differing((character) => character.normalize('NFD'))).toEqual([]);
  });

  it('folds compatible texts alike, except the spacing acute, which folds to an apostrophe', () => {
    expect(differing((character) => character.normalize('NFKD'))).toEqual(['b4', '1ffd']);
  });

  it('folds any case alike, except the Greek iota below, which stays a mark', () => {
    expect(differing((character) => character.toLowerCase())).toEqual([]);
    const unlike = differing((character) => character.toUpperCase());
    expect(
      unlike.filter((hex) => !String.fromCodePoint(parseInt(hex, 16)).normalize('NFD').includes('\u0345')),
    ).toEqual([]);
  });
});

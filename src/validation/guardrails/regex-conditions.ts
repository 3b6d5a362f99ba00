/* The conditions of a pattern between two characters (`^`, `$`, `\b`), in the bits of re2js. */

const BEGIN_LINE = 1;
export const END_LINE = 2;
const BEGIN_TEXT = 4;
export const END_TEXT = 8;
export const WORD_BOUNDARY = 16;
export const NO_WORD_BOUNDARY = 32;

export const NEWLINE = 10;
/** In place of a character: the beginning or the end of the text. */
export const NONE = -1;

/** Returns the conditions that hold after a character, or at the beginning of the text. */
export function beginsAfter(before: number): number {
  if (before === NONE) return BEGIN_TEXT | BEGIN_LINE;
  return before === NEWLINE ? BEGIN_LINE : 0;
}

/** Returns the conditions that hold between two characters. */
export function conditionsBetween(before: number, after: number): number {
  const boundary = isWord(before) === isWord(after) ? NO_WORD_BOUNDARY : WORD_BOUNDARY;
  const end = after === NONE ? END_TEXT | END_LINE : after === NEWLINE ? END_LINE : 0;
  return beginsAfter(before) | boundary | end;
}

export function isWord(codePoint: number): boolean {
  return (
    (codePoint >= 97 && codePoint <= 122) ||
    (codePoint >= 65 && codePoint <= 90) ||
    (codePoint >= 48 && codePoint <= 57) ||
    codePoint === 95
  );
}

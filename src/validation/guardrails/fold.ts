/*
 * Normalizes text before words are searched: compatibility decomposition, case folding, removal of
 * invisible characters. Spellings of one word become one sequence of symbols. Works on single code
 * points, because deltas may be cut anywhere.
 */

export interface FoldedSymbol {
  readonly codePoint: number;
  /**
   * Whether two adjacent symbols of this kind are inside one word. False for scripts without
   * spaces, where every character may begin or end a word.
   */
  readonly joins: boolean;
  /**
   * Whether it belongs to the character before it (any combining mark), so that no word ends
   * between the two.
   */
  readonly mark: boolean;
  /**
   * Whether it is a mark whose order among its neighbours has no meaning (canonical combining class
   * above 0).
   */
  readonly reorders: boolean;
}

export const SPACE = 0x20;
export const DOT_ABOVE = 0x307;
export const LETTER_I = 0x69;

/**
 * Default ignorables (soft hyphen, zero-width characters, variation selectors and others), and the
 * Arabic tatweel, which only stretches.
 */
const INVISIBLE = /^[\p{Default_Ignorable_Code_Point}\u0640]$/u;
const WORD = /^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}]$/u;
const WHITE_SPACE = /^\p{White_Space}$/u;
const MARK = /^\p{M}$/u;
const UNSPACED = /^[\p{scx=Han}\p{scx=Hiragana}\p{scx=Katakana}\p{scx=Thai}\p{scx=Lao}\p{scx=Khmer}\p{scx=Myanmar}]$/u;

/**
 * Look-alikes that people use interchangeably: apostrophes, and the dashes that NFKD keeps apart.
 */
const SAME_AS = new Map<string, string>([
  ...[...'\u2018\u2019\u201b\u02bc\u00b4\u0060'].map((quote) => [quote, "'"] as const),
  ...[...'\u2010\u2011\u2012\u2013\u2014\u2015\u2212'].map((dash) => [dash, '-'] as const),
]);

/** Folds one code point to symbols; none if it is invisible. A lone surrogate folds to itself. */
export function foldCodePoint(codePoint: number): readonly FoldedSymbol[] {
  const character = String.fromCodePoint(codePoint);
  if (INVISIBLE.test(character)) return [];
  // A compatibility symbol (™, ², ㎏) folds to its letters, but an adjacent word ends at it.
  const inWord = WORD.test(character);
  const symbols: FoldedSymbol[] = [];
  for (const decomposed of SAME_AS.get(character.normalize('NFD')) ?? foldCharacter(character)) {
    if (INVISIBLE.test(decomposed)) continue;
    const folded = SAME_AS.get(decomposed) ?? decomposed;
    symbols.push({
      codePoint: WHITE_SPACE.test(folded) ? SPACE : (folded.codePointAt(0) ?? 0),
      joins: inWord && folded === decomposed && WORD.test(folded) && !UNSPACED.test(folded),
      mark: MARK.test(folded),
      reorders: reorders(folded),
    });
  }
  return symbols;
}

/**
 * Folds a whole word to the symbols that a text must contain to match: marks in canonical order,
 * white space as single spaces.
 */
export function foldWord(word: string): FoldedSymbol[] {
  const symbols: FoldedSymbol[] = [];
  let marks: FoldedSymbol[] = [];
  let base = 0;
  const settle = (): void => {
    symbols.push(...inCanonicalOrder(marks, (mark) => mark.codePoint));
    marks = [];
  };
  for (const character of word.trim()) {
    for (const symbol of foldCodePoint(character.codePointAt(0) ?? 0)) {
      if (symbol.reorders) {
        if (!isDroppedDot(base, symbol.codePoint)) marks.push(symbol);
        continue;
      }
      settle();
      base = symbol.codePoint;
      if (base !== SPACE || (symbols.length > 0 && symbols.at(-1)?.codePoint !== SPACE)) symbols.push(symbol);
    }
  }
  settle();
  if (symbols.at(-1)?.codePoint === SPACE) symbols.pop();
  return symbols;
}

/** I, i, İ and ı fold to one letter; the dot above an i is ignored. */
function isDroppedDot(base: number, mark: number): boolean {
  return base === LETTER_I && mark === DOT_ABOVE;
}

/** Sorts the marks of one base character, so that canonically equal texts become equal. */
export function inCanonicalOrder<T>(marks: readonly T[], codePointOf: (mark: T) => number): T[] {
  if (marks.length < 2) return [...marks];
  const left = [...marks];
  const sorted: T[] = [];
  for (const character of canonical(String.fromCodePoint(...marks.map(codePointOf)))) {
    const at = left.findIndex((mark) => codePointOf(mark) === character.codePointAt(0));
    sorted.push(...left.splice(at, 1));
  }
  return sorted;
}

/**
 * Returns a run of marks in canonical order. The prepended letter keeps the first mark from
 * combining with anything else.
 */
export function canonical(marks: string): string {
  return `x${marks}`.normalize('NFD').slice(1);
}

function foldCharacter(character: string): string {
  for (let folded = character; ;) {
    const next = [...folded.normalize('NFKD')].map(foldCase).join('').normalize('NFKD');
    if (next === folded) return folded;
    folded = next;
  }
}

/**
 * Folds by way of upper case, which unites what lower case keeps apart (ſ and s, ς and σ, ß and ss,
 * ı and i).
 */
function foldCase(character: string): string {
  // Keep the iota subscript as a mark: the letter ι could not be sorted among other marks.
  return character === '\u0345' ? character : character.toUpperCase().toLowerCase();
}

/**
 * JavaScript has no API for the combining class, but only marks above class 0 are reordered next to
 * U+0323 (class 220) or U+0334 (class 1).
 */
function reorders(character: string): boolean {
  const last = `\u0323${character}`;
  const first = `${character}\u0334`;
  return last.normalize('NFD') !== last || first.normalize('NFD') !== first;
}

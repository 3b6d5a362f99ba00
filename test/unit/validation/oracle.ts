/*
 * What guardrails must report, computed the slow and simple way: whole text, a hand-written
 * character table, naive search. Shares no code with src/validation, so that the two agree only if
 * both are right.
 */

interface Reading {
  readonly reads: string;
  readonly joins: boolean;
}
const letter = (reads: string): Reading => ({ reads, joins: true });
const free = (reads: string): Reading => ({ reads, joins: false });
const nothing = free('');

/** Every character of the random texts and what it folds to. */
const CHARACTERS: Readonly<Record<string, Reading>> = {
  a: letter('a'),
  b: letter('b'),
  e: letter('e'),
  i: letter('i'),
  k: letter('k'),
  s: letter('s'),
  A: letter('a'),
  I: letter('i'),
  '1': letter('1'),
  '2': letter('2'),
  _: letter('_'),
  '\u00e9': letter('e\u0301'),
  '\u00c9': letter('e\u0301'),
  '\u1ec7': letter('e\u0323\u0302'),
  '\u00df': letter('ss'), // ß
  '\u1e9e': letter('ss'), // ẞ
  '\u017f': letter('s'), // ſ
  '\u212a': letter('k'), // Kelvin
  '\u0130': letter('i\u0307'), // İ
  '\u0131': letter('i'), // ı
  '\uff2b': letter('k'), // full-width K
  '\ufb01': letter('fi'), // ligature
  '\u{1d41a}': letter('a'), // mathematical bold a
  f: letter('f'),
  t: letter('t'),
  m: letter('m'),
  '\u2122': free('tm'), // ™
  '\u00b2': free('2'), // ²
  '\u{1f600}': free('\u{1f600}'),
  ' ': free(' '),
  '\u00a0': free(' '),
  '\n': free(' '),
  '\u00a8': free(' \u0308'), // a spacing diaeresis is a space with a mark
  "'": free("'"),
  '\u2019': free("'"),
  '\u02bc': free("'"),
  '-': free('-'),
  '\u2011': free('-'),
  '.': free('.'),
  '\u200b': nothing,
  '\u200d': nothing,
  '\u00ad': nothing,
  '\u2060': nothing,
  '\ufeff': nothing,
  '\ufe0f': nothing,
  '\u6d77': free('\u6d77'),
  '\u8cca': free('\u8cca'),
  '\u304b': free('\u304b'), // か
  '\u304c': free('\u304b\u3099'), // が
  '\uff76': free('\u30ab'), // half-width カ
  '\u30ab': free('\u30ab'),
  '\u0e01': free('\u0e01'),
  '\ud83d': free('\ud83d'), // half a pair
  '\ude00': free('\ude00'), // the other half
  '\ud835': free('\ud835'),
  '\u{1d600}': letter('s'), // what the halves above make together
};

/** Combining marks and their combining classes. */
const MARKS: Readonly<Record<string, number>> = {
  '\u0301': 230,
  '\u0302': 230,
  '\u0307': 230,
  '\u0308': 230,
  '\u0323': 220,
  '\u3099': 8,
  '\u0e48': 107,
  '\u0903': 0,
};

export const ALPHABET: readonly string[] = [...Object.keys(CHARACTERS), ...Object.keys(MARKS)];
export const INVISIBLE: readonly string[] = ALPHABET.filter((c) => CHARACTERS[c] === nothing);

interface Sign {
  readonly text: string;
  readonly at: number;
  readonly joins: boolean;
}
const isMark = (symbol: Sign) => symbol.text in MARKS;
const classOf = (symbol: Sign) => MARKS[symbol.text] ?? 0;

function symbolsOf(text: string): Sign[] {
  const symbols: Sign[] = [];
  let at = 0;
  for (const character of text) {
    const reading = CHARACTERS[character] ?? (character in MARKS ? free(character) : undefined);
    if (reading === undefined) throw new Error(`the oracle cannot read U+${character.codePointAt(0)?.toString(16)}`);
    for (const read of reading.reads) symbols.push({ text: read, at, joins: reading.joins });
    at += character.length;
  }
  // Marks of one base, in canonical order; an i has no dot.
  const ordered: Sign[] = [];
  for (let i = 0; i < symbols.length;) {
    const end = symbols.findIndex((symbol, k) => k > i && classOf(symbol) === 0);
    const cluster = symbols.slice(i, end === -1 ? symbols.length : end);
    const base = cluster.filter((symbol) => classOf(symbol) === 0);
    const marks = cluster.filter((symbol) => classOf(symbol) > 0);
    marks.sort((a, b) => classOf(a) - classOf(b));
    ordered.push(...base, ...marks.filter((mark) => !(mark.text === '\u0307' && base[0]?.text === 'i')));
    i += cluster.length;
  }
  return ordered.filter((symbol, i) => !(symbol.text === ' ' && ordered[i - 1]?.text === ' '));
}

/** What a word folds to for matching: symbols, trimmed. */
function readWord(word: string): string[] {
  const symbols = symbolsOf(word.trim()).map((symbol) => symbol.text);
  if (symbols[0] === ' ') symbols.shift();
  if (symbols.at(-1) === ' ') symbols.pop();
  return symbols;
}

/** A word that the guardrail accepts. */
export function isUsable(word: string): boolean {
  const [first] = readWord(word);
  return first !== undefined && !(first in MARKS) && word.isWellFormed();
}

/** Whether a word boundary lies between symbol `i - 1` and symbol `i`. */
function isBoundary(symbols: readonly Sign[], i: number): boolean {
  const after = symbols[i];
  if (after === undefined) return true;
  if (isMark(after)) return false;
  const before = symbols.slice(0, i).findLast((symbol) => !isMark(symbol));
  return !(before?.joins === true && after.joins);
}

/** Where the first banned word begins, in code units, or -1. */
export function firstBannedWord(text: string, words: readonly string[]): number {
  const symbols = symbolsOf(text);
  const read = words.map(readWord);
  const begins = symbols.find(
    (_, i) =>
      isBoundary(symbols, i) &&
      read.some((word) => word.every((s, k) => symbols[i + k]?.text === s) && isBoundary(symbols, i + word.length)),
  );
  return begins?.at ?? -1;
}

/** Where the text exceeds `limit` code points, or -1. */
export function overLength(text: string, limit: number): number {
  const fits = [...text].slice(0, limit).join('').length;
  return fits < text.length ? fits : -1;
}

export interface Rules {
  readonly words: readonly string[];
  readonly limit: number;
}
export interface Outcome {
  readonly reason: 'banned_word' | 'too_long' | null;
  readonly released: string;
}

/** The outcome for a whole text. If both rules break at one place, the banned word counts. */
export function outcomeOf(text: string, { words, limit }: Rules): Outcome {
  const banned = firstBannedWord(text, words);
  const long = overLength(text, limit);
  if (banned === -1 && long === -1) return { reason: null, released: text };
  if (banned !== -1 && (long === -1 || banned <= long))
    return { reason: 'banned_word', released: text.slice(0, banned) };
  return { reason: 'too_long', released: text.slice(0, long) };
}

/**
 * How much of `text` stays safe for any continuation: tries every continuation that could complete
 * a word.
 */
export function safeLength(text: string, rules: Rules): number {
  const last = text.charCodeAt(text.length - 1);
  const whole = last >= 0xd800 && last <= 0xdbff ? text.slice(0, -1) : text;
  let safe = whole.length;
  for (const more of ['', ...rules.words.flatMap(continuationsOf)]) {
    safe = Math.min(safe, outcomeOf(whole + more, rules).released.length);
  }
  // Half a pair over the limit is over it, for any other half.
  const { reason, released } = outcomeOf(text, { words: [], limit: rules.limit });
  return reason === null ? safe : Math.min(safe, released.length);
}

/**
 * Every rest of a word, each also without some of its leading marks, which may be in the text
 * already.
 */
function continuationsOf(word: string): string[] {
  const read = readWord(word);
  return read.flatMap((_, k) => {
    const rest = read.slice(k);
    const firstBase = rest.findIndex((symbol) => !(symbol in MARKS));
    const marks = firstBase === -1 ? rest : rest.slice(0, firstBase);
    const bases = firstBase === -1 ? [] : rest.slice(firstBase);
    return subsetsOf(marks).map((some) => [...some, ...bases].join(''));
  });
}

function subsetsOf(list: readonly string[]): string[][] {
  const [first, ...rest] = list;
  if (first === undefined) return [[]];
  const without = subsetsOf(rest);
  return [...without, ...without.map((subset) => [first, ...subset])];
}

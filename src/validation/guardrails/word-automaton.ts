/*
 * Banned words as flat arrays: a trie of folded symbols, and a table from code points to their
 * folded form. Built once for a list of words and shared. The table is filled as new characters
 * occur. Does not handle word boundaries.
 */

import { DOT_ABOVE, type FoldedSymbol, LETTER_I, SPACE, canonical, foldCodePoint, inCanonicalOrder } from './fold.js';

/*
 * An entry encodes the folded form of one code point: the number and flags of a symbol, or that it
 * is invisible, or (from -3 down) the index of a series of entries.
 */
export const JOINS = 1;
export const MARK = 2;
export const REORDERS = 4;
/** Whether some word begins with this symbol. */
export const BEGINS = 8;
export const SYMBOL_SHIFT = 4;
export const INVISIBLE = -1;
const NOT_YET_READ = -2;
const FIRST_SERIES = -3;

/**
 * Symbols that have a number even if no word contains them. 0 means any symbol that is in no
 * word.
 */
export const SPACE_SYMBOL = 1;
export const DOT_SYMBOL = 2;
const FIRST_FREE_SYMBOL = 3;

export const ROOT = 0;
export const DEAD = -1;

const PAGE_BITS = 8;
const PAGE_SIZE = 1 << PAGE_BITS;

export class WordAutomaton {
  /** Entries of the code points below 256, complete from the start. */
  readonly latin: Int32Array;
  /** The symbol of the letter i, or 0. */
  readonly letterI: number;

  private readonly pages: (Int32Array | undefined)[] = [];
  private readonly series: Int32Array[] = [];
  private readonly symbols = new Map<number, number>([
    [SPACE, SPACE_SYMBOL],
    [DOT_ABOVE, DOT_SYMBOL],
  ]);
  private readonly codePoints: number[] = [0, SPACE, DOT_ABOVE];
  private readonly reordering = new Set<number>();
  private readonly begins: Uint8Array;

  // The edges of state s are at firstEdge[s] up to firstEdge[s + 1], sorted by symbol.
  private readonly firstEdge: Int32Array;
  private readonly edgeSymbol: Int32Array;
  private readonly edgeTarget: Int32Array;
  /** Targets of the edges of ROOT, which has the most, by symbol. */
  private readonly firstTarget: Int32Array;
  private readonly complete: Uint8Array;

  /**
   * @param words results of `foldWord`, none empty and none beginning with a mark
   * @param where `anywhere`: a word is found inside a longer one too
   */
  constructor(
    words: readonly (readonly FoldedSymbol[])[],
    private readonly where: 'whole' | 'anywhere' = 'whole',
  ) {
    const trie: Map<number, number>[] = [new Map()];
    const complete = new Set<number>();
    for (const word of words) complete.add(this.plant(trie, word));

    this.complete = Uint8Array.from(trie, (_, state) => (complete.has(state) ? 1 : 0));
    this.begins = new Uint8Array(this.codePoints.length);
    for (const symbol of trie[ROOT]?.keys() ?? []) this.begins[symbol] = 1;
    this.firstTarget = new Int32Array(this.codePoints.length).fill(DEAD);
    for (const [symbol, target] of trie[ROOT] ?? []) this.firstTarget[symbol] = target;
    this.firstEdge = new Int32Array(trie.length + 1);
    const edges = trie.flatMap((node, state) => {
      const sorted = [...node].sort(([a], [b]) => a - b);
      this.firstEdge[state + 1] = (this.firstEdge[state] ?? 0) + sorted.length;
      return sorted;
    });
    this.edgeSymbol = Int32Array.from(edges, ([symbol]) => symbol);
    this.edgeTarget = Int32Array.from(edges, ([, target]) => target);

    this.letterI = this.symbols.get(LETTER_I) ?? 0;
    this.latin = Int32Array.from({ length: PAGE_SIZE }, (_, codePoint) => this.read(codePoint));
    this.pages[0] = this.latin;
  }

  /**
   * Returns the entry of a code point. A value below `FIRST_SERIES` refers to several entries; see
   * `seriesOf`.
   */
  entryOf(codePoint: number): number {
    const number = codePoint >> PAGE_BITS;
    const page = (this.pages[number] ??= new Int32Array(PAGE_SIZE).fill(NOT_YET_READ));
    const at = codePoint & (PAGE_SIZE - 1);
    const entry = page[at] ?? INVISIBLE;
    return entry === NOT_YET_READ ? (page[at] = this.read(codePoint)) : entry;
  }

  /** Returns the entries that a negative entry refers to. */
  seriesOf(entry: number): Int32Array {
    return this.series[FIRST_SERIES - entry] ?? new Int32Array();
  }

  /** Returns the state after the first symbol of a word, or DEAD. */
  first(symbol: number): number {
    return this.firstTarget[symbol] ?? DEAD;
  }

  /** Returns the state after `symbol`, or DEAD. */
  next(state: number, symbol: number): number {
    let low = this.firstEdge[state] ?? 0;
    let high = (this.firstEdge[state + 1] ?? 0) - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const found = this.edgeSymbol[middle] ?? 0;
      if (found === symbol) return this.edgeTarget[middle] ?? DEAD;
      if (found < symbol) low = middle + 1;
      else high = middle - 1;
    }
    return DEAD;
  }

  /** Whether a whole word ends in this state. */
  isWord(state: number): boolean {
    return this.complete[state] === 1;
  }

  sortMarks(marks: readonly number[]): readonly number[] {
    return inCanonicalOrder(marks, (symbol) => this.codePoints[symbol] ?? 0);
  }

  /**
   * Whether `marks`, in order of arrival and with more marks to come, can lead from `state` to the
   * rest of some word.
   */
  mayTakeMarks(state: number, marks: readonly number[]): boolean {
    return this.leadsOn(state, '', this.text(marks));
  }

  private leadsOn(state: number, path: string, marks: string): boolean {
    if (isCanonicallyWithin(marks, path)) return true;
    for (let edge = this.firstEdge[state] ?? 0; edge < (this.firstEdge[state + 1] ?? 0); edge++) {
      const symbol = this.edgeSymbol[edge] ?? 0;
      if (!this.reordering.has(symbol)) continue;
      if (this.leadsOn(this.edgeTarget[edge] ?? DEAD, path + this.text([symbol]), marks)) return true;
    }
    return false;
  }

  private text(symbols: readonly number[]): string {
    return String.fromCodePoint(...symbols.map((symbol) => this.codePoints[symbol] ?? 0));
  }

  private plant(trie: Map<number, number>[], word: readonly FoldedSymbol[]): number {
    let state = ROOT;
    for (const { codePoint, reorders } of word) {
      let symbol = this.symbols.get(codePoint);
      if (symbol === undefined) {
        symbol = FIRST_FREE_SYMBOL + this.symbols.size - 2;
        this.symbols.set(codePoint, symbol);
        this.codePoints.push(codePoint);
      }
      if (reorders) this.reordering.add(symbol);
      const node = trie[state];
      let target = node?.get(symbol);
      if (target === undefined) {
        target = trie.push(new Map()) - 1;
        node?.set(symbol, target);
      }
      state = target;
    }
    return state;
  }

  private read(codePoint: number): number {
    const entries = foldCodePoint(codePoint).map((symbol) => this.pack(symbol));
    const [only] = entries;
    if (only === undefined) return INVISIBLE;
    if (entries.length === 1) return only;
    this.series.push(Int32Array.from(entries));
    return FIRST_SERIES - (this.series.length - 1);
  }

  private pack({ codePoint, joins, mark, reorders }: FoldedSymbol): number {
    const symbol = this.symbols.get(codePoint) ?? 0;
    return (
      (symbol << SYMBOL_SHIFT) |
      (joins && this.where === 'whole' ? JOINS : 0) |
      (mark ? MARK : 0) |
      (reorders ? REORDERS : 0) |
      (this.begins[symbol] === 1 ? BEGINS : 0)
    );
  }
}

/** Whether marks can be added after `marks` so that the result is canonically equal to `path`. */
function isCanonicallyWithin(marks: string, path: string): boolean {
  const missing = [...path];
  for (const mark of marks) {
    const at = missing.indexOf(mark);
    if (at === -1) return false;
    missing.splice(at, 1);
  }
  return canonical(marks + missing.join('')) === path;
}

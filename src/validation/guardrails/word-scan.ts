/*
 * Searches banned words in text that arrives in pieces. It holds back exactly the text from the
 * first character that may still begin a banned word. Positions count code units of all text pushed
 * so far.
 */

import {
  BEGINS,
  DEAD,
  DOT_SYMBOL,
  INVISIBLE,
  JOINS,
  MARK,
  REORDERS,
  ROOT,
  SPACE_SYMBOL,
  SYMBOL_SHIFT,
  type WordAutomaton,
} from './word-automaton.js';

export const NOT_FOUND = -1;

export class WordScan {
  /** Where the first banned word begins once that is certain; NOT_FOUND until then. */
  found = NOT_FOUND;

  private seen = 0;
  /**
   * The first half of a surrogate pair whose second half has not arrived, or 0. It is not processed
   * before.
   */
  private highSurrogate = 0;
  /** JOINS if the character before this one joins the character after it into one word. */
  private before = 0;
  /** The last symbol that was not a reordering mark. */
  private base = 0;

  // Words that have begun and may still be completed, the earliest first. No two are in the same
  // state, because each began at another depth. `begun` counts them instead of the array length:
  // shortening and refilling an array allocates each time.
  private readonly starts: number[] = [];
  private readonly states: number[] = [];
  private begun = 0;
  /**
   * Marks on the last base character in order of arrival; the next base settles them. Empty while
   * no word has begun.
   */
  private marks: number[] = [];
  /** Start of a completed word while an earlier word may still be completed. */
  private candidate = NOT_FOUND;

  constructor(private readonly automaton: WordAutomaton) {}

  /**
   * How many code units can no longer be part of a banned word. Once `found`, where that word
   * begins.
   */
  get safe(): number {
    if (this.found !== NOT_FOUND) return this.found;
    if (this.begun > 0) return this.starts[0] ?? 0;
    return this.highSurrogate === 0 ? this.seen : this.seen - 1;
  }

  push(text: string): void {
    const latin = this.automaton.latin;
    const from = this.seen;
    const length = text.length;
    for (let i = 0; i < length && this.found === NOT_FOUND; i++) {
      const unit = text.charCodeAt(i);
      if (unit < latin.length && this.highSurrogate === 0) {
        const entry = latin[unit] ?? INVISIBLE;
        // The common case: no word has begun and none begins here.
        if (entry >= 0 && (entry & (BEGINS | MARK)) === 0 && this.begun === 0) {
          this.before = entry;
          this.base = entry >> SYMBOL_SHIFT;
        } else {
          this.read(entry, from + i);
        }
      } else {
        this.readUnit(unit, from + i);
      }
    }
    this.seen = from + length;
  }

  /** Ends the text, which completes the last word. */
  end(): void {
    if (this.found !== NOT_FOUND) return;
    this.flushSurrogate(this.seen);
    if (this.begun > 0) this.settleMarks();
    this.concludeWords();
    this.begun = 0;
    this.found = this.candidate;
  }

  private readUnit(unit: number, at: number): void {
    if (this.highSurrogate !== 0 && unit >= 0xdc00 && unit <= 0xdfff) {
      const codePoint = (this.highSurrogate - 0xd800) * 0x400 + (unit - 0xdc00) + 0x10000;
      this.highSurrogate = 0;
      this.read(this.automaton.entryOf(codePoint), at - 1);
      return;
    }
    this.flushSurrogate(at);
    if (this.found !== NOT_FOUND) return;
    if (unit >= 0xd800 && unit <= 0xdbff) this.highSurrogate = unit;
    else this.read(this.automaton.entryOf(unit), at);
  }

  /** The half pair just before `at` stays half and is processed as a character of its own. */
  private flushSurrogate(at: number): void {
    if (this.highSurrogate === 0) return;
    const lone = this.highSurrogate;
    this.highSurrogate = 0;
    this.read(this.automaton.entryOf(lone), at - 1);
  }

  private read(entry: number, at: number): void {
    if (entry === INVISIBLE) return;
    if (entry >= 0) this.take(entry, at);
    else for (const one of this.automaton.seriesOf(entry)) this.take(one, at);
  }

  private take(entry: number, at: number): void {
    if (this.found !== NOT_FOUND) return;
    const symbol = entry >> SYMBOL_SHIFT;
    if ((entry & REORDERS) !== 0) {
      this.takeMark(symbol);
      return;
    }
    const mark = (entry & MARK) !== 0;
    if (this.begun > 0) {
      // White space of any length counts as one space.
      if (symbol === SPACE_SYMBOL && this.base === SPACE_SYMBOL && this.marks.length === 0) return;
      this.settleMarks();
    }
    // A word may end before this symbol, or begin with it.
    const boundary = !mark && (this.before & entry & JOINS) === 0;
    if (boundary) this.concludeWords();
    this.advance(symbol);
    if (boundary && (entry & BEGINS) !== 0 && this.candidate === NOT_FOUND) {
      this.starts[this.begun] = at;
      this.states[this.begun] = this.automaton.first(symbol);
      this.begun++;
    }
    // A mark belongs to its base, also for the text that may follow.
    if (!mark) this.before = entry;
    this.base = symbol;
    if (this.candidate !== NOT_FOUND && this.begun === 0) this.found = this.candidate;
  }

  private takeMark(symbol: number): void {
    if (this.begun === 0) return;
    if (symbol === DOT_SYMBOL && this.base !== 0 && this.base === this.automaton.letterI) return;
    this.marks.push(symbol);
    let kept = 0;
    for (let i = 0; i < this.begun; i++) {
      const state = this.states[i] ?? ROOT;
      if (!this.automaton.mayTakeMarks(state, this.marks)) continue;
      this.states[kept] = state;
      this.starts[kept] = this.starts[i] ?? 0;
      kept++;
    }
    this.cutTo(kept);
    if (this.candidate !== NOT_FOUND && this.begun === 0) this.found = this.candidate;
  }

  private settleMarks(): void {
    if (this.marks.length === 0) return;
    const sorted = this.automaton.sortMarks(this.marks);
    this.marks = [];
    for (const mark of sorted) this.advance(mark);
  }

  /**
   * Handles the end of a word: the earliest completed word becomes the candidate, and words that
   * began with it or later are dropped.
   */
  private concludeWords(): void {
    let whole = 0;
    // A plain loop: this runs at every boundary of a word that has begun, and a callback would
    // double the cost of hostile text.
    while (whole < this.begun && !this.automaton.isWord(this.states[whole] ?? ROOT)) whole++;
    if (whole === this.begun) return;
    this.candidate = this.starts[whole] ?? NOT_FOUND;
    this.begun = whole;
  }

  private advance(symbol: number): void {
    const { states, starts, automaton } = this;
    let kept = 0;
    for (let i = 0; i < this.begun; i++) {
      const state = automaton.next(states[i] ?? ROOT, symbol);
      if (state === DEAD) continue;
      states[kept] = state;
      starts[kept] = starts[i] ?? 0;
      kept++;
    }
    this.cutTo(kept);
  }

  private cutTo(kept: number): void {
    this.begun = kept;
    if (kept === 0 && this.marks.length > 0) this.marks = [];
  }
}

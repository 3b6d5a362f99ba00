/*
 * Looks for banned words in text that comes in pieces. What it holds back is exact: from the first character that could
 * still turn out to begin a banned word, and nothing before it. Positions count code units of all text pushed so far.
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
  /** Where the first banned word begins, once that is certain; NOT_FOUND until then. */
  found = NOT_FOUND;

  private seen = 0;
  /** The first half of a surrogate pair whose second half has not come; 0: none. It is not looked at before. */
  private highSurrogate = 0;
  /** JOINS if the character before this one joins the one after it into a word. */
  private before = 0;
  /** The last symbol that was no reordering mark. */
  private base = 0;

  // Words that have begun and could still be whole, the earliest first. No two are in one state: each began at another depth.
  private readonly starts: number[] = [];
  private readonly states: number[] = [];
  /** Marks on the last base character, in the order they came: the next base settles them. Empty while no word has begun. */
  private marks: number[] = [];
  /** A whole word's start, while an earlier one could still become whole. */
  private candidate = NOT_FOUND;

  constructor(private readonly automaton: WordAutomaton) {}

  /** How many code units can no longer be part of a banned word. Once `found`, where it begins. */
  get safe(): number {
    if (this.found !== NOT_FOUND) return this.found;
    return this.starts[0] ?? (this.highSurrogate === 0 ? this.seen : this.seen - 1);
  }

  push(text: string): void {
    const latin = this.automaton.latin;
    const from = this.seen;
    const length = text.length;
    for (let i = 0; i < length && this.found === NOT_FOUND; i++) {
      const unit = text.charCodeAt(i);
      if (unit < latin.length && this.highSurrogate === 0) {
        const entry = latin[unit] ?? INVISIBLE;
        // Most text: no word has begun and none begins here.
        if (entry >= 0 && (entry & (BEGINS | MARK)) === 0 && this.starts.length === 0) {
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

  /** No more text comes: the last word is whole. */
  end(): void {
    if (this.found !== NOT_FOUND) return;
    this.flushSurrogate(this.seen);
    if (this.starts.length > 0) this.settleMarks();
    this.concludeWords();
    this.starts.length = 0;
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

  /** The half pair just before `at` stays half: it is read as a character of its own. */
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
    if (this.starts.length > 0) {
      // White space of any length is one space.
      if (symbol === SPACE_SYMBOL && this.base === SPACE_SYMBOL && this.marks.length === 0) return;
      this.settleMarks();
    }
    // A word may end before this symbol, or begin with it.
    const boundary = !mark && (this.before & entry & JOINS) === 0;
    if (boundary) this.concludeWords();
    this.advance(symbol);
    if (boundary && (entry & BEGINS) !== 0 && this.candidate === NOT_FOUND) {
      this.starts.push(at);
      this.states.push(this.automaton.next(ROOT, symbol));
    }
    // A mark belongs to its base, also in what may follow it.
    if (!mark) this.before = entry;
    this.base = symbol;
    if (this.candidate !== NOT_FOUND && this.starts.length === 0) this.found = this.candidate;
  }

  private takeMark(symbol: number): void {
    if (this.starts.length === 0) return;
    if (symbol === DOT_SYMBOL && this.base !== 0 && this.base === this.automaton.letterI) return;
    this.marks.push(symbol);
    this.keep((state) => (this.automaton.mayTakeMarks(state, this.marks) ? state : DEAD));
    if (this.candidate !== NOT_FOUND && this.starts.length === 0) this.found = this.candidate;
  }

  private settleMarks(): void {
    if (this.marks.length === 0) return;
    const sorted = this.automaton.sortMarks(this.marks);
    this.marks = [];
    for (const mark of sorted) this.advance(mark);
  }

  /** A word ends here: the earliest whole one is the candidate, and what began with it or after it no longer matters. */
  private concludeWords(): void {
    const whole = this.states.findIndex((state) => this.automaton.isWord(state));
    if (whole === -1) return;
    this.candidate = this.starts[whole] ?? NOT_FOUND;
    this.starts.length = whole;
    this.states.length = whole;
  }

  private advance(symbol: number): void {
    if (this.starts.length > 0) this.keep((state) => this.automaton.next(state, symbol));
  }

  /** Moves every begun word to its next state; those that come to nothing are dropped. */
  private keep(nextOf: (state: number) => number): void {
    let kept = 0;
    for (let i = 0; i < this.states.length; i++) {
      const state = nextOf(this.states[i] ?? ROOT);
      if (state === DEAD) continue;
      this.states[kept] = state;
      this.starts[kept] = this.starts[i] ?? 0;
      kept++;
    }
    this.states.length = kept;
    this.starts.length = kept;
    if (kept === 0) this.marks = [];
  }
}

/*
 * Runs a pattern over text that arrives in pieces, in time linear in the text. It knows at every
 * moment where the earliest match begins that may still be completed. Positions count code units of
 * all text pushed so far.
 */

import { conditionsBetween, NONE } from './regex-conditions.js';
import { NO_MATCH, type Reached, type RegexProgram, ThreadList } from './regex-program.js';

export class RegexScan {
  /**
   * Start of the earliest completed match, or -1. A match that began earlier may still be
   * completed.
   */
  matched = NO_MATCH;

  readonly #program: RegexProgram;
  #threads: ThreadList;
  #spare: ThreadList;
  /** Threads that passed a condition before the next character. */
  readonly #here: ThreadList;
  #alive = 0;
  #earliest = NONE;
  #before = NONE;
  #highSurrogate = NONE;
  #seen = 0;

  /**
   * @param keepsOn whether each match is extended to its longest form, and further matches are
   * searched for. Otherwise only threads that may complete an earlier match than `matched` are
   * followed.
   */
  constructor(
    program: RegexProgram,
    private readonly keepsOn = false,
  ) {
    this.#program = program;
    this.#threads = new ThreadList(program.size);
    this.#spare = new ThreadList(program.size);
    this.#here = new ThreadList(program.size);
  }

  /** Code units before the first that may be part of a match that is not complete. */
  get safe(): number {
    if (this.#alive > 0) return this.#earliest;
    return this.#highSurrogate === NONE ? this.#seen : this.#seen - 1;
  }

  /** @param read called after a character that may matter to a match, with where it begins */
  push(text: string, read?: (from: number) => void): void {
    const { begins } = this.#program;
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i);
      // The common case: no match has begun and none begins here.
      if (this.#alive === 0 && unit < begins.length && begins[unit] === 0 && this.#highSurrogate === NONE) {
        this.#before = unit;
        this.#seen += 1;
        continue;
      }
      const from = this.#readUnit(unit);
      if (from !== NONE) read?.(from);
    }
  }

  /** Ends the text. */
  end(): void {
    if (this.#highSurrogate !== NONE) this.#flush();
    if (this.#alive > 0) this.#follow(NONE, this.#seen);
    this.#alive = 0;
  }

  /** Reads one code unit. @returns the start of the character that it completes, or NONE */
  #readUnit(unit: number): number {
    if (this.#highSurrogate !== NONE) {
      if (unit >= 0xdc00 && unit <= 0xdfff) {
        const codePoint = (this.#highSurrogate - 0xd800) * 0x400 + (unit - 0xdc00) + 0x10000;
        this.#highSurrogate = NONE;
        this.#seen += 1;
        this.#follow(codePoint, this.#seen - 2);
        return this.#seen - 2;
      }
      this.#flush();
    }
    this.#seen += 1;
    if (unit >= 0xd800 && unit <= 0xdbff) {
      this.#highSurrogate = unit;
      return NONE;
    }
    this.#follow(unit, this.#seen - 1);
    return this.#seen - 1;
  }

  /** Treats half of a surrogate pair as a character of its own. */
  #flush(): void {
    const lone = this.#highSurrogate;
    this.#highSurrogate = NONE;
    this.#follow(lone, this.#seen - 1);
  }

  /**
   * Moves all threads, and a new one, over the character at `at`. NONE means the end of the text.
   */
  #follow(codePoint: number, at: number): void {
    const program = this.#program;
    const conditions = conditionsBetween(this.#before, codePoint);
    const threads = this.#threads;
    const next = this.#spare;
    next.size = 0;
    this.#here.size = 0;
    for (let i = 0; i < threads.size; i++) {
      const [pc, start] = [threads.pcAt(i), threads.startAt(i)];
      if (program.takesCharacter(pc)) this.#take(next, pc, start, codePoint);
      else this.#match(program.add(this.#here, pc, start, conditions, 0));
    }
    for (let i = 0; i < this.#here.size; i++) {
      if (this.#here.waitsAt(i)) this.#take(next, this.#here.pcAt(i), this.#here.startAt(i), codePoint);
    }
    if (codePoint !== NONE && (this.keepsOn || this.matched === NO_MATCH)) {
      this.#enter(next, program.startAfter(conditions, codePoint), at);
    }
    this.#before = codePoint;
    this.#spare = threads;
    this.#threads = next;
    this.#count();
  }

  #take(next: ThreadList, pc: number, start: number, codePoint: number): void {
    if (codePoint !== NONE && !this.#isLate(start)) this.#enter(next, this.#program.after(pc, codePoint), start);
  }

  #enter(next: ThreadList, reached: Reached | undefined, start: number): void {
    if (reached === undefined) return;
    for (const pc of reached.pcs) next.add(pc, start, true);
    if (reached.matches) this.#match(start);
  }

  #match(start: number): void {
    if (start !== NO_MATCH && (this.matched === NO_MATCH || start < this.matched)) this.matched = start;
  }

  /** Whether a match that began here no longer matters. */
  #isLate(start: number): boolean {
    return !this.keepsOn && this.matched !== NO_MATCH && start >= this.matched;
  }

  #count(): void {
    this.#alive = 0;
    this.#earliest = NONE;
    for (let i = 0; i < this.#threads.size; i++) {
      const start = this.#threads.startAt(i);
      if (this.#isLate(start)) continue;
      this.#alive += 1;
      if (this.#earliest === NONE || start < this.#earliest) this.#earliest = start;
    }
  }

  /** Forgets a completed match and searches the text after it. */
  forget(): void {
    this.matched = NO_MATCH;
  }
}

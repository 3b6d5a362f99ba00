/*
 * A pattern of RE2's syntax as a program for text that arrives in pieces. re2js parses and compiles
 * it. Its own matcher needs the whole text, so regex-scan.ts runs the program. Only this file
 * depends on the internals of re2js, whose version is pinned. A test compares both matchers.
 */

import { RE2JS } from 're2js';
import { beginsAfter, END_LINE, END_TEXT, NEWLINE, NO_WORD_BOUNDARY, WORD_BOUNDARY } from './regex-conditions.js';
import { kindOf, kindsTaken, liveness, type Step } from './regex-liveness.js';

/** One instruction, as re2js has it. */
interface Instruction {
  readonly op: number;
  readonly out: number;
  readonly arg: number;
  readonly runes?: readonly number[];
  matchRune(codePoint: number): boolean;
}

interface Program {
  readonly inst: readonly Instruction[];
  readonly start: number;
  readonly numLb?: number;
}

const ALT = 1;
const ALT_MATCH = 2;
const EMPTY_WIDTH = 4;
const FAIL = 5;
const MATCH = 6;
const FIRST_RUNE = 8;
const RUNE_ANY = 10;
const RUNE_ANY_NOT_NL = 11;

export const NO_MATCH = -1;

const LATIN = 256;
/** Instructions of a pattern: each costs time for every character that it may match. */
const LARGEST = 1_000;

/**
 * The result of a character: the instructions that wait for the next one, and whether there is a
 * match.
 */
export interface Reached {
  readonly pcs: Int32Array;
  readonly matches: boolean;
}

export class RegexProgram {
  readonly #program: Program;
  // Filled as they are needed. At most four entries for each instruction, and one for each set of
  // conditions with each character below 256.
  readonly #reached: (Reached | undefined)[] = [];
  readonly #startAfter = new Map<number, Reached>();
  readonly #scratch: ThreadList;
  /** Whether a match may begin with a code point below 256, if all conditions hold. */
  readonly begins: Uint8Array;
  readonly #stack: number[] = [];
  /** By `instruction * 4 + kind of the character before`: whether a match can follow. */
  readonly #live: Uint8Array;

  /** @throws Error if the pattern is invalid, matches empty text, looks behind or is too large */
  constructor(pattern: string) {
    const compiled = RE2JS.compile(pattern);
    // The class declares no members for its program.
    this.#program = (compiled as unknown as { re2(): { prog: Program } }).re2().prog;
    if ((this.#program.numLb ?? 0) > 0) throw new Error('it looks behind');
    if (this.#program.inst.length > LARGEST) throw new Error('it is too large');
    this.#scratch = new ThreadList(this.size);
    const first = new ThreadList(this.size);
    if (this.add(first, this.#program.start, 0, ANY_CONDITION, 0) !== NO_MATCH)
      throw new Error('it matches empty text');
    const start = Array.from({ length: first.size }, (_, i) => first.pcAt(i));
    this.#live = liveness(this.#program.inst.map((_, pc) => this.#step(pc)));
    this.begins = Uint8Array.from({ length: LATIN }, (_, c) => (start.some((pc) => this.#matches(pc, c)) ? 1 : 0));
  }

  get size(): number {
    return this.#program.inst.length;
  }

  /**
   * Adds a thread at an instruction, with all that it reaches without a character.
   * @param conditions those that hold here
   * @param open those that the next character decides; their instructions wait for it
   * @returns where the earliest thread began that reached a match here, or NO_MATCH
   */
  add(list: ThreadList, pc: number, start: number, conditions: number, open: number): number {
    let matched = NO_MATCH;
    const { inst } = this.#program;
    const stack = this.#stack;
    stack.length = 0;
    stack.push(pc);
    for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
      const instruction = inst[next];
      if (instruction === undefined) continue;
      const { op, out, arg } = instruction;
      if (op === MATCH) {
        matched = start;
      } else if (op >= FIRST_RUNE) {
        list.add(next, start, true);
      } else if (op === EMPTY_WIDTH) {
        if ((arg & ~conditions) === 0) {
          if (list.add(next, start, false)) stack.push(out);
        } else if ((arg & ~(conditions | open)) === 0) {
          list.add(next, start, true);
        }
      } else if (op !== FAIL && list.add(next, start, false)) {
        if (op === ALT || op === ALT_MATCH) stack.push(arg);
        stack.push(out);
      }
    }
    return matched;
  }

  /**
   * Whether an instruction waits for a character. Other waiting instructions wait for a condition.
   */
  takesCharacter(pc: number): boolean {
    return (this.#program.inst[pc]?.op ?? 0) >= FIRST_RUNE;
  }

  /** Returns where a thread is after it has taken a character, or undefined if it ends there. */
  after(pc: number, codePoint: number): Reached | undefined {
    if (!this.#matches(pc, codePoint)) return undefined;
    // What can follow depends only on the kind of the character.
    const key = 4 * pc + kindOf(codePoint);
    return (this.#reached[key] ??= this.#reachedAfter([pc], codePoint));
  }

  /**
   * Returns where a thread is that begins under these conditions with a character, like `after`.
   */
  startAfter(conditions: number, codePoint: number): Reached {
    const key = conditions * LATIN + codePoint;
    const known = codePoint < LATIN ? this.#startAfter.get(key) : undefined;
    if (known !== undefined) return known;
    const list = this.#scratch;
    list.size = 0;
    this.add(list, this.#program.start, 0, conditions, 0);
    const pcs = Array.from({ length: list.size }, (_, i) => list.pcAt(i));
    const reached = this.#reachedAfter(pcs, codePoint);
    if (codePoint < LATIN) this.#startAfter.set(key, reached);
    return reached;
  }

  #reachedAfter(pcs: readonly number[], codePoint: number): Reached {
    const list = this.#scratch;
    list.size = 0;
    let matches = false;
    for (const pc of pcs) {
      if (!this.#matches(pc, codePoint)) continue;
      const out = this.#program.inst[pc]?.out ?? 0;
      if (this.add(list, out, 0, beginsAfter(codePoint), OPEN) !== NO_MATCH) matches = true;
    }
    const kind = kindOf(codePoint);
    const waiting = Array.from({ length: list.size }, (_, i) => i).filter(
      (i) => list.waitsAt(i) && this.#live[4 * list.pcAt(i) + kind] === 1,
    );
    return { pcs: Int32Array.from(waiting, (i) => list.pcAt(i)), matches };
  }

  #step(pc: number): Step {
    const { op, out, arg, runes } = this.#program.inst[pc] as Instruction; // pc is within bounds
    if (op === MATCH) return { waitsFor: 'match' };
    if (op === EMPTY_WIDTH) return { waitsFor: 'condition', condition: arg, to: out };
    if (op >= FIRST_RUNE) {
      return { waitsFor: 'character', kinds: kindsTaken((c) => this.#matches(pc, c), runes), to: out };
    }
    if (op === FAIL) return { waitsFor: 'nothing', to: [] };
    return { waitsFor: 'nothing', to: op === ALT || op === ALT_MATCH ? [out, arg] : [out] };
  }

  #matches(pc: number, codePoint: number): boolean {
    const instruction = this.#program.inst[pc];
    if (instruction === undefined || instruction.op < FIRST_RUNE) return false;
    if (instruction.op === RUNE_ANY) return true;
    if (instruction.op === RUNE_ANY_NOT_NL) return codePoint !== NEWLINE;
    return instruction.matchRune(codePoint);
  }
}

/** Conditions that only the next character decides. */
const OPEN = END_LINE | END_TEXT | WORD_BOUNDARY | NO_WORD_BOUNDARY;

/** All conditions and their opposites, to find the characters that may begin a match. */
const ANY_CONDITION = 63;

/** A set of instructions, each with where its earliest thread began. */
export class ThreadList {
  readonly #dense: Int32Array;
  readonly #sparse: Int32Array;
  readonly #starts: Int32Array;
  readonly #waits: Uint8Array;
  size = 0;

  constructor(instructions: number) {
    this.#dense = new Int32Array(instructions);
    this.#sparse = new Int32Array(instructions);
    this.#starts = new Int32Array(instructions);
    this.#waits = new Uint8Array(instructions);
  }

  /**
   * @param waits whether the thread waits here for the next character
   * @returns false if a thread is there that began no later
   */
  add(pc: number, start: number, waits: boolean): boolean {
    const at = this.#sparse[pc] ?? 0;
    if (at < this.size && this.#dense[at] === pc) {
      if ((this.#starts[pc] ?? 0) <= start) return false;
      this.#starts[pc] = start;
      return true;
    }
    this.#sparse[pc] = this.size;
    this.#dense[this.size] = pc;
    this.#starts[pc] = start;
    this.#waits[pc] = waits ? 1 : 0;
    this.size += 1;
    return true;
  }

  pcAt(index: number): number {
    return this.#dense[index] ?? 0;
  }

  startAt(index: number): number {
    return this.#starts[this.pcAt(index)] ?? 0;
  }

  waitsAt(index: number): boolean {
    return this.#waits[this.pcAt(index)] === 1;
  }
}

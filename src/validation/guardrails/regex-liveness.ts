/*
 * Finds the instructions of a pattern that can still lead to a match, depending on the character
 * before them. Other instructions, such as the one after the `a` of `a\bb`, must hold no text.
 */

import { conditionsBetween, isWord, NEWLINE, NONE } from './regex-conditions.js';

/** One character of each kind that conditions distinguish. */
const BEFORE = [NONE, NEWLINE, 'w'.charCodeAt(0), ' '.charCodeAt(0)] as const;
const KINDS = BEFORE.length;

/** Returns the kind of a character, or of none, from 0 to 3. */
export function kindOf(codePoint: number): number {
  if (codePoint === NONE) return 0;
  if (codePoint === NEWLINE) return 1;
  return isWord(codePoint) ? 2 : 3;
}

/** An instruction, reduced to what it waits for. */
export type Step =
  | { readonly waitsFor: 'nothing'; readonly to: readonly number[] }
  | { readonly waitsFor: 'condition'; readonly condition: number; readonly to: number }
  | { readonly waitsFor: 'character'; readonly kinds: readonly boolean[]; readonly to: number }
  | { readonly waitsFor: 'match' };

/**
 * Finds the instructions that lead to a match if a suitable text follows.
 * @returns at `instruction * 4 + kindOf(character before)`: 1 if the instruction does
 */
export function liveness(steps: readonly Step[]): Uint8Array {
  // By instruction, kind before and kind after. Kind 0 after an instruction is the end of the text.
  const leads = new Uint8Array(steps.length * KINDS * KINDS);
  const at = (pc: number, before: number, behind: number): number => (pc * KINDS + before) * KINDS + behind;
  const live = new Uint8Array(steps.length * KINDS);
  const reaches = (step: Step, before: number, behind: number): boolean => {
    switch (step.waitsFor) {
      case 'match':
        return true;
      case 'nothing':
        return step.to.some((pc) => leads[at(pc, before, behind)] === 1);
      case 'condition': {
        const holds = conditionsBetween(BEFORE[before] ?? NONE, BEFORE[behind] ?? NONE);
        return (step.condition & ~holds) === 0 && leads[at(step.to, before, behind)] === 1;
      }
      case 'character':
        return behind !== 0 && step.kinds[behind] === true && live[step.to * KINDS + behind] === 1;
    }
  };
  for (let changed = true; changed;) {
    changed = false;
    // Most instructions lead to later ones, so one pass from the end finds almost all.
    for (let pc = steps.length - 1; pc >= 0; pc--) {
      for (let before = 0; before < KINDS; before++) {
        for (let behind = 0; behind < KINDS; behind++) {
          const index = at(pc, before, behind);
          const step = steps[pc];
          if (leads[index] === 1 || step === undefined || !reaches(step, before, behind)) continue;
          leads[index] = live[pc * KINDS + before] = 1;
          changed = true;
        }
      }
    }
  }
  return live;
}

/** The Kelvin sign: the one character from 768 on that is a letter below 128 in another case. */
const KELVIN = 0x212a;

/**
 * Finds the kinds of characters that an instruction takes.
 * @param ranges the characters that it names, of which those from 128 on are of kind 3
 */
export function kindsTaken(takes: (codePoint: number) => boolean, ranges: readonly number[] | undefined): boolean[] {
  const kinds = [false, false, false, ranges === undefined || ranges.some((one) => one >= 128) || takes(KELVIN)];
  for (let codePoint = 0; codePoint < 768; codePoint++) {
    if (kinds[kindOf(codePoint)] !== true && takes(codePoint)) kinds[kindOf(codePoint)] = true;
  }
  return kinds;
}

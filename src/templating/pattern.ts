/*
 * Regular expressions of packs, run against what strangers send. JavaScript's engine backtracks, so
 * a careless pattern could hold the whole process; each match here is cut off after a fixed time of
 * its own. Knows nothing of variables.
 */

import { createContext, Script, type Context } from 'node:vm';
import { errorCode } from './error-code.js';

/**
 * Milliseconds one match may take; a sane pattern needs microseconds for the longest value that is
 * let through.
 */
export const PATTERN_TIMEOUT_MS = 25;
/** How often a match is tried that did not get the core it needed. */
const TRIES = 20;

const match = new Script('pattern.test(value)');
/** One for all: made at the first use, since most packs carry no pattern. */
let sandbox: Context | undefined;

/** Compiles with the `u` flag. @throws SyntaxError */
export function compilePattern(source: string): RegExp {
  return new RegExp(source, 'u');
}

/**
 * Is `pattern` found in `value` (unanchored, as JSON Schema has it)? `undecided` when it ran out of
 * time: treat it as a refusal.
 */
export function matchWithin(pattern: RegExp, value: string, timeoutMs = PATTERN_TIMEOUT_MS): boolean | 'undecided' {
  sandbox ??= createContext({ pattern: undefined, value: undefined });
  sandbox['pattern'] = pattern;
  sandbox['value'] = value;
  try {
    const before = process.threadCpuUsage();
    for (let tries = 1; ; tries++) {
      const found = runOnce(sandbox, timeoutMs);
      if (found !== 'undecided' || tries === TRIES) return found;
      // Time in which the machine was busy with something else says nothing about the pattern; what
      // all tries used does.
      const { user, system } = process.threadCpuUsage(before);
      if ((user + system) / 1_000 >= timeoutMs / 2) return 'undecided';
    }
  } finally {
    sandbox['value'] = undefined;
  }
}

function runOnce(context: Context, timeoutMs: number): boolean | 'undecided' {
  try {
    return match.runInContext(context, { timeout: timeoutMs }) === true;
  } catch (error) {
    if (errorCode(error) === 'ERR_SCRIPT_EXECUTION_TIMEOUT') return 'undecided';
    throw error;
  }
}

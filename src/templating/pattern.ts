/*
 * Runs regular expressions of packs on untrusted input. JavaScript's engine backtracks, so a
 * careless pattern could block the process; each match is aborted after a fixed time, and decided
 * in linear time if the pattern has no lookaround or back reference. Knows nothing of variables.
 */

import { createContext, Script, type Context } from 'node:vm';
import { RE2JS } from 're2js';
import { errorCode } from '../domain/errors.js';

/**
 * Time limit of one match in milliseconds. A sane pattern needs microseconds for the longest
 * accepted value.
 */
export const PATTERN_TIMEOUT_MS = 25;
/** Most attempts of a match that did not get enough CPU time. */
const TRIES = 20;

const match = new Script('pattern.test(value)');
/** One context for all patterns. Created at first use, because most packs have no pattern. */
let sandbox: Context | undefined;

/** Flags at the start of a pattern, as Go and Python write them. */
const LEADING_FLAGS = /^\(\?([ims]+)\)/;

/**
 * Compiles with the `u` flag, or without it if the pattern contains escapes that this flag forbids.
 * Accepts leading flags (`(?i)`). @throws SyntaxError
 */
export function compilePattern(source: string): RegExp {
  const flags = LEADING_FLAGS.exec(source)?.[1] ?? '';
  const pattern = source.replace(LEADING_FLAGS, '');
  try {
    return new RegExp(pattern, `${flags}u`);
  } catch {
    return new RegExp(pattern, flags);
  }
}

/**
 * Whether `pattern` matches anywhere in `value` (unanchored, as in JSON Schema). Returns
 * `undecided` when the time limit has passed; treat that as a refusal.
 */
export function matchWithin(pattern: RegExp, value: string, timeoutMs = PATTERN_TIMEOUT_MS): boolean | 'undecided' {
  sandbox ??= createContext({ pattern: undefined, value: undefined });
  sandbox['pattern'] = pattern;
  sandbox['value'] = value;
  try {
    const before = process.threadCpuUsage();
    for (let tries = 1; ; tries++) {
      const found = runOnce(sandbox, timeoutMs);
      if (found !== 'undecided') return found;
      // Time in which the machine was busy is not counted against the pattern. The CPU time of all
      // attempts is.
      const { user, system } = process.threadCpuUsage(before);
      if (tries === TRIES || (user + system) / 1_000 >= timeoutMs / 2) return matchLinear(pattern, value);
    }
  } finally {
    sandbox['value'] = undefined;
  }
}

/** Decides a match in linear time, or returns `undecided` if the pattern needs backtracking. */
function matchLinear({ source, flags }: RegExp, value: string): boolean | 'undecided' {
  const { CASE_INSENSITIVE, MULTILINE, DOTALL } = RE2JS;
  const bits = [...flags].map((flag) => ({ i: CASE_INSENSITIVE, m: MULTILINE, s: DOTALL })[flag] ?? 0);
  try {
    return RE2JS.compile(
      source,
      bits.reduce((sum, bit) => sum | bit, 0),
    )
      .matcher(value)
      .find();
  } catch {
    return 'undecided';
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

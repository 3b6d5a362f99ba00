/*
 * A declared variable, and the one check of its values. The same check applies to defaults at load
 * and to values of requests. Descriptions of problems never contain the value. Knows nothing of
 * templates or requests.
 */

import { matchWithin } from './pattern.js';
import { type Binding } from './sources.js';

export const VARIABLE_TYPES = ['string', 'number', 'boolean', 'array', 'object'] as const;
export type VariableType = (typeof VARIABLE_TYPES)[number];

export interface VariableRules {
  /**
   * Compiled with the `u` flag. Matches anywhere in the text, unless it is anchored with ^ and $.
   */
  readonly pattern?: RegExp;
  /** In code points, like `maxLength`. */
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly oneOf?: readonly unknown[];
}

export interface Variable {
  readonly name: string;
  readonly type: VariableType;
  readonly required: boolean;
  /** The default as text. An optional variable without a default renders as nothing. */
  readonly default?: unknown;
  readonly description?: string;
  readonly example?: unknown;
  readonly rules: VariableRules;
  /** Where the gateway takes the value from. */
  readonly binding?: Binding;
}

/** Most code points of a value if the pack sets no `max_length`. */
const DEFAULT_MAX_LENGTH = 2_000;
/**
 * Upper bound of `max_length` in code points, because a system prompt is not meant to hold
 * documents.
 */
export const GREATEST_MAX_LENGTH = 100_000;

type Checked =
  | { readonly ok: true; readonly value: Value; readonly text: string }
  | { readonly ok: false; readonly problem: string };

const JSON_NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;

/**
 * Converts `given` to the text that is inserted into the prompt, or returns the reason of a
 * refusal. A string that is exactly a JSON number, `true`, `false`, or the JSON of an array or an
 * object counts as that value, because OpenAI's client sends strings only. Nothing else is
 * converted. Arrays and objects become JSON.
 */
export function checkValue(variable: Variable, given: unknown): Checked {
  const value = read(variable.type, given);
  if (value === undefined) return no(`must be ${article(variable.type)} ${variable.type}`);
  const text = typeof value === 'object' ? JSON.stringify(value) : String(value);
  const { rules } = variable;

  // Checks the length first, so that later checks see bounded text only.
  const maxLength = rules.maxLength ?? DEFAULT_MAX_LENGTH;
  const length = text.length > 2 * maxLength ? Infinity : [...text].length;
  if (length > maxLength) return no(`must not be longer than ${maxLength} characters`);
  if (rules.minLength !== undefined && length < rules.minLength) {
    return no(`must have at least ${rules.minLength} characters`);
  }
  if (typeof value === 'number') {
    if (rules.minimum !== undefined && value < rules.minimum) return no(`must be at least ${rules.minimum}`);
    if (rules.maximum !== undefined && value > rules.maximum) return no(`must be at most ${rules.maximum}`);
  }
  if (rules.oneOf !== undefined && !rules.oneOf.some((allowed) => sameValue(allowed, value))) {
    return no(`must be one of ${rules.oneOf.map((allowed) => JSON.stringify(allowed)).join(', ')}`);
  }
  if (rules.pattern !== undefined) {
    const found = matchWithin(rules.pattern, text);
    if (found === 'undecided')
      return no('takes too long to check against its pattern; give a shorter or simpler value');
    if (!found) return no(`must match the pattern ${rules.pattern.source}`);
  }
  return { ok: true, value, text };
}

export type Value = string | number | boolean | object;

function read(type: VariableType, given: unknown): Value | undefined {
  switch (type) {
    case 'string':
      return typeof given === 'string' ? given : undefined;
    case 'number': {
      const value = typeof given === 'string' && JSON_NUMBER.test(given) ? Number(given) : given;
      return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
    }
    case 'boolean':
      if (given === 'true' || given === 'false') return given === 'true';
      return typeof given === 'boolean' ? given : undefined;
    case 'array': {
      const value = parsed(given);
      return Array.isArray(value) ? value : undefined;
    }
    case 'object': {
      const value = parsed(given);
      return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined;
    }
  }
}

/** Parses the JSON of an array or an object. Returns any other value as it is. */
function parsed(given: unknown): unknown {
  if (typeof given !== 'string' || !/^\s*[[{]/.test(given)) return given;
  try {
    return JSON.parse(given) as unknown;
  } catch {
    return given;
  }
}

function sameValue(a: unknown, b: unknown): boolean {
  return a === b || (typeof a === 'object' && JSON.stringify(a) === JSON.stringify(b));
}

function article(type: VariableType): 'a' | 'an' {
  return type === 'array' || type === 'object' ? 'an' : 'a';
}

function no(problem: string): Checked {
  return { ok: false, problem };
}

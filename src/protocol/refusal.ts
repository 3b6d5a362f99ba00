/*
 * Converts zod issues to the one error that a client receives: OpenAI's code, the path of the
 * invalid field, the reason. Contains names of fields, never values that were sent.
 */

import { type z } from 'zod';
import { type ErrorCode, SluiceError } from '../domain/errors.js';
import { nearest } from '../domain/nearest.js';

type Path = readonly PropertyKey[];
interface Found {
  readonly code: ErrorCode;
  readonly path: Path;
  readonly why: string;
}

/** Returns the parameters with which a custom zod issue gets this error code. */
export function refusalParams(code: ErrorCode): { readonly params: { readonly code: ErrorCode } } {
  return { params: { code } };
}

/**
 * Converts the first issue to an error.
 * @param unable completes "unable to …"
 * @param known the names to suggest for a misspelt field
 */
export function refusalOf(error: z.ZodError, input: unknown, unable: string, known: Iterable<string>): SluiceError {
  const issue = error.issues[0];
  if (issue === undefined) return new SluiceError('invalid_request', `unable to ${unable}; it is not understood`);
  const found = read(issue, [], input, known);
  const param = pathText(found.path);
  return new SluiceError(found.code, `unable to ${unable}; ${found.why}`, param === '' ? {} : { param });
}

/** Formats `['input', 0, 'content']` as `input[0].content`. */
function pathText(path: Path): string {
  let text = '';
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`;
    else text += `${text === '' ? '' : '.'}${shortName(String(step))}`;
  }
  return text;
}

function read(issue: z.core.$ZodIssue, base: Path, input: unknown, known: Iterable<string>): Found {
  const path = [...base, ...issue.path];
  const name = pathText(path) || 'the request';
  switch (issue.code) {
    case 'custom':
      if (valueAt(input, path) === undefined) return missing(path, name);
      return { code: customCode(issue), path, why: `${name} ${issue.message}` };
    case 'invalid_format':
      return { code: 'invalid_value', path, why: `${name} ${issue.message}` };
    case 'invalid_key': {
      const at = path.slice(0, -1);
      return { code: 'invalid_value', path: at, why: `${pathText(at)} ${issue.issues[0]?.message ?? 'has a bad key'}` };
    }
    case 'unrecognized_keys': {
      const key = issue.keys[0] ?? '';
      const near = nearest(key, known);
      const at = [...path, key];
      const hint = near === undefined ? 'leave it out' : `did you mean '${near}'?`;
      return { code: 'unknown_parameter', path: at, why: `${pathText(at)} is not a known parameter; ${hint}` };
    }
    case 'invalid_union': {
      if (issue.discriminator !== undefined) return wrongKind(issue, path, valueAt(input, path));
      const branch = deepest(issue.errors);
      if (branch !== undefined) return read(branch, path, input, known);
      const expected = issue.errors.flatMap((errors) => errors.flatMap((one) => expectedBy(one)));
      if (valueAt(input, path) === undefined) return missing(path, name);
      return { code: 'invalid_value', path, why: `${name} must be ${[...new Set(expected)].join(' or ')}` };
    }
    default: {
      if (valueAt(input, path) === undefined) return missing(path, name);
      const expected = expectedBy(issue);
      return {
        code: 'invalid_value',
        path,
        why: `${name} ${expected.length === 0 ? 'is not understood' : `must be ${expected.join(' or ')}`}`,
      };
    }
  }
}

function missing(path: Path, name: string): Found {
  return { code: 'missing_required_parameter', path, why: `${name} is missing` };
}

function wrongKind(issue: z.core.$ZodIssueInvalidUnion, path: Path, value: unknown): Found {
  const name = pathText(path);
  if (value === undefined) return missing(path, name);
  const options = ('matches' in issue ? [] : (issue.options ?? [])).map((option) => `'${String(option)}'`);
  return { code: 'invalid_value', path, why: `${name} must be ${options.join(' or ')}` };
}

function customCode(issue: z.core.$ZodIssueCustom): ErrorCode {
  // Only `refusalParams` sets `params`, so the code is an ErrorCode.
  const code = issue.params?.['code'] as ErrorCode | undefined;
  return code ?? 'invalid_value';
}

/**
 * Returns the first issue of the union branch that matched deepest, or undefined if no branch
 * matched the value's type.
 */
function deepest(branches: readonly (readonly z.core.$ZodIssue[])[]): z.core.$ZodIssue | undefined {
  let best: z.core.$ZodIssue | undefined;
  for (const branch of branches) {
    const issue = branch[0];
    if (issue === undefined || (issue.path.length === 0 && isTypeIssue(issue))) continue;
    if (best === undefined || issue.path.length > best.path.length) best = issue;
  }
  return best;
}

function isTypeIssue(issue: z.core.$ZodIssue): boolean {
  return issue.code === 'invalid_type' || issue.code === 'invalid_value';
}

const UNITS: Readonly<Record<string, string>> = { string: ' characters long', array: ' entries long' };

function expectedBy(issue: z.core.$ZodIssue): string[] {
  switch (issue.code) {
    case 'invalid_type':
      return [TYPE_NAMES[issue.expected] ?? issue.expected];
    case 'invalid_value':
      return issue.values.map((value) => (typeof value === 'string' ? `'${value}'` : String(value)));
    case 'too_small':
      return [`at least ${issue.minimum}${UNITS[issue.origin] ?? ''}`];
    case 'too_big':
      return [`at most ${issue.maximum}${UNITS[issue.origin] ?? ''}`];
    default:
      return [];
  }
}

const TYPE_NAMES: Readonly<Record<string, string>> = {
  string: 'a string',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
  record: 'an object',
};

function valueAt(input: unknown, path: Path): unknown {
  let value = input;
  for (const step of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined;
    // `step` is an own property of `value`.
    value = (value as Record<PropertyKey, unknown>)[step];
  }
  // null means absent everywhere.
  return value ?? undefined;
}

/** Shortens a name that a client sent, so that it cannot flood a message or a log line. */
export function shortName(name: string): string {
  // Cut before searching: a name may be as long as a frame.
  const printable = name.slice(0, 64).replace(/[^\x20-\x7e]/gu, '?');
  return name.length > 64 ? `${printable}...` : printable;
}

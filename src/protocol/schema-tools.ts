/* The few zod forms that all schemas of the wire are made of: null is absent, objects are closed, names and JSON are bounded. */

import { z } from 'zod';

import { type ErrorCode } from '../domain/errors.js';
import { refusalParams } from './refusal.js';

/** An object without its null fields: null means absent everywhere on this wire. Anything else passes unchanged. */
export function withoutNulls(value: unknown): unknown {
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== null));
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Before an object is read: its nulls are absent, and one of a `type` for which `whyNot` has words is refused with them. */
export function servedType(code: ErrorCode, whyNot: (type: unknown) => string | undefined) {
  return (value: unknown, context: z.core.$RefinementCtx): unknown => {
    const fields = withoutNulls(value);
    const message = isObject(fields) ? whyNot(fields['type']) : undefined;
    if (message === undefined) return fields;
    context.addIssue({ code: 'custom', path: ['type'], message, ...refusalParams(code), input: value });
    return z.NEVER;
  };
}

/** The same for what may only be a function. */
export function functionOnly(reason: string) {
  return servedType('unsupported_parameter', (type) =>
    typeof type !== 'string' || type === 'function' ? undefined : `is not served; ${reason}`,
  );
}

/** A closed object: unknown fields are refused, null ones are absent. */
export function closed<Shape extends z.core.$ZodLooseShape>(shape: Shape) {
  return z.preprocess(withoutNulls, z.strictObject(shape));
}

/**
 * A field of OpenAI's that Sluice does not serve: accepted at the values that change nothing, else refused with the reason.
 * What was accepted is dropped.
 */
export function inert(accepted: z.ZodType, reason: string) {
  return z
    .unknown()
    .superRefine((value, context) => {
      if (accepted.safeParse(value).success) return;
      context.addIssue({
        code: 'custom',
        message: `is not served; ${reason}`,
        ...refusalParams('unsupported_parameter'),
      });
    })
    .optional();
}

export const NAME = z
  .string()
  .regex(/^[A-Za-z0-9_-]{1,64}$/u, 'must be 1 to 64 letters, digits, underscores or hyphens');

/** Nobody's JSON Schema is deeper, and everything that walks one later may recurse. */
const DEEPEST_JSON = 64;

/** An open JSON object, kept as it is. */
export const JSON_OBJECT = z
  .custom<Readonly<Record<string, unknown>>>(isObject, {
    message: 'must be an object',
  })
  .refine((value) => !isDeeperThan(value, DEEPEST_JSON), {
    message: `must not be nested more than ${DEEPEST_JSON} levels deep`,
  });

function isDeeperThan(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((inner) => isDeeperThan(inner, levels - 1));
}

/** An object of any names, counted before one of them is looked at. */
export function recordOf<Value extends z.ZodType>(most: number, name: z.ZodString, value: Value) {
  return z.preprocess(
    (sent, context) => {
      const fields = withoutNulls(sent);
      const message = isObject(fields) ? whyNoRecord(fields, most) : undefined;
      if (message === undefined) return fields;
      context.addIssue({ code: 'custom', message, ...refusalParams('invalid_value'), input: sent });
      return z.NEVER;
    },
    z.record(name, value),
  );
}

function whyNoRecord(fields: object, most: number): string | undefined {
  if (Object.keys(fields).length > most) return `must have at most ${most} pairs`;
  // Zod would drop it without a word.
  return Object.hasOwn(fields, '__proto__') ? "has the name '__proto__', which is not served" : undefined;
}

/** OpenAI's bounds of `metadata`. */
export const METADATA = recordOf(16, z.string().max(64, 'has a key of more than 64 characters'), z.string().max(512));

/** The same object without the fields that are undefined, for types in which absent is absent. */
export function present<T extends object>(fields: T): { [Key in keyof T]?: Exclude<T[Key], undefined> } {
  const kept = Object.entries(fields).filter(([, value]) => value !== undefined);
  // Object.fromEntries forgets the keys' names; only undefined values were left out.
  return Object.fromEntries(kept) as { [Key in keyof T]?: Exclude<T[Key], undefined> };
}

/*
 * The zod forms of all wire schemas: null is absent, objects are closed, names and JSON are
 * bounded. Lists and maps are counted before they are read, and a list is read up to its first
 * error.
 */

import { z } from 'zod';

import { type ErrorCode, SluiceError } from '../domain/errors.js';
import { refusalParams } from './refusal.js';

/**
 * Removes the null fields of an object: null means absent everywhere in the protocol. Returns other
 * values unchanged.
 */
export function withoutNulls(value: unknown): unknown {
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== null));
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** No closed object of the protocol has more fields, so a larger object has unknown ones. */
const MOST_FIELDS = 100;

function tooManyFields(value: object): string | undefined {
  return Object.keys(value).length > MOST_FIELDS ? `must have at most ${MOST_FIELDS} fields` : undefined;
}

/**
 * Counts the top-level fields of a request before they are copied.
 * @throws SluiceError `invalid_value`
 */
export function checkFields(request: object, what: string): void {
  const why = tooManyFields(request);
  if (why !== undefined) throw new SluiceError('invalid_value', `unable to ${what}; the request ${why}; send fewer`);
}

/**
 * Prepares a value for a closed object: removes nulls, and refuses too many fields before their
 * names are compared.
 */
export function servedFields(value: unknown, context: z.core.$RefinementCtx): unknown {
  const message = isObject(value) ? tooManyFields(value) : undefined;
  if (message === undefined) return withoutNulls(value);
  context.addIssue({ code: 'custom', message, ...refusalParams('invalid_value'), input: value });
  return z.NEVER;
}

/** Like `servedFields`, and also refuses an object if `whyNot` returns a reason for its `type`. */
export function servedType(code: ErrorCode, whyNot: (type: unknown) => string | undefined) {
  return (value: unknown, context: z.core.$RefinementCtx): unknown => {
    const fields = servedFields(value, context);
    const message = isObject(fields) ? whyNot(fields['type']) : undefined;
    if (message === undefined) return fields;
    context.addIssue({ code: 'custom', path: ['type'], message, ...refusalParams(code), input: value });
    return z.NEVER;
  };
}

/** Like `servedType`, for values that may only be a function. */
export function functionOnly(reason: string) {
  return servedType('unsupported_parameter', (type) =>
    typeof type !== 'string' || type === 'function' ? undefined : `is not served; ${reason}`,
  );
}

/** Returns a closed object: unknown fields are refused, null fields are absent. */
export function closed<Shape extends z.core.$ZodLooseShape>(shape: Shape) {
  return z.preprocess(servedFields, z.strictObject(shape));
}

/** Returns a closed object in which null has a meaning of its own. */
export function closedWithNulls<Shape extends z.core.$ZodLooseShape>(shape: Shape) {
  return z.preprocess((value, context) => {
    // Count the fields, but keep the value as sent.
    return servedFields(value, context) === z.NEVER ? z.NEVER : value;
  }, z.strictObject(shape));
}

/** Returns a schema for closed objects that are distinguished by one field. */
export function closedUnion<Options extends readonly [z.core.$ZodTypeDiscriminable, ...z.core.$ZodTypeDiscriminable[]]>(
  discriminator: string,
  options: Options,
) {
  return z.preprocess(servedFields, z.discriminatedUnion(discriminator, options));
}

/** The element and length of a `listOf` schema, for tests that walk the schemas. */
export interface ListShape {
  readonly element: z.ZodType;
  readonly most: number;
}
/** Keyed by the inner transform: a refined schema is a new object around the same transform. */
const LISTS = new WeakMap<z.core.$ZodType, ListShape>();

export function listShapeOf(schema: z.ZodType): ListShape | undefined {
  return schema instanceof z.ZodPipe ? LISTS.get(schema.out) : undefined;
}

/**
 * Returns a list of `least` to `most` elements. Checks the length first, and stops at the first
 * invalid element. Zod's own arrays collect an issue for each element, so that a small request
 * could exhaust the heap.
 */
export function listOf<Element extends z.ZodType>(element: Element, most: number, least = 0) {
  const schema = z.unknown().transform((sent, context): z.output<Element>[] => {
    const issue = Array.isArray(sent)
      ? lengthIssue(sent, most, least)
      : ({ code: 'invalid_type', expected: 'array' } as const);
    if (issue !== undefined) {
      context.issues.push({ ...issue, input: sent });
      return z.NEVER;
    }
    const elements: z.output<Element>[] = [];
    for (const [index, one] of (sent as readonly unknown[]).entries()) {
      const read = element.safeParse(one);
      if (!read.success) {
        const [first] = read.error.issues;
        // A failed parse has at least one issue; its path starts at the element.
        if (first !== undefined) context.issues.push(issueAt(index, first, one));
        return z.NEVER;
      }
      elements.push(read.data);
    }
    return elements;
  });
  LISTS.set(schema.out, { element, most });
  return schema;
}

function issueAt(index: number, issue: z.core.$ZodIssue, input: unknown): z.core.$ZodRawIssue {
  // After `unrecognized_keys` zod runs the next step of a pipe with an invalid value; after any
  // other issue it stops.
  if (issue.code === 'unrecognized_keys') return { code: 'invalid_union', errors: [[issue]], path: [index], input };
  // A finished issue has all fields of a raw one; only its type lacks the input.
  return { ...issue, path: [index, ...issue.path], input } as z.core.$ZodRawIssue;
}

function lengthIssue({ length }: readonly unknown[], most: number, least: number) {
  const bound = { origin: 'array', inclusive: true } as const;
  if (length > most) return { code: 'too_big', maximum: most, ...bound } as const;
  return length < least ? ({ code: 'too_small', minimum: least, ...bound } as const) : undefined;
}

/** A list whose elements are not checked. */
export const ANY_LIST = z.custom<readonly unknown[]>(Array.isArray, { message: 'must be a list' });

/** An empty list. */
export const EMPTY_LIST = listOf(z.never(), 0);

/**
 * Returns an OpenAI field that Sluice does not serve. Values without an effect are accepted and
 * dropped; others are refused with the reason.
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

/** No JSON Schema in use is deeper. The bound lets later code walk it recursively. */
const DEEPEST_JSON = 64;

/** An open JSON object, kept unchanged. */
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

/** Returns an object with arbitrary names, counted before they are read. */
export function recordOf<Value extends z.ZodType>(most: number, name: z.ZodString, value: Value) {
  return z.preprocess(
    (sent, context) => {
      const message = isObject(sent) ? whyNoRecord(sent, most) : undefined;
      if (message === undefined) return withoutNulls(sent);
      context.addIssue({ code: 'custom', message, ...refusalParams('invalid_value'), input: sent });
      return z.NEVER;
    },
    z.record(name, value),
  );
}

function whyNoRecord(fields: object, most: number): string | undefined {
  if (Object.keys(fields).length > most) return `must have at most ${most} pairs`;
  // Zod would drop it silently.
  return Object.hasOwn(fields, '__proto__') ? "has the name '__proto__', which is not served" : undefined;
}

/** OpenAI's bounds of `metadata`. */
export const METADATA = recordOf(16, z.string().max(64, 'has a key of more than 64 characters'), z.string().max(512));

/** Removes undefined fields, for types whose fields are absent rather than undefined. */
export function present<T extends object>(fields: T): { [Key in keyof T]?: Exclude<T[Key], undefined> } {
  const kept = Object.entries(fields).filter(([, value]) => value !== undefined);
  // Object.fromEntries loses the types of the keys; only undefined values were removed.
  return Object.fromEntries(kept) as { [Key in keyof T]?: Exclude<T[Key], undefined> };
}

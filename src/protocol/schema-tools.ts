/*
 * The few zod forms that all schemas of the wire are made of: null is absent, objects are closed, names and JSON are bounded. Lists and
 * maps are counted before they are read, and a list is read up to its first mistake.
 */

import { z } from 'zod';

import { type ErrorCode, SluiceError } from '../domain/errors.js';
import { refusalParams } from './refusal.js';

/** An object without its null fields: null means absent everywhere on this wire. Anything else passes unchanged. */
export function withoutNulls(value: unknown): unknown {
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== null));
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** No closed object of the wire has more fields, so one that does has unknown ones. */
const MOST_FIELDS = 100;

function tooManyFields(value: object): string | undefined {
  return Object.keys(value).length > MOST_FIELDS ? `must have at most ${MOST_FIELDS} fields` : undefined;
}

/** Counts the fields at the top of a request before anything copies them. @throws SluiceError `invalid_value` */
export function checkFields(request: object, what: string): void {
  const why = tooManyFields(request);
  if (why !== undefined) throw new SluiceError('invalid_value', `unable to ${what}; the request ${why}; send fewer`);
}

/** The fields of what may be a closed object, nulls left out. An object of too many is refused before its names are compared. */
export function servedFields(value: unknown, context: z.core.$RefinementCtx): unknown {
  const message = isObject(value) ? tooManyFields(value) : undefined;
  if (message === undefined) return withoutNulls(value);
  context.addIssue({ code: 'custom', message, ...refusalParams('invalid_value'), input: value });
  return z.NEVER;
}

/** Before an object is read: its nulls are absent, and one of a `type` for which `whyNot` has words is refused with them. */
export function servedType(code: ErrorCode, whyNot: (type: unknown) => string | undefined) {
  return (value: unknown, context: z.core.$RefinementCtx): unknown => {
    const fields = servedFields(value, context);
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
  return z.preprocess(servedFields, z.strictObject(shape));
}

/** A closed object in which null says something of its own. */
export function closedWithNulls<Shape extends z.core.$ZodLooseShape>(shape: Shape) {
  return z.preprocess((value, context) => {
    // Counted, but kept as it is.
    return servedFields(value, context) === z.NEVER ? z.NEVER : value;
  }, z.strictObject(shape));
}

/** The same for objects told apart by a field of theirs. */
export function closedUnion<Options extends readonly [z.core.$ZodTypeDiscriminable, ...z.core.$ZodTypeDiscriminable[]]>(
  discriminator: string,
  options: Options,
) {
  return z.preprocess(servedFields, z.discriminatedUnion(discriminator, options));
}

/** What `listOf` reads, by its schema: for tests that walk the schemas. */
export interface ListShape {
  readonly element: z.ZodType;
  readonly most: number;
}
/** By the transform inside: a schema that gets a refinement is a new one around the same transform. */
const LISTS = new WeakMap<z.core.$ZodType, ListShape>();

export function listShapeOf(schema: z.ZodType): ListShape | undefined {
  return schema instanceof z.ZodPipe ? LISTS.get(schema.out) : undefined;
}

/**
 * A list of `least` to `most` elements. Its length is checked first, and reading stops at the first element that does not fit: zod's own
 * arrays collect an issue for each, which is how a small request could exhaust the heap.
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
        // A failed parse has an issue; its path starts at the element.
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
  // Zod runs the next step of a pipe after an `unrecognized_keys` issue, with a value that is none; after any other it stops.
  if (issue.code === 'unrecognized_keys') return { code: 'invalid_union', errors: [[issue]], path: [index], input };
  // A finished issue has all that a raw one needs; its input is unknown to its type.
  return { ...issue, path: [index, ...issue.path], input } as z.core.$ZodRawIssue;
}

function lengthIssue({ length }: readonly unknown[], most: number, least: number) {
  const bound = { origin: 'array', inclusive: true } as const;
  if (length > most) return { code: 'too_big', maximum: most, ...bound } as const;
  return length < least ? ({ code: 'too_small', minimum: least, ...bound } as const) : undefined;
}

/** A list of anything, which is not looked at. */
export const ANY_LIST = z.custom<readonly unknown[]>(Array.isArray, { message: 'must be a list' });

/** A list without elements. */
export const EMPTY_LIST = listOf(z.never(), 0);

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

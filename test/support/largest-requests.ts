/*
 * The largest legal requests, made from the schemas of the wire themselves: for every place in a
 * schema one text for every kind of filling. A field that is added to a schema is covered at once,
 * and a kind of schema that is not known here throws.
 */

import { z } from 'zod';
import { listShapeOf } from '../../src/protocol/schema-tools.js';

/** Bytes of a request with default limits. */
export const LARGEST_BYTES = 1_048_576;
/** Elements that stay under the bound on values, with room for the request around them. */
const ELEMENTS = 31_000;

const filled = (one: (i: number) => string, times = ELEMENTS): string =>
  Array.from({ length: times }, (_, i) => one(i)).join(',');

/** What is put in every place. */
export const FILLINGS: Readonly<Record<string, string>> = {
  numbers: `[${filled(() => '1')}]`,
  strings: `[${filled(() => '"abcdefghijklmnopqrstuvwxyzab"')}]`,
  'maps of unknown keys': `[${filled((i) => `{"k${i}":1}`, 15_000)}]`,
  'unknown keys': `{${filled((i) => `"key${i}":1`)}}`,
  'one long key': `{"${'k'.repeat(1_000_000)}":1}`,
  'one long string': `"${'x'.repeat(1_000_000)}"`,
  'escaped characters': `"${'\\u00e9'.repeat(166_000)}"`,
  nesting: `[${filled(() => `${'['.repeat(80)}${']'.repeat(80)}`, 380)}]`,
};

export interface LargestRequest {
  /** `input[].content[].text: numbers` */
  readonly name: string;
  readonly text: string;
}

type Wrap = (inner: string) => string;
interface Place {
  readonly path: string;
  readonly schema: z.ZodType;
  readonly wrap: Wrap;
}

/**
 * Requests for every place of `schema`, and one for every list and map that is full of what it may
 * hold. With LARGEST=all each place gets every filling. Otherwise a place that takes no list, no
 * map and no text gets one filling, the next in turn: it refuses them all alike.
 */
export function* largestRequests(schema: z.ZodType, wrap: Wrap = (inner) => inner): Generator<LargestRequest, void> {
  let turn = 0;
  for (const place of placesOf({ path: '', schema, wrap })) {
    for (const kind of fillingsOf(place.schema, turn++)) {
      const text = FILLINGS[kind] ?? '';
      yield { name: `${place.path || 'the request'}: ${kind}`, text: place.wrap(text) };
    }
    const full = fullOf(place);
    if (full !== undefined) yield { name: `${place.path}: full`, text: full };
  }
}

const KINDS = Object.keys(FILLINGS);
/** What a text is filled with. */
const LONG_TEXTS = ['one long string', 'escaped characters'];
const NARROW = [z.ZodNumber, z.ZodBoolean, z.ZodEnum, z.ZodLiteral, z.ZodNever];

function fillingsOf(schema: z.ZodType, turn: number): readonly string[] {
  if (process.env['LARGEST'] === 'all') return KINDS;
  const next = KINDS.slice(turn % KINDS.length, (turn % KINDS.length) + 1);
  const leaf = leafOf(schema);
  if (NARROW.some((kind) => leaf instanceof kind)) return next;
  return leaf instanceof z.ZodString ? [...new Set([...LONG_TEXTS, ...next])] : KINDS;
}

/** `schema` without its wrappers. */
function leafOf(schema: z.ZodType): z.ZodType {
  const under = listShapeOf(schema) === undefined ? unwrapped(schema) : schema;
  return under === schema ? schema : leafOf(under);
}

/** `schema` itself and all that is inside it. */
function* placesOf(place: Place): Generator<Place, void> {
  yield place;
  for (const inner of insideOf(place)) yield* placesOf(inner);
}

function insideOf({ path, schema, wrap }: Place): Place[] {
  const list = listShapeOf(schema);
  if (list !== undefined) return [{ path: `${path}[]`, schema: list.element, wrap: (inner) => wrap(`[${inner}]`) }];
  const under = unwrapped(schema);
  if (under !== schema) return insideOf({ path, schema: under, wrap });
  if (schema instanceof z.ZodObject) {
    return Object.entries(schema.shape as Record<string, z.ZodType>).map(([name, field]) => ({
      path: path === '' ? name : `${path}.${name}`,
      schema: field,
      wrap: (inner) => wrap(objectText(schema, name, inner)),
    }));
  }
  if (schema instanceof z.ZodRecord) {
    return [{ path: `${path}.*`, schema: schema.valueType as z.ZodType, wrap: (inner) => wrap(`{"name":${inner}}`) }];
  }
  if (schema instanceof z.ZodUnion) {
    return (schema.options as z.ZodType[]).flatMap((option, i) =>
      insideOf({ path: `${path}(${i})`, schema: option, wrap }),
    );
  }
  if (LEAVES.some((leaf) => schema instanceof leaf)) return [];
  throw new Error(`unable to fill ${path}; its schema is of a kind that is not known here: ${schema.type}`);
}

const LEAVES = [z.ZodString, z.ZodNumber, z.ZodBoolean, z.ZodEnum, z.ZodLiteral, z.ZodUnknown, z.ZodNever, z.ZodCustom];

/** Without what only changes when and how it is read. */
function unwrapped(schema: z.ZodType): z.ZodType {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodNullable) return schema.unwrap() as z.ZodType;
  if (schema instanceof z.ZodPipe) return (schema.in instanceof z.ZodTransform ? schema.out : schema.in) as z.ZodType;
  return schema;
}

/** The smallest text that the schema takes, with `inner` as the field of that name. */
function objectText(schema: z.ZodObject, name?: string, inner?: string): string {
  const fields = Object.entries(schema.shape as Record<string, z.ZodType>)
    .filter(([field, one]) => field !== name && !one.safeParse(undefined).success)
    .map(([field, one]) => `"${field}":${smallest(one)}`);
  return `{${[...fields, ...(name === undefined ? [] : [`"${name}":${inner}`])].join(',')}}`;
}

function smallest(schema: z.ZodType): string {
  const list = listShapeOf(schema);
  if (list !== undefined) return `[${smallest(list.element)}]`;
  const under = unwrapped(schema);
  if (under !== schema) return smallest(under);
  if (schema instanceof z.ZodObject) return objectText(schema);
  if (schema instanceof z.ZodUnion) return smallest(schema.options[0] as z.ZodType);
  const samples = ['"x"', '1', 'true', '{}', '[]', '"https://x.invalid/"', '"data:text/plain;base64,"'];
  const sample = samples.find((text) => schema.safeParse(JSON.parse(text)).success);
  if (sample !== undefined) return sample;
  const [value] = schema instanceof z.ZodLiteral ? schema.values : schema instanceof z.ZodEnum ? schema.options : [];
  if (value !== undefined) return JSON.stringify(value);
  throw new Error(`unable to make a value; the schema is of a kind that is not known here: ${schema.type}`);
}

/** A list or a map with as many elements as it takes, and as large as a request may be. */
function fullOf({ schema, wrap }: Place): string | undefined {
  const list = listShapeOf(schema);
  const under = unwrapped(schema);
  if (list === undefined && under !== schema) return fullOf({ path: '', schema: under, wrap });
  if (list !== undefined) {
    if (list.element instanceof z.ZodNever) return undefined;
    const one = smallest(list.element);
    const times = Math.min(list.most, Math.floor((LARGEST_BYTES - 10_000) / (one.length + 1)));
    return wrap(`[${Array.from({ length: times }, () => one).join(',')}]`);
  }
  if (!(schema instanceof z.ZodRecord)) return undefined;
  const one = smallest(schema.valueType as z.ZodType);
  return wrap(`{${Array.from({ length: 1_000 }, (_, i) => `"name${i}":${one}`).join(',')}}`);
}

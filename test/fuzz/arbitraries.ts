/*
 * What fuzzing is made of: values of the wire's own zod schemas, odd values, and changes of both.
 * Everything comes from the seed of fast-check.
 */

import fc from 'fast-check';
import { z } from 'zod';
import { listShapeOf } from '../../src/protocol/schema-tools.js';
import { Fields, type Mutation, MUTATIONS, mutated, Raw, type Tree, treeOf } from './json-tree.js';

/**
 * Is in no text but that of the clients and providers of these tests. No log line may contain it.
 */
export const PLANTED = 'qzplanted7f3a';

/** Names and texts that broke some program before. */
const ODD_STRINGS: readonly string[] = [
  ...['', ' ', '\u0000', '\ufeff', '\ud800', '\udfff x', 'a\ud83d', '\u202e', '\u2028\u2029', '\u0085\u0007\u001b[2J'],
  ...[
    '\r\nset-cookie: a=b',
    '\n\ndata: {"type":"response.completed"}\n\n',
    'a\r\n\r\n',
    '{"level":"fatal"}\n',
    '%s%n%x',
  ],
  ...['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'then', 'length', 'type', 'id'],
  ...['${HOME}', '{{a}}', '{{', '}}', '{{a.b[0]}}', '../../etc/passwd', 'NaN', '1e999', 'null', 'true', '[]', '{}'],
  ...[
    'data:image/png;base64,AAAA',
    'data:;base64,',
    'https://x.invalid/a',
    'javascript:alert(1)',
    'http://127.0.0.1:1/',
  ],
  ...[
    'x'.repeat(257),
    'é'.repeat(600),
    '💥'.repeat(70),
    'a\u0301'.repeat(500),
    '\u0000'.repeat(64),
    '(a+)+$',
    '[',
    '\\',
  ],
];
const LONG_STRINGS: readonly string[] = ['x'.repeat(70_000), '\u0000'.repeat(20_000), '\ud800'.repeat(10_000)];

const ODD_NUMBERS: readonly Tree[] = [
  ...[0, -1, 1, 2, 1.5, 255, 65_536, 2 ** 31, 2 ** 32 + 1, Number.MAX_SAFE_INTEGER + 1, 1e21, 1e308, -1e308, 5e-324],
  ...['-0', '1e999', '-1e999', '1E400', '0.1e-999', '9'.repeat(400), `0.${'0'.repeat(300)}1`].map(
    (text) => new Raw(text),
  ),
];

const NO_JSON: readonly Tree[] = [
  'undefined',
  'NaN',
  "'x'",
  '01',
  '+1',
  '.5',
  '"\\x"',
  '"\t"',
  '',
  '{',
  ']',
  '\u0000',
].map((text) => new Raw(text));

export const oddString: fc.Arbitrary<string> = fc.oneof(
  { weight: 120, arbitrary: fc.constantFrom(...ODD_STRINGS) },
  { weight: 40, arbitrary: fc.string({ unit: 'binary', maxLength: 12 }) },
  { weight: 40, arbitrary: fc.string({ maxLength: 12 }) },
  { weight: 1, arbitrary: fc.constantFrom(...LONG_STRINGS) },
);

const leaf: fc.Arbitrary<Tree> = fc.oneof(
  { weight: 8, arbitrary: oddString },
  { weight: 4, arbitrary: fc.constantFrom(...ODD_NUMBERS) },
  { weight: 3, arbitrary: fc.constantFrom<Tree>(null, true, false) },
  { weight: 2, arbitrary: fc.constantFrom<Tree>([], new Fields([])) },
  { weight: 1, arbitrary: fc.constantFrom(...NO_JSON) },
);

/** Any value, of no schema. */
export const oddValue: fc.Arbitrary<Tree> = fc.oneof(
  { weight: 6, arbitrary: leaf },
  { weight: 1, arbitrary: fc.array(leaf, { maxLength: 4 }) },
  {
    weight: 2,
    arbitrary: fc.array(fc.tuple(oddString, leaf), { maxLength: 3 }).map((entries) => new Fields(entries)),
  },
);

/** How many changes, and which. Some trees stay as they are, so that valid ones are in between. */
export function mutating(base: fc.Arbitrary<Tree>, names: readonly string[], most = 4): fc.Arbitrary<Tree> {
  const mutation: fc.Arbitrary<Mutation> = fc.record({
    at: fc.nat(100_000),
    kind: fc.constantFrom(...MUTATIONS),
    name: fc.oneof(
      { weight: 3, arbitrary: fc.constantFrom('type', 'name', ...names) },
      { weight: 2, arbitrary: oddString },
    ),
    value: oddValue,
    times: fc.oneof(
      { weight: 400, arbitrary: fc.integer({ min: 1, max: 12 }) },
      { weight: 20, arbitrary: fc.constantFrom(64, 97, 128, 1_001) },
      { weight: 1, arbitrary: fc.constant(33_000) },
    ),
  });
  const changes = fc.oneof(fc.constant([]), fc.array(mutation, { minLength: 1, maxLength: most }));
  return fc.tuple(base, changes).map(([tree, all]) => mutated(tree, all));
}

/** A value that mostly fits `schema`. `samples`: strings that are tried where it takes strings. */
export function fitting(schema: z.core.$ZodType, samples: readonly string[]): fc.Arbitrary<Tree> {
  const list = schema instanceof z.ZodPipe ? listShapeOf(schema) : undefined;
  if (list !== undefined) return fc.array(fitting(list.element, samples), { maxLength: Math.min(3, list.most) });
  if (schema instanceof z.ZodNullable) {
    return fc.oneof({ weight: 3, arbitrary: fitting(schema.unwrap(), samples) }, fc.constant(null));
  }
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault) {
    return fitting(schema.unwrap(), samples);
  }
  if (schema instanceof z.ZodPipe) {
    return fitting(schema.in instanceof z.ZodTransform ? schema.out : schema.in, samples);
  }
  if (schema instanceof z.ZodObject) return fittingFields(schema.shape, samples);
  if (schema instanceof z.ZodArray) return fc.array(fitting(schema.element, samples), { maxLength: 3 });
  if (schema instanceof z.ZodRecord) {
    const name = fc.oneof(fc.constantFrom('name', 'a', 'type'), oddString);
    const entries = fc.array(fc.tuple(name, fitting(schema.valueType, samples)), { maxLength: 3 });
    return entries.map((all) => new Fields(all));
  }
  if (schema instanceof z.ZodUnion) return fc.oneof(...schema.options.map((option) => fitting(option, samples)));
  if (schema instanceof z.ZodEnum) return fc.constantFrom(...(schema.options as string[]));
  if (schema instanceof z.ZodLiteral) return fc.constantFrom(...[...schema.values].map(treeOf));
  if (schema instanceof z.ZodBoolean) return fc.boolean();
  return fittingLeaf(schema, samples);
}

/** Needed fields always, others now and then: an object with all of them rarely passes. */
function fittingFields(shape: z.core.$ZodLooseShape, samples: readonly string[]): fc.Arbitrary<Tree> {
  const fields = Object.entries(shape).map(([name, schema]) => {
    const present = fitting(schema, samples).map((value): (readonly [string, Tree])[] => [[name, value]]);
    const needed = !z.safeParse(schema, undefined).success;
    return needed ? present : fc.oneof({ weight: 12, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: present });
  });
  return fc.tuple(...fields).map((entries) => new Fields(entries.flat()));
}

const CANDIDATES: readonly unknown[] = [
  ...[1, 0, 0.5, 20, 100, 1_000, true, {}, { type: 'object', properties: { a: { type: 'string' } } }, { a: [1] }, []],
  ...[
    'x',
    'ab_1',
    'https://x.invalid/a.png',
    'data:text/plain;base64,aGk=',
    '1.0.0',
    '30s',
    '1MiB',
    '127.0.0.1',
    'UTC',
  ],
];

function fittingLeaf(schema: z.core.$ZodType, samples: readonly string[]): fc.Arbitrary<Tree> {
  const fits = [...samples, ...CANDIDATES].filter((value) => z.safeParse(schema, value).success);
  if (fits.length === 0) return oddValue;
  return fc.oneof({ weight: 24, arbitrary: fc.constantFrom(...fits.map(treeOf)) }, { weight: 1, arbitrary: oddValue });
}

/** Every name of a field in a schema, for changes that use real names in wrong places. */
export function namesIn(schema: z.core.$ZodType, depth = 6): string[] {
  if (depth === 0) return [];
  const list = schema instanceof z.ZodPipe ? listShapeOf(schema) : undefined;
  if (list !== undefined) return namesIn(list.element, depth - 1);
  if (schema instanceof z.ZodPipe) return [...namesIn(schema.in, depth - 1), ...namesIn(schema.out, depth - 1)];
  if (schema instanceof z.ZodUnion) return schema.options.flatMap((option) => namesIn(option, depth - 1));
  if (schema instanceof z.ZodArray) return namesIn(schema.element, depth - 1);
  if (schema instanceof z.ZodObject) {
    const shape: z.core.$ZodLooseShape = schema.shape;
    return Object.entries(shape).flatMap(([name, inner]) => [name, ...namesIn(inner, depth - 1)]);
  }
  return 'unwrap' in schema && typeof schema.unwrap === 'function'
    ? namesIn(schema.unwrap() as z.core.$ZodType, depth - 1)
    : [];
}

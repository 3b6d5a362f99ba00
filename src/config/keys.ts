/*
 * The building blocks of the schema: kinds of values, and keys that carry their own documentation.
 * The same texts appear in mistakes and on the reference page. Knows no key by name.
 */

import { isIP } from 'node:net';
import { z } from 'zod';
import { formatDuration, formatSize, parseDuration, parseSize } from './units.js';

/** A kind of value: its parser, and a description of the allowed values. */
export interface Kind<T> {
  readonly schema: z.ZodType<T>;
  readonly allowed: string;
  /** The closed list of values, if there is one. */
  readonly names?: readonly string[];
}

export interface KeyMeta {
  readonly description: string;
  readonly allowed: string;
  /** The default as the reference page shows it, or undefined if the key is required. */
  readonly shownDefault: string | undefined;
  readonly names?: readonly string[];
}

/** Documentation of each key and section of the schema, beside its type. */
export const keyMeta = z.registry<KeyMeta>();

// A variable always holds text, so text is parsed by the kind of its key.
const asNumber = (value: unknown) =>
  typeof value === 'string' && /^-?\d+(\.\d+)?$/.test(value.trim()) ? Number(value) : value;
const asFlag = (value: unknown) => (value === 'true' ? true : value === 'false' ? false : value);

export const text: Kind<string> = { schema: z.string().trim().min(1), allowed: 'text' };
export const flag: Kind<boolean> = { schema: z.preprocess(asFlag, z.boolean()), allowed: '`true` or `false`' };
export const envName: Kind<string> = {
  schema: z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/),
  allowed: 'the name of an environment variable (never the secret itself)',
};
export const fileName: Kind<string> = {
  schema: z.string().trim().min(1),
  allowed: 'a file; a relative one is looked for beside this file',
};
export const port: Kind<number> = {
  schema: z.preprocess(asNumber, z.int().min(0).max(65_535)),
  allowed: 'a port from 0 to 65535 (0: any free one)',
};

/** An IP address, or a CIDR range. */
export const addressRange: Kind<string> = {
  schema: z.string().trim().refine(isAddressRange),
  allowed: 'an IP address or a CIDR range (not of all addresses)',
};

function isAddressRange(value: string): boolean {
  const [address = '', prefix, ...more] = value.split('/');
  const version = isIP(address);
  if (version === 0 || more.length > 0) return false;
  // A range of all addresses would let every client choose its address.
  return prefix === undefined || (/^[1-9]\d{0,2}$/u.test(prefix) && Number(prefix) <= (version === 4 ? 32 : 128));
}

export function pattern(shape: RegExp, allowed: string): Kind<string> {
  return { schema: z.string().regex(shape), allowed };
}

export function count(min: number, max = 1_000_000_000): Kind<number> {
  const upTo = max === 1_000_000_000 ? ` of at least ${min}` : ` from ${min} to ${max}`;
  return { schema: z.preprocess(asNumber, z.int().min(min).max(max)), allowed: `a whole number${upTo}` };
}

export function number(min: number, max?: number): Kind<number> {
  const schema = z.number().min(min);
  return {
    schema: z.preprocess(asNumber, max === undefined ? schema : schema.max(max)),
    allowed: max === undefined ? `a number of at least ${min}` : `a number from ${min} to ${max}`,
  };
}

/** Returns a duration. Becomes milliseconds. */
export function duration(min: string, max: string): Kind<number> {
  const [minMs, maxMs] = [parseDuration(min) ?? 0, parseDuration(max) ?? 0];
  const toMs = (value: unknown) => (typeof value === 'string' ? (parseDuration(value) ?? value) : value);
  return {
    schema: z.preprocess(toMs, z.int().min(minMs).max(maxMs)),
    allowed: `a duration (\`250ms\`, \`30s\`, \`5m\`, \`24h\`, or milliseconds) from ${formatDuration(minMs)} to ${formatDuration(maxMs)}`,
  };
}

/** Returns a table of durations under names that the operator chooses. Become milliseconds. */
export function durationMap(min: string, max: string): Kind<Record<string, number>> {
  const { schema, allowed } = duration(min, max);
  return { schema: z.record(z.string().trim().min(1), schema), allowed: `names with ${allowed}` };
}

/** Returns a size. Becomes bytes. */
export function size(min: string, max: string): Kind<number> {
  const [minBytes, maxBytes] = [parseSize(min) ?? 0, parseSize(max) ?? 0];
  const toBytes = (value: unknown) => (typeof value === 'string' ? (parseSize(value) ?? value) : value);
  return {
    schema: z.preprocess(toBytes, z.int().min(minBytes).max(maxBytes)),
    allowed: `a size (\`64KiB\`, \`1MiB\`, or bytes) from ${formatSize(minBytes)} to ${formatSize(maxBytes)}`,
  };
}

export function oneOf<const T extends string>(names: readonly [T, ...T[]]): Kind<T> {
  return { schema: z.enum(names), allowed: names.map((name) => `\`${name}\``).join(' or '), names };
}

/** Returns a URL with one of these schemes and without a password. */
export function url(schemes: readonly string[]): Kind<string> {
  const fits = (value: string) => {
    const parsed = URL.parse(value);
    return (
      parsed !== null &&
      schemes.includes(parsed.protocol.slice(0, -1)) &&
      parsed.hostname !== '' &&
      parsed.password === ''
    );
  };
  const starts = schemes.map((scheme) => `\`${scheme}://...\``).join(' or ');
  return { schema: z.string().trim().refine(fits), allowed: `a URL (${starts}) without a password in it` };
}

/** Returns a table of texts. `of` describes the values. */
export function textMap(allowed: string, of: Kind<string> = text): Kind<Record<string, string>> {
  return { schema: z.record(z.string().trim().min(1), z.preprocess(asText, of.schema)), allowed };
}

// YAML parses `2024-10-21` and `1` as other types than text.
const asText = (value: unknown) =>
  typeof value === 'number' || typeof value === 'boolean'
    ? String(value)
    : value instanceof Date
      ? value.toISOString().slice(0, 10)
      : value;

/** A time zone that this machine knows. */
export const timeZone: Kind<string> = {
  schema: z.string().refine(isTimeZone),
  allowed: 'a time zone such as `UTC` or `Europe/Berlin`',
};

function isTimeZone(value: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: value });
    return true;
  } catch {
    return false;
  }
}

/** Tables of weights: which share each of several choices gets. */
export const weights: Kind<Record<string, Record<string, number>>> = {
  schema: z.record(
    z.string().trim().min(1),
    z
      .record(z.string().trim().min(1), z.preprocess(asNumber, z.number().min(0)))
      .refine((choices) => Object.values(choices).some((weight) => weight > 0)),
  ),
  allowed: 'names with a table of weights of at least 0, one of them above 0',
};

/** A JSON object with any fields. */
export const jsonObject: Kind<Record<string, unknown>> = {
  schema: z.record(z.string(), z.json()),
  allowed: 'a table of any fields',
};

/** Returns a table of sections under names that the operator chooses. */
export function sectionMap<S extends z.core.$ZodLooseShape>(
  shape: S,
  allowed: string,
): Kind<Record<string, z.output<z.ZodObject<S, z.core.$strict>>>> {
  return { schema: z.record(z.string().trim().min(1), z.strictObject(shape)), allowed };
}

export function list<T>(of: Kind<T>, what: string): Kind<T[]> {
  return { schema: z.array(of.schema), allowed: `a list of ${what}`, ...(of.names && { names: of.names }) };
}

/** A point in time. Becomes Unix milliseconds. */
export const moment: Kind<number> = {
  schema: z.preprocess((value) => {
    if (value instanceof Date) return value.getTime();
    return typeof value === 'string' && /^\d{4}-\d\d-\d\d/.test(value) ? Date.parse(value) : value;
  }, z.int()),
  allowed: 'a date (`2027-01-31`) or a time (`2027-01-31T12:00:00Z`)',
};

function meta(kind: Kind<unknown>, description: string, shownDefault: string | undefined): KeyMeta {
  return { description, allowed: kind.allowed, shownDefault, ...(kind.names && { names: kind.names }) };
}

/** Returns a key with a default. The default is written as an operator would write it. */
export function key<T>(
  kind: Kind<T>,
  byDefault: string | number | boolean | readonly string[] | Readonly<Record<string, never>>,
  description: string,
) {
  const shown = Array.isArray(byDefault)
    ? `[${byDefault.join(', ')}]`
    : typeof byDefault === 'object'
      ? '{}'
      : String(byDefault);
  return kind.schema.prefault(byDefault).register(keyMeta, meta(kind, description, `\`${shown}\``));
}

/** Returns an optional key, null if absent. `without` describes the effect of leaving it out. */
export function optionalKey<T>(kind: Kind<T>, without: string, description: string) {
  return kind.schema
    .nullable()
    .default(null)
    .register(keyMeta, meta(kind, description, without));
}

export function requiredKey<T>(kind: Kind<T>, description: string) {
  // Many keys share a kind, but the registry needs one schema instance per key.
  return kind.schema.clone().register(keyMeta, meta(kind, description, undefined));
}

const SECTION = 'a section with keys';

/** Returns a section: closed list of keys, all optional. */
export function section<S extends z.core.$ZodLooseShape>(description: string, shape: S) {
  // Each key of a section has its own default. The types do not show that, but the empty section is
  // valid input.
  return z
    .strictObject(shape)
    .prefault({} as never)
    .register(keyMeta, { description, allowed: SECTION, shownDefault: '' });
}

/** Returns a section that has an effect only if it is in the file; null otherwise. */
export function optionalSection<S extends z.core.$ZodLooseShape>(without: string, description: string, shape: S) {
  return z
    .strictObject(shape)
    .nullable()
    .default(null)
    .register(keyMeta, { description, allowed: SECTION, shownDefault: without });
}

export function sectionList<S extends z.core.$ZodLooseShape>(description: string, shape: S) {
  return z
    .array(z.strictObject(shape))
    .prefault([])
    .register(keyMeta, { description, allowed: 'a list of sections', shownDefault: '`[]`' });
}

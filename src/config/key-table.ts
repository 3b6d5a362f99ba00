/*
 * Every key of the schema as a flat table, derived from the schema, for mistakes and for the
 * reference page.
 */

import { z } from 'zod';
import { type KeyMeta, keyMeta } from './keys.js';

export interface KeyRow extends KeyMeta {
  /** Dotted path, such as `app.port` or `auth.keys[].id`. */
  readonly path: string;
  readonly isSection: boolean;
}

/**
 * Returns the object schema inside defaults and nullables, and whether it is the element of a list.
 * Undefined for a plain value.
 */
function sectionOf(schema: unknown): { shape: z.core.$ZodLooseShape; isList: boolean } | undefined {
  if (schema instanceof z.ZodPrefault || schema instanceof z.ZodDefault || schema instanceof z.ZodNullable)
    return sectionOf(schema.unwrap());
  if (schema instanceof z.ZodObject) return { shape: schema.shape, isList: false };
  if (schema instanceof z.ZodArray && schema.element instanceof z.ZodObject)
    return { shape: schema.element.shape, isList: true };
  return undefined;
}

/** Rows in the order of the schema, a section before its keys. */
export function keyTable(schema: z.ZodObject, prefix = ''): KeyRow[] {
  const rows: KeyRow[] = [];
  const walk = (shape: z.core.$ZodLooseShape, at: string) => {
    for (const [name, inner] of Object.entries(shape)) {
      const path = at ? `${at}.${name}` : name;
      const section = sectionOf(inner);
      // Every value of a shape is a schema, but its type is looser.
      const meta = keyMeta.get(inner as z.ZodType);
      if (!meta)
        throw new Error(`unable to describe the configuration key ${path}; it was declared without a description`);
      rows.push({ path, isSection: section !== undefined, ...meta });
      if (section) walk(section.shape, section.isList ? `${path}[]` : path);
    }
  };
  walk(schema.shape, prefix);
  return rows;
}

/** Names of the keys directly under `section` (`''` is the file itself). */
export function namesUnder(rows: readonly KeyRow[], section: string): string[] {
  const start = section ? `${section}.` : '';
  return rows
    .map((row) => row.path)
    .filter((path) => path.startsWith(start))
    .map((path) => path.slice(start.length))
    .filter((rest) => !/[.[]/.test(rest));
}

/*
 * JSON Schema by ajv: 2020-12, or draft-07 where `$schema` names it. Patterns are matched in linear
 * time. References to other documents are refused, because nothing is fetched.
 */

import { createRequire } from 'node:module';
import { Ajv } from 'ajv';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { RE2JS } from 're2js';

// A CommonJS module whose default export ESM cannot type.
const addFormats = createRequire(import.meta.url)('ajv-formats') as (ajv: Ajv) => unknown;

/**
 * @param mistake called with what is wrong with the schema
 * @returns whether a value satisfies the schema
 */
export function compileJsonSchema(
  schema: Readonly<Record<string, unknown>>,
  mistake: (what: string) => void,
): (value: unknown) => boolean {
  const Compiler = String(schema['$schema'] ?? '').includes('draft-07') ? Ajv : Ajv2020;
  const ajv = new Compiler({ strict: false, logger: false, allErrors: false, code: { regExp: linear } });
  addFormats(ajv);
  try {
    const validate = ajv.compile(schema);
    return (value) => validate(value);
  } catch (error) {
    mistake(`is no JSON Schema: ${error instanceof Error ? error.message : 'it cannot be compiled'}`);
    return () => false;
  }
}

/** Compiles the `pattern` keywords of a schema. */
const linear = Object.assign((pattern: string) => RE2JS.compile(pattern), { code: 'new RegExp' });

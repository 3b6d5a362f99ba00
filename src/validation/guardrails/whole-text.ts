/*
 * Guardrails that can only be judged on a whole text: what it must contain, and whether it is JSON.
 * An answer is judged at its end. `buffer: true` holds it until then.
 */

import { createRequire } from 'node:module';
import { type Ajv } from 'ajv';
import { type Ajv2020 } from 'ajv/dist/2020.js';
import { RE2JS } from 're2js';
import { ALLOW, type CompiledGuardrail, type Denial, type Verdict } from '../guardrail.js';
import { type KindContext } from '../kind-context.js';
import { Params } from './params.js';

// CommonJS modules, loaded by the first schema.
const require = createRequire(import.meta.url);

type Given = Readonly<Record<string, unknown>>;

/** `params.patterns` (or `contains`): the texts that must all be there, in any case. */
export function compileContains(given: Given, context: KindContext): CompiledGuardrail[] {
  const patterns = patternsOf('contains', given);
  const missing = (text: string): boolean => !patterns.every((pattern) => text.includes(pattern));
  return [new WholeText('contains', 'missing_text', (text) => missing(text.toLowerCase()), context)];
}

/** `params.patterns`: the texts of which one must be there, in any case. */
export function compileContainsAny(given: Given, context: KindContext): CompiledGuardrail[] {
  const patterns = patternsOf('contains_any', given);
  const missing = (text: string): boolean => !patterns.some((pattern) => text.includes(pattern));
  return [new WholeText('contains_any', 'missing_text', (text) => missing(text.toLowerCase()), context)];
}

/**
 * `params.fields` (or `required_fields`): fields that a JSON object must have, or names that other
 * text must contain in any case.
 */
export function compileRequiredFields(given: Given, context: KindContext): CompiledGuardrail[] {
  const params = new Params('required_fields', given, ['fields', 'required_fields']);
  const fields = params.stringsUnderOneOf(['fields', 'required_fields']);
  params.throwMistakes();
  const lower = fields.map((field) => field.toLowerCase());
  const missing = (text: string): boolean => {
    const value = jsonOf(text);
    if (typeof value === 'object' && value !== null) return !fields.every((field) => Object.hasOwn(value, field));
    const plain = text.toLowerCase();
    return !lower.every((field) => plain.includes(field));
  };
  return [new WholeText('required_fields', 'missing_field', missing, context)];
}

/** The whole text must be JSON. No params. */
export function compileJsonValid(given: Given, context: KindContext): CompiledGuardrail[] {
  new Params('json_valid', given, []).throwMistakes();
  return [new WholeText('json_valid', 'invalid_json', (text) => jsonOf(text) === undefined, context)];
}

/** `params.schema`: the JSON Schema that the text must satisfy. */
export function compileJsonSchemaKind(given: Given, context: KindContext): CompiledGuardrail[] {
  const params = new Params('json_schema', given, ['schema']);
  const schema = params.object('schema');
  const fits = compileJsonSchema(schema, (what) => params.mistake('schema', what));
  params.throwMistakes();
  return [
    new WholeText(
      'json_schema',
      'schema_mismatch',
      (text) => {
        const value = jsonOf(text);
        return value === undefined || !fits(value);
      },
      context,
    ),
  ];
}

function patternsOf(type: string, given: Given): readonly string[] {
  const params = new Params(type, given, ['patterns', 'contains', 'text']);
  const patterns =
    typeof given['text'] === 'string' ? [given['text']] : params.stringsUnderOneOf(['patterns', 'contains']);
  params.throwMistakes();
  return patterns.map((pattern) => pattern.toLowerCase());
}

/** Parses JSON. @returns undefined if the text is no JSON */
function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** A guardrail over a whole text. */
export class WholeText implements CompiledGuardrail {
  readonly answerOnly = true;

  constructor(
    readonly type: string,
    private readonly reason: string,
    private readonly breaks: (text: string) => boolean,
    private readonly context: KindContext,
  ) {}

  checkInput(texts: readonly string[]): Verdict {
    const breaking = texts.find((text) => this.breaks(text));
    if (breaking === undefined) return ALLOW;
    return { decision: 'deny', position: breaking.length, ...this.#denial('This message') };
  }

  judgeWhole(text: string): Denial | undefined {
    return this.breaks(text) ? this.#denial('The answer') : undefined;
  }

  #denial(what: string): Denial {
    const message = this.context.message ?? `${what} does not have the form that is required here.`;
    return { reason: this.reason, message };
  }
}

/**
 * Compiles a JSON Schema: 2020-12, or draft-07 where `$schema` names it. Patterns are matched in
 * linear time. References to other documents are refused, because nothing is fetched.
 * @param mistake called with what is wrong with the schema
 * @returns a function that returns whether a value satisfies the schema
 */
function compileJsonSchema(
  schema: Readonly<Record<string, unknown>>,
  mistake: (what: string) => void,
): (value: unknown) => boolean {
  const { $schema: version } = schema;
  const isDraft07 = typeof version === 'string' && version.includes('draft-07');
  const { default: Compiler } = require(isDraft07 ? 'ajv' : 'ajv/dist/2020.js') as {
    readonly default: typeof Ajv | typeof Ajv2020;
  };
  const addFormats = require('ajv-formats') as (ajv: Ajv) => unknown;
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

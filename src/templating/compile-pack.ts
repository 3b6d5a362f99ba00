/*
 * Checks the content of one pack file as a whole and compiles it into prompts. Pure. Reports all
 * mistakes, not only the first. Reading files is load-packs' task.
 */

import { type z } from 'zod';
import { didYouMean, quoted } from './names.js';
import { type PackMistake, pathText } from './pack-mistake.js';
import {
  knownKeysAt,
  PACK_KEYS,
  PackHeadSchema,
  type PromptFile,
  PromptSchema,
  type VariableFile,
  WITHOUT_EFFECT,
} from './pack-schema.js';
import { compilePattern } from './pattern.js';
import { type Prompt, type PromptParameters } from './prompt.js';
import { expandFragments, namesIn, parseTemplate, type Template } from './template.js';
import { checkValue, type Variable, type VariableRules } from './variable.js';

export interface CompiledPack {
  readonly id: string;
  readonly version: string;
  readonly prompts: readonly Prompt[];
}
interface CompileResult {
  /** Absent if there are mistakes. */
  readonly pack?: CompiledPack;
  readonly mistakes: readonly PackMistake[];
  readonly warnings: readonly PackMistake[];
}
export interface CompileOptions {
  /** Guardrail types that validation supports. Absent: any type is accepted. */
  readonly knownGuardrails?: ReadonlySet<string>;
}

type Path = readonly PropertyKey[];
type Json = Readonly<Record<string, unknown>>;

/** Collects the mistakes and warnings of one file. */
class Findings {
  readonly mistakes: PackMistake[] = [];
  readonly warnings: PackMistake[] = [];

  constructor(private readonly file: string) {}

  mistake(path: Path, what: string, allowed?: string): void {
    this.mistakes.push({ file: this.file, path: pathText(path), what, ...(allowed === undefined ? {} : { allowed }) });
  }
  warning(path: Path, what: string): void {
    this.warnings.push({ file: this.file, path: pathText(path), what });
  }
  /** Warns about each `key` of `object` that has no effect. */
  withoutEffect(path: Path, object: Json, keys: readonly string[]): void {
    for (const key of keys) {
      if (object[key] !== undefined) this.warning([...path, key], 'is read and has no effect in this gateway');
    }
  }
  issues(error: z.core.$ZodError, base: Path): void {
    for (const issue of error.issues) {
      const path = [...base, ...issue.path];
      if (issue.code === 'unrecognized_keys') this.unknownKeys(path, issue.keys);
      else if (issue.code === 'invalid_key') this.mistake(path, issue.issues[0]?.message ?? issue.message);
      else this.mistake(path, issue.message);
    }
  }
  private unknownKeys(path: Path, keys: readonly string[]): void {
    const known = knownKeysAt(path);
    for (const key of keys) {
      this.mistake([...path, key], `is no key of the format${hint(key, known)}`, known.join(', '));
    }
  }
}

/** Checks and compiles `raw`, the parsed JSON of `file` (a name for messages). */
export function compilePack(file: string, raw: unknown, options: CompileOptions = {}): CompileResult {
  const found = new Findings(file);
  if (!isObject(raw)) {
    found.mistake([], 'must be a JSON object: a prompt pack');
    return found;
  }
  for (const key of Object.keys(raw)) {
    if (PACK_KEYS.includes(key)) continue;
    found.warning([key], `has no effect in this gateway${hint(key, PACK_KEYS)}`);
  }

  const head = PackHeadSchema.safeParse(raw);
  if (!head.success) found.issues(head.error, []);
  const fragments = compileFragments(raw['fragments'], found);
  const entries = isObject(raw['prompts']) ? Object.entries(raw['prompts']) : [];
  if (isObject(raw['prompts']) && entries.length === 0) found.mistake(['prompts'], 'must hold at least one prompt');
  const context = { found, fragments, options };
  const parts = entries.flatMap(([key, entry]) => compilePrompt(key, entry, context) ?? []);
  if (!head.success || found.mistakes.length > 0) return found;

  const id = head.data.id;
  const version = head.data.version.replace(/^v/, '');
  return {
    pack: { id, version, prompts: parts.map((part) => ({ pack: id, version, ...part })) },
    mistakes: [],
    warnings: found.warnings,
  };
}

interface Context {
  readonly found: Findings;
  readonly fragments: ReadonlyMap<string, Template>;
  readonly options: CompileOptions;
}

/**
 * Fragments may contain variables but no other fragments, which rules out cycles and unbounded
 * growth.
 */
function compileFragments(raw: unknown, found: Findings): ReadonlyMap<string, Template> {
  const fragments = new Map<string, Template>();
  if (!isObject(raw)) return fragments;
  for (const [name, text] of Object.entries(raw)) {
    if (typeof text !== 'string') continue;
    const { template, problems } = parseTemplate(text);
    for (const problem of problems) found.mistake(['fragments', name], problem);
    fragments.set(name, template);
  }
  for (const [name, template] of fragments) {
    for (const inner of namesIn(template)) {
      if (fragments.has(inner))
        found.mistake(['fragments', name], `names the fragment "${inner}"`, 'variables and text');
    }
  }
  return fragments;
}

function compilePrompt(key: string, raw: unknown, context: Context): Omit<Prompt, 'pack' | 'version'> | undefined {
  const { found, options } = context;
  const path = ['prompts', key];
  const template = isObject(raw) ? compileTemplate(path, raw, context) : [];
  const parsed = PromptSchema.safeParse(raw);
  if (!parsed.success) {
    found.issues(parsed.error, path);
    return undefined;
  }
  const file = parsed.data;
  if (file.id !== key) found.mistake([...path, 'id'], `is ${quoted(file.id)}`, `${quoted(key)}, the key of the prompt`);
  found.withoutEffect(path, file, WITHOUT_EFFECT.prompt);

  file.validators.forEach(({ type, fail_on_violation: fails }, i) => {
    const at = [...path, 'validators', i];
    if (options.knownGuardrails !== undefined && !options.knownGuardrails.has(type)) {
      const allowed = [...options.knownGuardrails].sort().join(', ');
      found.mistake([...at, 'type'], `${quoted(type)} is no guardrail of this gateway`, allowed);
    }
    if (fails === false) {
      found.warning(
        [...at, 'fail_on_violation'],
        'has no effect: a guardrail that finds something refuses; enabled: false turns it off',
      );
    }
  });
  return {
    name: key,
    title: file.name,
    description: file.description ?? null,
    template,
    variables: compileVariables(path, file, found),
    guardrails: file.validators.map(({ type, enabled, params, message }) => ({
      type,
      enabled,
      params,
      ...(message === undefined ? {} : { message }),
    })),
    parameters: compileParameters(path, file, found),
  };
}

/**
 * Works on the raw entry, so that a mistake in another key does not hide mistakes of the template.
 */
function compileTemplate(path: Path, raw: Json, { found, fragments }: Context): Template {
  if (typeof raw['system_template'] !== 'string') return [];
  const at = [...path, 'system_template'];
  const { template, problems } = parseTemplate(raw['system_template']);
  for (const problem of problems) found.mistake(at, problem);

  const list = Array.isArray(raw['variables']) ? (raw['variables'] as readonly unknown[]) : [];
  const declared = list.map((entry) => (isObject(entry) && typeof entry['name'] === 'string' ? entry['name'] : ''));
  const expanded = expandFragments(template, fragments);
  const used = namesIn(expanded);
  const known = [...declared, ...fragments.keys()].filter((name) => name !== '');
  for (const name of used) {
    if (declared.includes(name) || fragments.has(name)) continue;
    found.mistake(
      at,
      `names the variable "${name}", which is not declared${hint(name, known)}`,
      known.join(', ') || 'none is declared',
    );
  }
  declared.forEach((name, i) => {
    if (name === '') return;
    const here = [...path, 'variables', i, 'name'];
    if (fragments.has(name)) found.mistake(here, `"${name}" is also the name of a fragment`);
    else if (declared.indexOf(name) !== i) found.mistake(here, `"${name}" is declared twice`);
    else if (!used.has(name)) found.warning(here, `"${name}" is declared and never used by the template`);
  });
  return expanded;
}

function compileVariables(path: Path, file: PromptFile, found: Findings): readonly Variable[] {
  return file.variables.map((entry, i) => {
    const at = [...path, 'variables', i];
    found.withoutEffect(at, entry, WITHOUT_EFFECT.variable);
    const rules = compileRules([...at, 'validation'], entry, found);
    const { name, type, required, description, example } = entry;
    const value = entry.default;
    const variable: Variable = {
      name,
      type,
      required,
      rules,
      ...(value === undefined ? {} : { default: value }),
      ...(description === undefined ? {} : { description }),
      ...(example === undefined ? {} : { example }),
    };
    if (value !== undefined) {
      if (required) found.mistake([...at, 'default'], 'stands beside required: true', 'one of the two');
      const checked = checkValue(variable, value);
      if (!checked.ok) found.mistake([...at, 'default'], checked.problem);
    }
    return variable;
  });
}

function compileRules(at: Path, { type, validation }: VariableFile, found: Findings): VariableRules {
  if (validation === undefined) return {};
  const { min_length: minLength, max_length: maxLength, minimum, maximum, enum: oneOf, pattern } = validation;
  const forType = (keys: readonly string[], given: readonly unknown[], allowed: boolean): void => {
    keys.forEach((key, i) => {
      if (given[i] !== undefined && !allowed) found.mistake([...at, key], `means nothing for the type ${type}`);
    });
  };
  forType(['pattern', 'min_length'], [pattern, minLength], type === 'string');
  forType(['max_length'], [maxLength], type !== 'number' && type !== 'boolean');
  forType(['minimum', 'maximum'], [minimum, maximum], type === 'number');
  if (minLength !== undefined && maxLength !== undefined && minLength > maxLength) {
    found.mistake([...at, 'min_length'], 'is greater than max_length');
  }
  if (minimum !== undefined && maximum !== undefined && minimum > maximum) {
    found.mistake([...at, 'minimum'], 'is greater than maximum');
  }
  oneOf?.forEach((value, i) => {
    const checked = checkValue({ name: '', type, required: false, rules: {} }, value);
    if (!checked.ok) found.mistake([...at, 'enum', i], checked.problem);
  });
  let compiled: RegExp | undefined;
  try {
    if (pattern !== undefined) compiled = compilePattern(pattern);
  } catch {
    found.mistake([...at, 'pattern'], 'is no regular expression (JavaScript syntax, u flag)');
  }
  return {
    ...(compiled === undefined ? {} : { pattern: compiled }),
    ...(minLength === undefined ? {} : { minLength }),
    ...(maxLength === undefined ? {} : { maxLength }),
    ...(minimum === undefined ? {} : { minimum }),
    ...(maximum === undefined ? {} : { maximum }),
    ...(oneOf === undefined ? {} : { oneOf }),
  };
}

function compileParameters(path: Path, { parameters }: PromptFile, found: Findings): PromptParameters {
  if (parameters === undefined) return {};
  found.withoutEffect([...path, 'parameters'], parameters, WITHOUT_EFFECT.parameters);
  const { temperature, top_p: topP, max_tokens: maxTokens } = parameters;
  return {
    ...(temperature === undefined ? {} : { temperature }),
    ...(topP === undefined ? {} : { topP }),
    ...(maxTokens === undefined ? {} : { maxTokens }),
  };
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function hint(name: string, known: readonly string[]): string {
  const likely = didYouMean(name, known);
  return likely === undefined ? '' : `, ${likely}`;
}

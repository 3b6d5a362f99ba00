/*
 * Checks the content of one pack file as a whole and compiles it into prompts. Pure. Reports all
 * mistakes, not only the first. Reads no files; load-packs does.
 */

import { compilePrompt } from './compile-prompt.js';
import { compileTools } from './compile-tools.js';
import { Findings, isObject } from './findings.js';
import { Fragments } from './fragments.js';
import { type PackMistake } from './pack-mistake.js';
import { NOT_RUN, PackHeadSchema } from './pack-schema.js';
import { type PackMetadata, type Prompt, type ReadGuardrails } from './prompt.js';
import { DOUBLE_BRACES, type Syntax, syntaxOf } from './syntax.js';
import { parseTemplate, type Template } from './template.js';

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
  /** Reads the `validators` of prompts. Absent: they are not read. */
  readonly readGuardrails?: ReadGuardrails;
  /** Whether a pack with parts that this gateway does not run is refused. */
  readonly strict?: boolean;
}

/** Checks and compiles `raw`, the parsed JSON of `file` (a name for messages). */
export function compilePack(file: string, raw: unknown, options: CompileOptions = {}): CompileResult {
  const found = new Findings(file);
  if (!isObject(raw)) {
    found.mistake([], 'must be a JSON object: a prompt pack');
    return found;
  }
  const head = PackHeadSchema.safeParse(raw, { reportInput: true });
  if (!head.success) found.issues(head.error, []);
  found.notRunKeys([], raw, NOT_RUN.pack);
  const syntax = syntaxIn(raw['template_engine']);
  const fragments = compileFragments(raw['fragments'], syntax, found);
  const tools = compileTools(raw['tools'], found);
  const entries = isObject(raw['prompts']) ? Object.entries(raw['prompts']) : [];
  if (isObject(raw['prompts']) && entries.length === 0) found.mistake(['prompts'], 'must hold at least one prompt');
  const { readGuardrails = () => ({ guardrails: [], mistakes: [] }) } = options;
  const context = { found, fragments, tools, syntax, readGuardrails };
  const parts = entries.flatMap(([key, entry]) => compilePrompt(key, entry, context) ?? []);
  found.closeNotRun(options.strict ?? false);
  if (!head.success || found.mistakes.length > 0) return found;

  const { id } = head.data;
  const version = head.data.version.replace(/^v/, '');
  const metadata = metadataOf(head.data.metadata);
  return {
    pack: { id, version, prompts: parts.map((part) => ({ pack: id, version, metadata, ...part })) },
    mistakes: [],
    warnings: found.warnings,
  };
}

/**
 * Returns the pack's syntax, or the usual one if the pack's is a mistake, so that templates are
 * checked too.
 */
function syntaxIn(engine: unknown): Syntax {
  const example = isObject(engine) ? engine['syntax'] : undefined;
  return (typeof example === 'string' ? syntaxOf(example) : undefined) ?? DOUBLE_BRACES;
}

function compileFragments(raw: unknown, syntax: Syntax, found: Findings): Fragments {
  const parsed = new Map<string, Template>();
  for (const [name, text] of isObject(raw) ? Object.entries(raw) : []) {
    if (typeof text !== 'string') continue;
    const { template, problems } = parseTemplate(text, syntax);
    for (const problem of problems) found.mistake(['fragments', name], problem);
    parsed.set(name, template);
  }
  const fragments = new Fragments(parsed);
  for (const [name, problems] of fragments.problems) {
    for (const problem of problems) found.mistake(['fragments', name], problem);
  }
  return fragments;
}

function metadataOf(file: Readonly<Record<string, unknown>> | undefined): PackMetadata {
  const { domain, language, tags } = (file ?? {}) as PackMetadata;
  return {
    ...(domain === undefined ? {} : { domain }),
    ...(language === undefined ? {} : { language }),
    ...(tags === undefined ? {} : { tags }),
  };
}

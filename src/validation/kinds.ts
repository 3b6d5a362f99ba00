/*
 * The kinds of guardrails: one entry a kind, under each name that packs and the configuration use
 * for it. Findings and metrics carry the first name. A new kind is a compiler in `guardrails/` and
 * an entry here.
 */

import { type CompiledGuardrail, type Direction } from './guardrail.js';
import { compileBannedWords, compileContentExcludes } from './guardrails/banned-words.js';
import { compileLength, compileMaxLength, compileMinLength } from './guardrails/length.js';
import { compileModeration, compileTopic } from './guardrails/moderation.js';
import { compileMaxSentences, compileSentenceCount } from './guardrails/sentences.js';
import { compilePii } from './guardrails/pii.js';
import { compileRegex } from './guardrails/regex.js';
import {
  compileContains,
  compileContainsAny,
  compileJsonSchemaKind,
  compileJsonValid,
  compileRequiredFields,
} from './guardrails/whole-text.js';
import { type KindContext } from './kind-context.js';

interface Kind {
  /** The kind's own name, then others for it. */
  readonly names: readonly [string, ...string[]];
  /** The direction if its entry names none. */
  readonly direction: Direction;
  /**
   * Compiles the guardrails of an entry.
   * @returns none if there is nothing to check
   * @throws GuardrailMistake for invalid params
   */
  readonly compile: (params: Readonly<Record<string, unknown>>, context: KindContext) => CompiledGuardrail[];
}

const KINDS: readonly Kind[] = [
  { names: ['banned_words'], direction: 'both', compile: compileBannedWords },
  { names: ['content_excludes'], direction: 'both', compile: compileContentExcludes },
  { names: ['max_length'], direction: 'both', compile: compileMaxLength },
  { names: ['min_length'], direction: 'output', compile: compileMinLength },
  { names: ['length'], direction: 'output', compile: compileLength },
  { names: ['max_sentences'], direction: 'output', compile: compileMaxSentences },
  { names: ['sentence_count'], direction: 'output', compile: compileSentenceCount },
  { names: ['regex', 'regex_match'], direction: 'both', compile: compileRegex },
  { names: ['pii', 'pii_detection'], direction: 'both', compile: compilePii },
  { names: ['contains'], direction: 'output', compile: compileContains },
  { names: ['contains_any'], direction: 'output', compile: compileContainsAny },
  { names: ['required_fields', 'field_presence'], direction: 'output', compile: compileRequiredFields },
  { names: ['json_valid'], direction: 'output', compile: compileJsonValid },
  { names: ['json_schema'], direction: 'output', compile: compileJsonSchemaKind },
  { names: ['moderation'], direction: 'both', compile: compileModeration },
  { names: ['topic'], direction: 'input', compile: compileTopic },
];

const BY_NAME = new Map(KINDS.flatMap((kind) => kind.names.map((name) => [name, kind] as const)));

/** Every name of a kind. */
export const KIND_NAMES: readonly string[] = [...BY_NAME.keys()];
/** The kinds' own names, as findings and metrics carry them. */
export const GUARDRAIL_TYPES: readonly string[] = KINDS.map(({ names: [name] }) => name);

export function kindOf(name: string): Kind | undefined {
  return BY_NAME.get(name);
}

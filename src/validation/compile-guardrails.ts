/*
 * Compiles guardrails from their settings. Holds the list of types. Caches nothing: callers keep
 * the result.
 */

import { type CompiledGuardrail, type GuardrailSpec } from './guardrail.js';
import { compileBannedWords } from './guardrails/banned-words.js';
import { compileMaxLength } from './guardrails/max-length.js';
import { GuardrailMistake } from './guardrails/params.js';

type Compile = (
  params: Readonly<Record<string, unknown>>,
  message: string | undefined,
) => CompiledGuardrail | undefined;

const COMPILERS: ReadonlyMap<string, Compile> = new Map([
  ['banned_words', compileBannedWords],
  ['max_length', compileMaxLength],
]);

export const GUARDRAIL_TYPES: readonly string[] = [...COMPILERS.keys()];

/**
 * Compiles the enabled guardrails in the given order, which is also their precedence when two deny
 * at the same position. Skips disabled guardrails and those with nothing to check (no words).
 * @throws GuardrailMistake for an unknown type or invalid params
 */
export function compileGuardrails(specs: readonly GuardrailSpec[]): CompiledGuardrail[] {
  const compiled: CompiledGuardrail[] = [];
  for (const { type, enabled, params, message } of specs) {
    if (!enabled) continue;
    const compile = COMPILERS.get(type);
    if (compile === undefined) {
      throw new GuardrailMistake(type, [
        { param: '', what: `there is no such type; known: ${GUARDRAIL_TYPES.join(', ')}` },
      ]);
    }
    const guardrail = compile(params, message);
    if (guardrail !== undefined) compiled.push(guardrail);
  }
  return compiled;
}

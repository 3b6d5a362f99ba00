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
 * The enabled guardrails in the order given, which is also their precedence where two object at the
 * same place. A disabled one is not looked at; one that has nothing to guard (no words) is left
 * out.
 * @throws GuardrailMistake for an unknown type or params that cannot be used.
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

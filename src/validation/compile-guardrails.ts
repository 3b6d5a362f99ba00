/*
 * Compiles guardrails from their settings. Caches nothing: callers keep the result.
 */

import { nearest } from '../domain/nearest.js';
import { type CompiledGuardrail, type Direction, type GuardrailSpec, type Verdict } from './guardrail.js';
import { GuardrailMistake } from './guardrails/params.js';
import { type Judges } from './kind-context.js';
import { KIND_NAMES, kindOf } from './kinds.js';

/** Milliseconds that a verdict may take if its entry sets no timeout. */
const TIMEOUT_MS = 5_000;

/**
 * Compiles the enabled guardrails in the given order, which is also their precedence when two deny
 * at the same position. Skips disabled guardrails and those with nothing to check (no words).
 * @param judges servers that judge texts; absent: the guardrails are only checked
 * @throws GuardrailMistake for an unknown type or invalid params
 */
export function compileGuardrails(specs: readonly GuardrailSpec[], judges?: Judges): CompiledGuardrail[] {
  const compiled: CompiledGuardrail[] = [];
  for (const spec of specs) {
    const { type, enabled, params, message, onError = 'deny', timeoutMs = TIMEOUT_MS } = spec;
    if (!enabled) continue;
    const kind = kindOf(type);
    if (kind === undefined) throw unknownType(type);
    for (const one of kind.compile(params, { message, onError, timeoutMs, judges })) {
      compiled.push(applied(one, spec, spec.direction ?? kind.direction));
    }
  }
  return compiled;
}

function unknownType(type: string): GuardrailMistake {
  const likely = nearest(type, KIND_NAMES);
  const hint = likely === undefined ? '' : `; did you mean ${likely}?`;
  const what = `there is no such type; known: ${KIND_NAMES.join(', ')}${hint}`;
  return new GuardrailMistake(type, [{ param: '', what }], true);
}

/** Returns the guardrail with the direction, mode and buffer of its entry. */
function applied(one: CompiledGuardrail, spec: GuardrailSpec, direction: Direction): CompiledGuardrail {
  const monitors = spec.mode === 'monitor';
  const verdict = (found: Verdict): Verdict =>
    monitors && found.decision === 'deny'
      ? { decision: 'note', reason: found.reason, position: found.position }
      : found;
  const { measures = false, answerOnly = false, mask } = one;
  const { checkInput, checkInputLater, startOutput, judgeWhole } = one;
  const onInput: Partial<CompiledGuardrail> = {
    ...(mask === undefined || monitors ? {} : { mask }),
    ...(checkInput && { checkInput: (texts) => verdict(checkInput.call(one, texts)) }),
    ...(checkInputLater && {
      checkInputLater: async (texts, signal) => verdict(await checkInputLater.call(one, texts, signal)),
    }),
  };
  const onOutput: Partial<CompiledGuardrail> = {
    ...(startOutput && { startOutput: (context) => startOutput.call(one, context) }),
    ...(judgeWhole && { judgeWhole: (text) => judgeWhole.call(one, text) }),
    slow: one.slow === true,
    buffer: spec.buffer === true && !monitors,
  };
  return {
    type: one.type,
    measures,
    answerOnly,
    monitors,
    ...(direction === 'output' ? {} : onInput),
    ...(direction === 'input' ? {} : onOutput),
  };
}

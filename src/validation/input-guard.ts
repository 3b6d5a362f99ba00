/* Checks a turn's input with all guardrails before it is used. */

import { type Finding } from '../domain/response.js';
import { type CompiledGuardrail } from './guardrail.js';

export interface InputCheck {
  /**
   * Set when the input is refused: the turn ends with this message and the provider is never
   * called.
   */
  readonly deny?: { readonly finding: Finding; readonly message: string };
  readonly notes: readonly Finding[];
}

export interface InputGuard {
  /**
   * The first guardrail that denies decides.
   * @param texts the texts to judge, one a message
   * @param measured those of them whose length counts
   */
  check(texts: readonly string[], measured?: readonly string[]): InputCheck;
}

export function createInputGuard(guardrails: readonly CompiledGuardrail[]): InputGuard {
  return {
    check(texts, measured = texts) {
      const notes: Finding[] = [];
      for (const guardrail of guardrails) {
        const verdict = guardrail.checkInput(guardrail.measures === true ? measured : texts);
        if (verdict.decision === 'allow') continue;
        const { decision, reason } = verdict;
        const finding: Finding = { guardrail: guardrail.type, stage: 'input', decision, reason };
        if (verdict.decision === 'deny') return { deny: { finding, message: verdict.message }, notes };
        notes.push(finding);
      }
      return { notes };
    },
  };
}

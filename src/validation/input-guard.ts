/* Asks all guardrails about a turn's input before anybody else sees it. */

import { type Finding } from '../domain/response.js';
import { type CompiledGuardrail } from './guardrail.js';

export interface InputCheck {
  /** Set when the input is refused: the turn ends with this message and the provider is never called. */
  readonly deny?: { readonly finding: Finding; readonly message: string };
  readonly notes: readonly Finding[];
}

export interface InputGuard {
  /** @param texts the new input's texts, one a message. The first guardrail that denies decides. */
  check(texts: readonly string[]): InputCheck;
}

export function createInputGuard(guardrails: readonly CompiledGuardrail[]): InputGuard {
  return {
    check(texts) {
      const notes: Finding[] = [];
      for (const guardrail of guardrails) {
        const verdict = guardrail.checkInput(texts);
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

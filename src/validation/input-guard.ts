/* Checks a turn's input with all guardrails before it is used. */

import { type Finding } from '../domain/response.js';
import { type CompiledGuardrail, type Verdict } from './guardrail.js';

export interface InputCheck {
  /**
   * Set when the input is refused: the turn ends with this message and the provider is never
   * called.
   */
  readonly deny?: { readonly finding: Finding; readonly message: string };
  /** All other findings. */
  readonly notes: readonly Finding[];
}

export interface InputGuard {
  /** Whether some guardrail needs time for its verdict. */
  readonly takesTime: boolean;
  /**
   * Checks with the guardrails that decide at once. All of them judge, so that every finding is
   * recorded. The message is that of the first that denies.
   * @param texts the texts to judge, one a message
   * @param measured those of them whose length counts
   */
  check(texts: readonly string[], measured?: readonly string[]): InputCheck;
  /** Checks with the guardrails that need time. */
  checkLater(texts: readonly string[], signal: AbortSignal): Promise<InputCheck>;
}

export function createInputGuard(guardrails: readonly CompiledGuardrail[]): InputGuard {
  return {
    takesTime: guardrails.some(({ checkInputLater }) => checkInputLater !== undefined),
    check(texts, measured = texts) {
      const verdicts = guardrails.map((guardrail): Judged => [
        guardrail,
        guardrail.checkInput?.(guardrail.measures === true ? measured : texts),
      ]);
      return resultOf(verdicts);
    },
    async checkLater(texts, signal) {
      const verdicts = guardrails.map(async (guardrail): Promise<Judged> => [
        guardrail,
        await guardrail.checkInputLater?.(texts, signal),
      ]);
      return resultOf(await Promise.all(verdicts));
    },
  };
}

type Judged = readonly [CompiledGuardrail, Verdict | undefined];

function resultOf(verdicts: readonly Judged[]): InputCheck {
  let deny: InputCheck['deny'];
  const notes: Finding[] = [];
  for (const [{ type: guardrail }, verdict] of verdicts) {
    if (verdict === undefined || verdict.decision === 'allow') continue;
    const { decision, reason, position } = verdict;
    const finding: Finding = { guardrail, stage: 'input', decision, reason, position };
    if (verdict.decision === 'deny' && deny === undefined) deny = { finding, message: verdict.message };
    else notes.push(finding);
  }
  return deny === undefined ? { notes } : { deny, notes };
}

/*
 * The guardrails of a turn: those of the configuration and those of its prompt, compiled once per
 * prompt.
 */

import { type Item, messageText, outputText, thoughtText } from '../domain/item.js';
import { type Finding } from '../domain/response.js';
import { type RenderedPrompt } from '../templating/prompt.js';
import { compileGuardrails } from '../validation/compile-guardrails.js';
import { type CompiledGuardrail, type GuardrailSpec } from '../validation/guardrail.js';
import { createInputGuard, type InputCheck, type InputGuard } from '../validation/input-guard.js';
import { createOutputGuard, restoringGuard } from '../validation/output-guard.js';
import { MaskedInput } from '../validation/masked-input.js';
import { type Judges } from '../validation/kind-context.js';
import { GuardedOutput, type OutputOptions } from './guarded-output.js';
import { withoutRepeats } from './mask-items.js';

type GuardedPrompt = Pick<RenderedPrompt, 'guardrails'>;

export interface GuardOptions {
  /** Servers that give verdicts. */
  readonly judges?: Judges;
  /**
   * Code units of an answer that may be held while a guardrail waits for a verdict. Beyond it the
   * provider is not read.
   */
  readonly holdMax?: number;
}

/** The items of a history that are withheld from the provider, and why. */
export interface JudgedHistory {
  readonly withheld: ReadonlySet<Item>;
  readonly findings: readonly Finding[];
  /** What guardrails noted on items that passed and that the model has not answered. */
  readonly notes: readonly Finding[];
  /**
   * Index of the first item that was not judged. It and the items after it decide about the turn.
   */
  readonly end: number;
}

export class TurnGuards {
  readonly #own: readonly GuardrailSpec[];
  readonly #judges: Judges | undefined;
  readonly #holdMax: number;
  /**
   * By the prompt's list of guardrails. A reloaded pack has a new list, so it is compiled again.
   */
  readonly #compiled = new WeakMap<readonly object[], readonly CompiledGuardrail[]>();
  /**
   * By the input, because the opening of a turn and its answer both need the verdict on its
   * history.
   */
  readonly #judged = new WeakMap<readonly Item[], { readonly by: object; readonly history: JudgedHistory }>();

  /** By the input as well, because the opening and the answer both need the verdict on it. */
  readonly #checked = new WeakMap<readonly Item[], { readonly by: object; readonly check: InputCheck }>();

  /**
   * @param own the guardrails of the configuration, applied to every turn
   * @throws GuardrailMistake
   */
  constructor(own: readonly GuardrailSpec[], { judges, holdMax = Infinity }: GuardOptions = {}) {
    this.#own = own;
    this.#judges = judges;
    this.#holdMax = holdMax;
    this.#of(null);
  }

  /**
   * Compiles the guardrails of a prompt before its first turn, so that a mistake is reported at
   * start.
   * @throws GuardrailMistake
   */
  compileFor(prompt: GuardedPrompt): void {
    this.#of(prompt);
  }

  /**
   * Checks the new items of the input, without those that `judgeHistory` withholds.
   * @returns a promise only if a guardrail needs time for its verdict and no other has refused
   */
  checkInput(
    prompt: RenderedPrompt | null,
    input: readonly Item[],
    signal: AbortSignal,
  ): InputCheck | Promise<InputCheck> {
    const guard = createInputGuard(this.#of(prompt));
    const { withheld } = this.judgeHistory(prompt, input);
    const check = this.#checkNew(prompt, input);
    if (!guard.takesTime || check.deny !== undefined) return check;
    const newItems = input.slice(firstNew(input)).filter((item) => !withheld.has(item));
    return guard
      .checkLater(newItems.flatMap(textsOf), signal)
      .then((later) => ({ ...later, notes: [...check.notes, ...later.notes] }));
  }

  /**
   * Whether the new items of an input pass, and no guardrail needs time for its verdict.
   * `checkInput` gives the same verdict then, with the notes.
   */
  passesAtOnce(prompt: RenderedPrompt | null, input: readonly Item[]): boolean {
    return !createInputGuard(this.#of(prompt)).takesTime && this.#checkNew(prompt, input).deny === undefined;
  }

  /** Checks the new items of the input with the guardrails that need no time. */
  #checkNew(prompt: RenderedPrompt | null, input: readonly Item[]): InputCheck {
    const by = this.#of(prompt);
    const known = this.#checked.get(input);
    if (known?.by === by) return known.check;
    const { notes, end } = this.judgeHistory(prompt, input);
    const newest = input.slice(end);
    const checked = createInputGuard(by).check(newest.flatMap(textsOf), newest.filter(isOfUser).flatMap(textsOf));
    const check = { ...checked, notes: withoutRepeats([...notes, ...checked.notes]) };
    this.#checked.set(input, { by, check });
    return check;
  }

  /**
   * Judges the history that a client carries in its input: each item before the last user message
   * alone. An item that does not pass was refused in an earlier turn, or never passed this gateway.
   * It must not reach the provider, but must not end every later turn of its client either. Some
   * clients keep a refused message and not the refusal, so the model's last message is not the
   * boundary.
   */
  judgeHistory(prompt: RenderedPrompt | null, input: readonly Item[]): JudgedHistory {
    const by = this.#of(prompt);
    const known = this.#judged.get(input);
    if (known?.by === by) return known.history;
    const history = judge(createInputGuard(by), input);
    this.#judged.set(input, { by, history });
    return history;
  }

  /** Returns what must be masked in the input of a turn before a provider receives it. */
  maskFor(prompt: RenderedPrompt | null): MaskedInput {
    return new MaskedInput(this.#of(prompt));
  }

  /**
   * Checks a summary of a context.
   * @param masked the values that were masked in the context
   * @returns the text that passed, or undefined if a guardrail refused it
   */
  async checkSummary(
    prompt: RenderedPrompt | null,
    text: string,
    { masked, signal }: Pick<OutputOptions, 'masked' | 'signal'>,
  ): Promise<string | undefined> {
    const guardrails = this.#of(prompt).filter(({ answerOnly }) => answerOnly !== true);
    const judging = createOutputGuard(guardrails, { context: { signal, known: masked.values } });
    const guard = masked.values.size === 0 ? judging : restoringGuard(judging, masked.restoring(false));
    const begun = guard.push(text);
    if (begun.stop !== undefined) return undefined;
    await guard.conclude?.();
    const ended = guard.end();
    return ended.stop === undefined ? begun.release + ended.release : undefined;
  }

  forOutput(prompt: RenderedPrompt | null, options: Omit<OutputOptions, 'holdMax'>): GuardedOutput {
    const all = this.#of(prompt);
    const guardrails = options.isSummary ? all.filter(({ answerOnly }) => answerOnly !== true) : all;
    return new GuardedOutput(guardrails, { ...options, holdMax: this.#holdMax });
  }

  /**
   * Returns the guardrails of a prompt, compiled at first use.
   * @throws GuardrailMistake
   */
  #of(prompt: GuardedPrompt | null): readonly CompiledGuardrail[] {
    const key = prompt?.guardrails ?? this.#own;
    const known = this.#compiled.get(key);
    if (known !== undefined) return known;
    const compiled = compileGuardrails([...this.#own, ...(prompt?.guardrails ?? [])], this.#judges);
    this.#compiled.set(key, compiled);
    return compiled;
  }
}

/**
 * Judges the items that are history, each once and by its text. The length counts only for user
 * messages that the model has not answered.
 */
function judge(guard: InputGuard, input: readonly Item[]): JudgedHistory {
  const withheld = new Set<Item>();
  const findings: Finding[] = [];
  const notes: Finding[] = [];
  const unanswered = firstNew(input);
  const end = Math.max(unanswered, input.findLastIndex(isOfUser));
  for (const [at, item] of input.slice(0, end).entries()) {
    const texts = textsOf(item);
    const check = guard.check(texts, at >= unanswered && isOfUser(item) ? texts : []);
    if (check.deny !== undefined) {
      withheld.add(item);
      findings.push({ ...check.deny.finding, decision: 'note' });
    } else if (at >= unanswered) notes.push(...check.notes);
  }
  return { withheld, findings, notes, end };
}

/**
 * Returns the index of the first new item of an input: the one after the last item that the model
 * wrote.
 */
function firstNew(input: readonly Item[]): number {
  const last = input.findLastIndex((item) =>
    item.type === 'message' ? item.role === 'assistant' : item.type === 'function_call' || item.type === 'compaction',
  );
  return last + 1;
}

function isOfUser(item: Item): boolean {
  return item.type === 'message' && item.role === 'user';
}

/** Returns the text that guardrails read. They do not read images and files. */
function textsOf(item: Item): string[] {
  if (item.type === 'message') return [messageText(item, true)];
  // A guard has checked the summary before it was encrypted.
  if (item.type === 'compaction') return [];
  if (item.type === 'reasoning') return [thoughtText(item)];
  return item.type === 'function_call_output' ? [outputText(item)] : [item.arguments];
}

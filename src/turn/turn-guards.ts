/*
 * The guardrails of a turn: those of the configuration and those of its prompt, compiled once per
 * prompt. Released text is written. A stop ends the turn with the message of the guardrail.
 */

import { type Item, messageText, outputText, thoughtText } from '../domain/item.js';
import { type Finding } from '../domain/response.js';
import { type RenderedPrompt } from '../templating/prompt.js';
import { compileGuardrails } from '../validation/compile-guardrails.js';
import { type CompiledGuardrail, type GuardrailSpec } from '../validation/guardrail.js';
import { createInputGuard, type InputCheck, type InputGuard } from '../validation/input-guard.js';
import { createOutputGuard, type GuardStep, type OutputGuard, type WrapGuard } from '../validation/output-guard.js';
import { type TurnOutcome } from './outcome.js';
import { type Turn } from './turn.js';

type GuardedPrompt = Pick<RenderedPrompt, 'guardrails'>;
type TextKind = 'text' | 'refusal' | 'reasoning' | 'reasoning_summary';

/** What of a history is kept from the provider, and why. */
export interface JudgedHistory {
  readonly withheld: ReadonlySet<Item>;
  readonly findings: readonly Finding[];
}

export class TurnGuards {
  readonly #own: readonly GuardrailSpec[];
  /** By the list of the prompt, so that a reloaded pack has its own. */
  readonly #compiled = new WeakMap<readonly object[], readonly CompiledGuardrail[]>();

  /** @param own the guardrails of the configuration, applied to every turn */
  constructor(own: readonly GuardrailSpec[]) {
    this.#own = own;
  }

  /**
   * Compiles the guardrails of a prompt before its first turn, so that a mistake is reported at
   * start.
   * @throws GuardrailMistake
   */
  compileFor(prompt: GuardedPrompt): void {
    this.#of(prompt);
  }

  /** Checks the new items of the input, without those that `judgeHistory` withholds. */
  checkInput(prompt: RenderedPrompt | null, input: readonly Item[]): InputCheck {
    const guard = createInputGuard(this.#of(prompt));
    const from = firstNew(input);
    const { withheld } = judge(guard, input, from);
    const newItems = input.slice(from).filter((item) => !withheld.has(item));
    return guard.check(newItems.flatMap(textsOf), newItems.filter(isOfUser).flatMap(textsOf));
  }

  /**
   * Judges the history that a client carries in its input: each item before the last user message
   * alone. An item that does not pass was refused before, or never went through here. It must not
   * reach the provider, and must not end every later turn of its client either. Some clients keep a
   * refused message and not the refusal, so the model's last message is not the boundary.
   */
  judgeHistory(prompt: RenderedPrompt | null, input: readonly Item[]): JudgedHistory {
    return judge(createInputGuard(this.#of(prompt)), input, 0);
  }

  /** @param isSummary whether the output is a summary, whose length is not limited */
  forOutput(prompt: RenderedPrompt | null, wrap?: WrapGuard, isSummary = false): GuardedOutput {
    const guardrails = this.#of(prompt);
    return new GuardedOutput(isSummary ? withoutLength(guardrails) : guardrails, wrap);
  }

  /**
   * Returns the guardrails of a prompt, compiled at first use.
   * @throws GuardrailMistake
   */
  #of(prompt: GuardedPrompt | null): readonly CompiledGuardrail[] {
    const key = prompt?.guardrails ?? this.#own;
    const known = this.#compiled.get(key);
    if (known !== undefined) return known;
    const compiled = compileGuardrails([...this.#own, ...(prompt?.guardrails ?? [])]);
    this.#compiled.set(key, compiled);
    return compiled;
  }
}

/**
 * The output guard of one turn. The text of a message is checked as a whole. A refusal or the next
 * message gets a new guard.
 */
export class GuardedOutput {
  readonly #guardrails: readonly CompiledGuardrail[];
  readonly #wrap: WrapGuard;
  #kind: TextKind = 'text';
  #guard: OutputGuard | undefined;

  constructor(guardrails: readonly CompiledGuardrail[], wrap: WrapGuard = (guard) => guard) {
    this.#guardrails = guardrails;
    this.#wrap = wrap;
  }

  /**
   * Takes the provider's next text and writes what the guardrails release.
   * @returns an outcome if a guardrail ended the turn
   */
  push(turn: Turn, kind: TextKind, text: string): TurnOutcome | undefined {
    if (kind !== this.#kind) {
      const stopped = this.flush(turn);
      if (stopped !== undefined) return stopped;
      this.#kind = kind;
    }
    this.#guard ??= this.#wrap(createOutputGuard(this.#guardrailsFor(kind)));
    return this.#write(turn, this.#guard.push(text));
  }

  /**
   * Returns the guardrails for this kind of text. The maximum length of an answer does not apply to
   * reasoning.
   */
  #guardrailsFor(kind: TextKind): readonly CompiledGuardrail[] {
    return isReasoning(kind) ? withoutLength(this.#guardrails) : this.#guardrails;
  }

  /** Ends the text of this kind, and decides on the text that was held back. */
  flush(turn: Turn): TurnOutcome | undefined {
    const guard = this.#guard;
    this.#guard = undefined;
    return guard === undefined ? undefined : this.#write(turn, guard.end());
  }

  #write(turn: Turn, step: GuardStep): TurnOutcome | undefined {
    const { writer, facts } = turn;
    if (step.release !== '') {
      facts.firstDeltaMs ??= turn.time.now() - turn.startedAt;
      if (this.#kind === 'text') writer.text(step.release);
      else if (this.#kind === 'reasoning') writer.reasoning(step.release);
      else if (this.#kind === 'reasoning_summary') writer.reasoningSummary(step.release);
      else writer.refusal(step.release);
    }
    if (step.notes !== undefined) facts.findings.push(...step.notes);
    if (step.stop === undefined) return undefined;
    facts.findings.push(step.stop.finding);
    this.#guard = undefined;
    writer.refusal(step.stop.message);
    return { end: 'incomplete', reason: 'content_filter' };
  }
}

function withoutLength(guardrails: readonly CompiledGuardrail[]): readonly CompiledGuardrail[] {
  return guardrails.filter(({ type }) => type !== 'max_length');
}

function isReasoning(kind: TextKind): boolean {
  return kind === 'reasoning' || kind === 'reasoning_summary';
}

/**
 * Judges the items from `from` on that are history, by their text. The length counts only for
 * user messages that the model has not answered.
 */
function judge(guard: InputGuard, input: readonly Item[], from: number): JudgedHistory {
  const withheld = new Set<Item>();
  const findings: Finding[] = [];
  const unanswered = firstNew(input);
  const end = Math.max(unanswered, input.findLastIndex(isOfUser));
  for (const [at, item] of input.entries()) {
    if (at < from || at >= end) continue;
    const texts = textsOf(item);
    const { deny } = guard.check(texts, at >= unanswered && isOfUser(item) ? texts : []);
    if (deny === undefined) continue;
    withheld.add(item);
    findings.push({ ...deny.finding, decision: 'note' });
  }
  return { withheld, findings };
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

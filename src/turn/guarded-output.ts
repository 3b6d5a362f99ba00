/*
 * The output guards of one turn. The text of a message is checked as a whole, and so are the
 * arguments of each function call. A refusal or the next message gets a new guard. Released text is
 * written. A stop ends the turn with the message of the guardrail.
 */

import { type ProviderPart } from '../provider/provider.js';
import { type CompiledGuardrail } from '../validation/guardrail.js';
import { type MaskedInput } from '../validation/masked-input.js';
import {
  createOutputGuard,
  type GuardStep,
  type OutputGuard,
  restoringGuard,
  type WrapGuard,
} from '../validation/output-guard.js';
import { type TurnOutcome } from './outcome.js';
import { type Turn } from './turn.js';
import { type AwaitedGuard, type VerdictPart, withVerdicts } from './awaited-verdicts.js';

export type TextKind = 'text' | 'refusal' | 'reasoning' | 'reasoning_summary';
type Kind = TextKind | 'arguments';

export interface OutputOptions {
  readonly wrap?: WrapGuard | undefined;
  /** Whether the answer is a summary of a conversation, whose form no guardrail judges. */
  readonly isSummary?: boolean | undefined;
  /** Whether the request asks for a JSON answer. */
  readonly json: boolean;
  readonly signal: AbortSignal;
  readonly masked: MaskedInput;
  /** Code units that may be held while a verdict is outstanding. */
  readonly holdMax: number;
}

export class GuardedOutput implements AwaitedGuard {
  readonly #guardrails: readonly CompiledGuardrail[];
  readonly #options: OutputOptions;
  #kind: TextKind = 'text';
  #guard: OutputGuard | undefined;
  /** Guards of the arguments of each call, by the provider's index. */
  readonly #arguments = new Map<number, OutputGuard>();

  constructor(guardrails: readonly CompiledGuardrail[], options: OutputOptions) {
    this.#guardrails = guardrails;
    this.#options = options;
  }

  /** Whether a guardrail judges the output. */
  get judges(): boolean {
    return this.#guardrails.some(({ startOutput, judgeWhole }) => (startOutput ?? judgeWhole) !== undefined);
  }

  /** Adds the verdicts that guardrails wait for to a provider's stream. */
  beside(parts: AsyncIterable<ProviderPart>): AsyncIterable<ProviderPart | VerdictPart> {
    const takesTime = this.#guardrails.some(({ slow }) => slow === true);
    return takesTime ? withVerdicts(parts, this, this.#options.holdMax) : parts;
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
    this.#guard ??= this.#open(kind);
    return this.#write(turn, this.#kind, this.#guard.push(text));
  }

  /** Takes more arguments of a function call, like `push`. */
  pushArguments(turn: Turn, index: number, text: string): TurnOutcome | undefined {
    // A call that was not written reaches no viewer, and so do its arguments.
    if (!turn.writer.hasCall(index)) return undefined;
    let guard = this.#arguments.get(index);
    if (guard === undefined) this.#arguments.set(index, (guard = this.#open('arguments')));
    return this.#write(turn, 'arguments', guard.push(text), index);
  }

  /** Ends the text of this kind, and decides on the text that was held back. */
  flush(turn: Turn): TurnOutcome | undefined {
    const guard = this.#guard;
    this.#guard = undefined;
    return guard === undefined ? undefined : this.#write(turn, this.#kind, guard.end());
  }

  /** Ends all texts, and decides on what was held back. */
  finish(turn: Turn): TurnOutcome | undefined {
    let stopped = this.flush(turn);
    for (const [index, guard] of this.#arguments) stopped ??= this.#write(turn, 'arguments', guard.end(), index);
    this.#arguments.clear();
    return stopped;
  }

  /** Writes what verdicts have released meanwhile. */
  settle(turn: Turn): TurnOutcome | undefined {
    let stopped = this.#guard === undefined ? undefined : this.#write(turn, this.#kind, this.#guard.push(''));
    for (const [index, guard] of this.#arguments) stopped ??= this.#write(turn, 'arguments', guard.push(''), index);
    return stopped;
  }

  get held(): number {
    let held = this.#guard?.held ?? 0;
    for (const guard of this.#arguments.values()) held += guard.held ?? 0;
    return held;
  }

  waiting(): Promise<unknown> | undefined {
    const outstanding = this.#all().flatMap((guard) => guard.waiting?.() ?? []);
    return outstanding.length === 0 ? undefined : Promise.race(outstanding);
  }

  /** Waits for the verdicts on each text that this part ends. @returns whether it ends one */
  async conclude(part: ProviderPart): Promise<boolean> {
    const ended = part.type === 'finish' ? this.#all() : this.#endsText(part) && this.#guard ? [this.#guard] : [];
    await Promise.all(ended.map(async (guard) => guard.conclude?.()));
    return ended.length > 0;
  }

  #endsText({ type }: ProviderPart): boolean {
    if (type === 'function_call') return true;
    return (type === 'text' || type === 'refusal' || isThought(type)) && type !== this.#kind;
  }

  #all(): OutputGuard[] {
    return [...(this.#guard === undefined ? [] : [this.#guard]), ...this.#arguments.values()];
  }

  #open(kind: Kind): OutputGuard {
    const { wrap, json, signal, masked } = this.#options;
    const decoded = kind === 'arguments' || (kind === 'text' && json);
    const known = masked.values;
    const judging = createOutputGuard(this.#guardrailsFor(kind), { json: decoded, context: { signal, known } });
    const guard = known.size === 0 ? judging : restoringGuard(judging, masked.restoring(decoded));
    return wrap === undefined ? guard : wrap(guard);
  }

  /**
   * Returns the guardrails for this kind of text. Reasoning, arguments and refusals are not checked
   * for length or for what an answer must contain.
   */
  #guardrailsFor(kind: Kind): readonly CompiledGuardrail[] {
    if (kind === 'text') return this.#guardrails;
    if (kind === 'refusal') return this.#guardrails.filter(({ judgeWhole }) => judgeWhole === undefined);
    return this.#guardrails.filter(({ answerOnly }) => answerOnly !== true);
  }

  #write(turn: Turn, kind: Kind, step: GuardStep, index = 0): TurnOutcome | undefined {
    const { writer, facts } = turn;
    if (step.release !== '') {
      facts.firstDeltaMs ??= turn.time.now() - turn.startedAt;
      if (kind === 'text') writer.text(step.release);
      else if (kind === 'arguments') writer.functionArguments(index, step.release);
      else if (kind === 'reasoning') writer.reasoning(step.release);
      else if (kind === 'reasoning_summary') writer.reasoningSummary(step.release);
      else writer.refusal(step.release);
    }
    if (step.notes !== undefined) facts.findings.push(...step.notes);
    if (step.stop === undefined) return undefined;
    facts.findings.push(step.stop.finding);
    this.#guard = undefined;
    this.#arguments.clear();
    writer.refusal(step.stop.message);
    return { end: 'incomplete', reason: 'content_filter' };
  }
}

function isThought(type: string): boolean {
  return type === 'reasoning' || type === 'reasoning_summary';
}

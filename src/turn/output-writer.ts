/*
 * Writes the text of an answer as events: opens items and parts at their first text, and closes
 * them in order.
 */

import { type ItemIds, newId } from '../domain/ids.js';
import { contentPart } from '../domain/open-item.js';
import {
  BY_MODEL,
  type CompactionItem,
  type FunctionCallItem,
  type ItemStatus,
  type ReplacedItems,
  type TokenLogprob,
} from '../domain/item.js';
import { AnswerLogprobs } from './answer-logprobs.js';
import { type Journal } from './journal.js';

const NO_LOGPROBS: readonly never[] = [];

type TextKind = 'output_text' | 'refusal';

interface OpenText {
  readonly kind: TextKind;
  readonly item_id: string;
  readonly output_index: number;
  readonly content_index: number;
}

interface OpenReasoning {
  readonly item_id: string;
  readonly output_index: number;
  readonly content_index: number;
}

interface OpenSummary {
  readonly item_id: string;
  readonly output_index: number;
  readonly summary_index: number;
}

export class OutputWriter {
  readonly #journal: Journal;
  readonly #newItemId: ItemIds;
  #items = 0;
  #text: OpenText | undefined;
  #reasoning: OpenReasoning | undefined;
  #summary: OpenSummary | undefined;
  #logprobs: AnswerLogprobs | undefined;
  /** Items by the provider's index of the call. */
  readonly #calls = new Map<number, { readonly item_id: string; readonly output_index: number }>();

  constructor(journal: Journal, newItemId: ItemIds = newId) {
    this.#journal = journal;
    this.#newItemId = newItemId;
  }

  /** Whether any output was written. */
  get wrote(): boolean {
    return this.#items > 0;
  }

  text(delta: string): void {
    if (delta === '') return;
    const { item_id, output_index, content_index } = this.#openText('output_text');
    this.#journal.delta({
      type: 'response.output_text.delta',
      item_id,
      output_index,
      content_index,
      delta,
      logprobs: NO_LOGPROBS,
    });
  }

  /**
   * Takes log probabilities of text. They are written with the end of the text if they match it.
   */
  logprobs(tokens: readonly TokenLogprob[]): void {
    (this.#logprobs ??= new AnswerLogprobs()).add(tokens);
  }

  refusal(delta: string): void {
    if (delta === '') return;
    const { kind: _, ...at } = this.#openText('refusal');
    this.#journal.delta({ type: 'response.refusal.delta', ...at, delta });
  }

  /** Writes reasoning, as an item before the message that follows it. */
  reasoning(delta: string): void {
    if (delta === '') return;
    const at = (this.#reasoning ??= this.#openReasoning());
    this.#journal.delta({ type: 'response.reasoning_text.delta', ...at, delta });
  }

  /** Writes the provider's summary of the reasoning, in a separate item. */
  reasoningSummary(delta: string): void {
    if (delta === '') return;
    const at = (this.#summary ??= this.#openSummary());
    this.#journal.delta({ type: 'response.reasoning_summary_text.delta', ...at, delta });
  }

  functionCall(index: number, callId: string, name: string, extra?: FunctionCallItem['extra_content']): void {
    this.#closeReasoning();
    this.#closeMessage();
    const item_id = this.#newItemId('fc');
    const output_index = this.#items++;
    this.#calls.set(index, { item_id, output_index });
    this.#journal.emit({
      type: 'response.output_item.added',
      output_index,
      item: {
        type: 'function_call',
        id: item_id,
        call_id: callId,
        name,
        arguments: '',
        status: 'in_progress',
        ...(extra === undefined ? {} : { extra_content: extra }),
        sluice: BY_MODEL,
      },
    });
  }

  /** Whether the call with this index of the provider was written. */
  hasCall(index: number): boolean {
    return this.#calls.has(index);
  }

  /** Writes a summary of older items. @returns its item */
  compaction(encryptedContent: string, replaces: ReplacedItems): CompactionItem {
    const output_index = this.#items++;
    const item: CompactionItem = {
      type: 'compaction',
      id: this.#newItemId('cmp'),
      encrypted_content: encryptedContent,
      status: 'completed',
      sluice: { ...BY_MODEL, replaces },
    };
    this.#journal.emit({ type: 'response.output_item.added', output_index, item });
    this.#journal.emit({ type: 'response.output_item.done', output_index, item });
    return item;
  }

  functionArguments(index: number, delta: string): void {
    const at = this.#calls.get(index);
    if (at === undefined || delta === '') return;
    this.#journal.delta({ type: 'response.function_call_arguments.delta', ...at, delta });
  }

  /** Closes all open items with the given status. */
  close(status: ItemStatus): void {
    this.#endText();
    for (const event of this.#journal.accumulator.closing(status)) this.#journal.emit(event);
    this.#text = undefined;
    this.#reasoning = undefined;
    this.#summary = undefined;
  }

  #openText(kind: TextKind): OpenText {
    const current = this.#text;
    if (current?.kind === kind) return current;
    this.#closeReasoning();
    const opened = current === undefined ? this.#openMessage(kind) : this.#nextPart(current, kind);
    this.#text = opened;
    const { kind: _, ...at } = opened;
    this.#journal.emit({ type: 'response.content_part.added', ...at, part: contentPart(kind, '') });
    return opened;
  }

  #openMessage(kind: TextKind): OpenText {
    const item_id = this.#newItemId('msg');
    const output_index = this.#items++;
    this.#journal.emit({
      type: 'response.output_item.added',
      output_index,
      item: {
        type: 'message',
        id: item_id,
        role: 'assistant',
        status: 'in_progress',
        content: [],
        sluice: BY_MODEL,
      },
    });
    return { kind, item_id, output_index, content_index: 0 };
  }

  #nextPart(current: OpenText, kind: TextKind): OpenText {
    this.#endText();
    for (const event of this.#journal.accumulator.closingParts(current.output_index)) this.#journal.emit(event);
    return { ...current, kind, content_index: current.content_index + 1 };
  }

  #openReasoning(): OpenReasoning {
    const at = { ...this.#openReasoningItem(), content_index: 0 };
    this.#journal.emit({ type: 'response.content_part.added', ...at, part: contentPart('reasoning_text', '') });
    return at;
  }

  #openSummary(): OpenSummary {
    const at = { ...this.#openReasoningItem(), summary_index: 0 };
    const part = { type: 'summary_text', text: '' } as const;
    this.#journal.emit({ type: 'response.reasoning_summary_part.added', ...at, part });
    return at;
  }

  /**
   * Opens a reasoning item. It holds reasoning or a summary, never both, because guardrails judge
   * each as a whole.
   */
  #openReasoningItem(): { readonly item_id: string; readonly output_index: number } {
    this.#closeReasoning();
    this.#closeMessage();
    const item_id = this.#newItemId('rs');
    const output_index = this.#items++;
    this.#journal.emit({
      type: 'response.output_item.added',
      output_index,
      item: { type: 'reasoning', id: item_id, summary: [], content: [], status: 'in_progress', sluice: BY_MODEL },
    });
    return { item_id, output_index };
  }

  #closeReasoning(): void {
    const open = this.#reasoning ?? this.#summary;
    if (open === undefined) return;
    const closing = this.#journal.accumulator.closingItem(open.output_index, 'completed');
    for (const event of closing) this.#journal.emit(event);
    this.#reasoning = undefined;
    this.#summary = undefined;
  }

  /** Ends the open text, with its log probabilities. */
  #endText(): void {
    const logprobs = this.#logprobs;
    if (logprobs === undefined || this.#text?.kind !== 'output_text' || this.#journal.lost !== undefined) return;
    const { output_index, content_index } = this.#text;
    this.#journal.accumulator.setLogprobs(output_index, content_index, (text) => logprobs.take(text));
  }

  /**
   * Closes the open message. Function calls stay open: the arguments of several calls may
   * alternate.
   */
  #closeMessage(): void {
    if (this.#text === undefined) return;
    this.#endText();
    const closing = this.#journal.accumulator.closingItem(this.#text.output_index, 'completed');
    for (const event of closing) this.#journal.emit(event);
    this.#text = undefined;
  }
}

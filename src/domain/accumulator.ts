/*
 * Folds events into their response. The journal of a running turn, snapshots for late viewers and
 * the sweep of lost turns share this fold, so the output in a terminal event always equals the
 * joined deltas.
 */

import { BY_MODEL } from './author.js';
import { type ResponseEvent } from './event.js';
import { type ContentPart, type FunctionCallItem, type ItemStatus, type OutputItem, type OutputPart } from './item.js';
import { type TokenLogprob } from './logprobs.js';
import { closeSummary, openSummary, type OpenSummary, summaryPart } from './reasoning-summary.js';
import { outputTextOf, type ResponseObject } from './response.js';

interface OpenPart {
  type: 'output_text' | 'refusal' | 'reasoning_text';
  text: string;
  open: boolean;
  logprobs?: readonly TokenLogprob[];
  /** The original part, if its kind is unknown to this version. */
  foreign?: OutputPart;
}
type Slot =
  | { kind: 'reasoning'; id: string; status: ItemStatus; open: boolean; parts: OpenPart[]; summary: OpenSummary[] }
  | { kind: 'message'; id: string; status: ItemStatus; open: boolean; parts: OpenPart[] }
  | {
      kind: 'function_call';
      id: string;
      callId: string;
      name: string;
      args: string;
      status: ItemStatus;
      open: boolean;
      extra: FunctionCallItem['extra_content'];
    }
  /** The original item, if its kind is unknown to this version. */
  | { kind: 'foreign'; id: string; status: ItemStatus; open: boolean; item: OutputItem };

/** An item with parts. */
type PartsSlot = Extract<Slot, { parts: OpenPart[] }>;

export class ResponseAccumulator {
  #base: ResponseObject;
  readonly #slots: Slot[] = [];

  constructor(base: ResponseObject) {
    this.#base = base;
  }

  /** Applies the next event. Events must come in order, each once. */
  apply(event: ResponseEvent): void {
    switch (event.type) {
      case 'response.output_text.delta':
      case 'response.refusal.delta':
      case 'response.reasoning_text.delta':
        this.#part(event.output_index, event.content_index).text += event.delta;
        return;
      case 'response.reasoning_summary_part.added':
        this.#summaries(event.output_index)[event.summary_index] = openSummary(event.part);
        return;
      case 'response.reasoning_summary_text.delta':
        this.#summary(event.output_index, event.summary_index).text += event.delta;
        return;
      case 'response.reasoning_summary_part.done':
        this.#summary(event.output_index, event.summary_index).open = false;
        return;
      case 'response.function_call_arguments.delta':
        this.#call(event.output_index).args += event.delta;
        return;
      case 'response.created':
      case 'response.queued':
      case 'response.in_progress':
      case 'response.completed':
      case 'response.incomplete':
      case 'response.failed':
        this.#base = event.response;
        return;
      case 'response.output_item.added':
        this.#slots[event.output_index] = slotOf(event.item);
        return;
      case 'response.content_part.added':
        if (this.#slot(event.output_index).kind === 'foreign') return;
        this.#message(event.output_index).parts[event.content_index] = openPart(event.part);
        return;
      case 'response.content_part.done': {
        if (this.#slot(event.output_index).kind === 'foreign') return;
        const part = this.#part(event.output_index, event.content_index);
        part.open = false;
        if (event.part.type === 'output_text') part.logprobs = event.part.logprobs;
        if (part.foreign !== undefined) part.foreign = event.part;
        return;
      }
      case 'response.output_item.done': {
        const slot = this.#slot(event.output_index);
        slot.open = false;
        slot.status = event.item.status;
        if (slot.kind === 'foreign') slot.item = event.item;
        return;
      }
      case 'response.output_text.done':
      case 'response.refusal.done':
      case 'response.reasoning_text.done':
      case 'response.reasoning_summary_text.done':
      case 'response.function_call_arguments.done':
        return;
    }
  }

  /** Sets the log probabilities of a text. @param of returns those of its whole text */
  setLogprobs(outputIndex: number, contentIndex: number, of: (text: string) => readonly TokenLogprob[]): void {
    const part = this.#part(outputIndex, contentIndex);
    part.logprobs = of(part.text);
  }

  /** Returns the partial output, including open items. */
  output(): OutputItem[] {
    return this.#slots.map(itemOf);
  }

  /** Returns the partial response, for GET requests during the turn and for snapshots. */
  response(): ResponseObject {
    const output = this.output();
    return { ...this.#base, output, output_text: outputTextOf(output) };
  }

  /**
   * Returns the events that close the open parts of a message but not the message. Applies nothing.
   */
  closingParts(outputIndex: number): ResponseEvent[] {
    const slot = this.#message(outputIndex);
    return closeParts(slot, outputIndex);
  }

  /**
   * Returns the events that close an item and its open parts, or none if it is closed. Applies
   * nothing.
   */
  closingItem(outputIndex: number, status: ItemStatus): ResponseEvent[] {
    const slot = this.#slot(outputIndex);
    return slot.open ? closeSlot(slot, outputIndex, status) : [];
  }

  /**
   * Returns the events that close all open items with `status`, in OpenAI's order. Applies nothing.
   */
  closing(status: ItemStatus): ResponseEvent[] {
    return this.#slots.flatMap((slot, outputIndex) => (slot.open ? closeSlot(slot, outputIndex, status) : []));
  }

  #slot(index: number): Slot {
    const slot = this.#slots[index];
    if (slot === undefined) throw new Error(`unable to fold an event; output item ${index} was never added`);
    return slot;
  }

  #message(index: number): PartsSlot {
    const slot = this.#slot(index);
    if (slot.kind !== 'message' && slot.kind !== 'reasoning')
      throw new Error(`unable to fold an event; output item ${index} is no message`);
    return slot;
  }

  #call(index: number): Extract<Slot, { kind: 'function_call' }> {
    const slot = this.#slot(index);
    if (slot.kind !== 'function_call')
      throw new Error(`unable to fold an event; output item ${index} is no function call`);
    return slot;
  }

  #summaries(index: number): OpenSummary[] {
    const slot = this.#slot(index);
    if (slot.kind === 'reasoning') return slot.summary;
    throw new Error(`unable to fold an event; output item ${index} is no reasoning`);
  }

  #summary(outputIndex: number, summaryIndex: number): OpenSummary {
    const part = this.#summaries(outputIndex)[summaryIndex];
    if (part === undefined) throw new Error(`unable to fold an event; summary part ${summaryIndex} was never added`);
    return part;
  }

  #part(outputIndex: number, contentIndex: number): OpenPart {
    const part = this.#message(outputIndex).parts[contentIndex];
    if (part === undefined) throw new Error(`unable to fold an event; content part ${contentIndex} was never added`);
    return part;
  }
}

/** Builds a content part in wire shape. */
export function contentPart(type: OpenPart['type'], text: string, logprobs: readonly TokenLogprob[] = []): OutputPart {
  if (type === 'reasoning_text') return { type, text };
  return type === 'refusal' ? { type, refusal: text } : { type, text, annotations: [], logprobs };
}

function openPart(part: OutputPart): OpenPart {
  if (part.type === 'refusal') return { type: 'refusal', text: part.refusal, open: true };
  if (part.type === 'reasoning_text') return { type: part.type, text: part.text, open: true };
  if (part.type === 'output_text') return { type: part.type, text: part.text, open: true, logprobs: part.logprobs };
  return { type: 'output_text', text: '', open: true, foreign: part };
}

function partOf({ type, text, logprobs, foreign }: OpenPart): OutputPart {
  return foreign ?? contentPart(type, text, logprobs);
}

/** Returns the part of a message. The cast is safe: an open message has no other parts. */
function messagePart(part: OpenPart): ContentPart {
  return partOf(part) as ContentPart;
}

function slotOf(item: OutputItem): Slot {
  const open = item.status === 'in_progress';
  switch (item.type) {
    case 'message':
      return { kind: 'message', id: item.id, status: item.status, open, parts: item.content.map(openPart) };
    case 'function_call': {
      const { id, call_id: callId, name, arguments: args, status, extra_content: extra } = item;
      return { kind: 'function_call', id, callId, name, args, status, open, extra };
    }
    case 'reasoning': {
      const { id, status, content, summary } = item;
      return { kind: 'reasoning', id, status, open, parts: content.map(openPart), summary: summary.map(openSummary) };
    }
    case 'compaction':
      return foreignSlot(item);
  }
  // A log of a newer minor version may hold items that this version does not know.
  return foreignSlot(item);
}

function foreignSlot(item: OutputItem): Slot {
  const { id, status } = item;
  return { kind: 'foreign', id, status, open: status === 'in_progress', item };
}

function itemOf(slot: Slot): OutputItem {
  const { id, status } = slot;
  switch (slot.kind) {
    case 'message':
      return {
        type: 'message',
        id,
        role: 'assistant',
        status,
        content: slot.parts.map(messagePart),
        sluice: BY_MODEL,
      };
    case 'function_call':
      return {
        type: 'function_call',
        id,
        call_id: slot.callId,
        name: slot.name,
        arguments: slot.args,
        status,
        ...(slot.extra === undefined ? {} : { extra_content: slot.extra }),
        sluice: BY_MODEL,
      };
    case 'reasoning': {
      const content = slot.parts.map(({ text }) => ({ type: 'reasoning_text', text }) as const);
      return { type: 'reasoning', id, summary: slot.summary.map(summaryPart), content, status, sluice: BY_MODEL };
    }
    case 'foreign':
      return { ...slot.item, status };
  }
}

function closeSlot(slot: Slot, outputIndex: number, status: ItemStatus): ResponseEvent[] {
  const item = itemOf({ ...slot, status });
  const at = { item_id: slot.id, output_index: outputIndex };
  const itemDone: ResponseEvent = { type: 'response.output_item.done', output_index: outputIndex, item };
  if (slot.kind === 'function_call') {
    return [{ type: 'response.function_call_arguments.done', ...at, name: slot.name, arguments: slot.args }, itemDone];
  }
  if (slot.kind === 'foreign') return [itemDone];
  const summary = slot.kind === 'reasoning' ? closeSummary(slot.summary, at) : [];
  return [...summary, ...closeParts(slot, outputIndex), itemDone];
}

function closeParts(slot: PartsSlot, outputIndex: number): ResponseEvent[] {
  return slot.parts.flatMap((part, contentIndex) =>
    part.open ? closePart(part, { item_id: slot.id, output_index: outputIndex, content_index: contentIndex }) : [],
  );
}

function closePart(
  part: OpenPart,
  at: { readonly item_id: string; readonly output_index: number; readonly content_index: number },
): ResponseEvent[] {
  const partDone: ResponseEvent = { type: 'response.content_part.done', ...at, part: partOf(part) };
  if (part.foreign !== undefined) return [partDone];
  if (part.type === 'reasoning_text')
    return [{ type: 'response.reasoning_text.done', ...at, text: part.text }, partDone];
  return [
    part.type === 'refusal'
      ? { type: 'response.refusal.done', ...at, refusal: part.text }
      : { type: 'response.output_text.done', ...at, text: part.text, logprobs: part.logprobs ?? [] },
    partDone,
  ];
}

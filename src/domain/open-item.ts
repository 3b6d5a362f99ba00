/*
 * An output item while it is folded: opens an item and its parts, writes them in wire shape, and
 * closes them.
 */

import { type ResponseEvent } from './event.js';
import {
  BY_MODEL,
  type ContentPart,
  type FunctionCallItem,
  type ItemStatus,
  type OutputItem,
  type OutputPart,
  type SummaryTextPart,
  type TokenLogprob,
} from './item.js';

/** A part of a reasoning item's summary. */
export interface OpenSummary {
  text: string;
  open: boolean;
}

/** A part of the content of an item. */
export interface OpenPart {
  type: 'output_text' | 'refusal' | 'reasoning_text';
  text: string;
  open: boolean;
  logprobs?: readonly TokenLogprob[];
  /** The original part, if its kind is unknown to this version. */
  foreign?: OutputPart;
}

/** An item at its place in the output. */
export type Slot =
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
export type PartsSlot = Extract<Slot, { parts: OpenPart[] }>;

/** Builds a content part in wire shape. */
export function contentPart(type: OpenPart['type'], text: string, logprobs: readonly TokenLogprob[] = []): OutputPart {
  if (type === 'reasoning_text') return { type, text };
  return type === 'refusal' ? { type, refusal: text } : { type, text, annotations: [], logprobs };
}

/** Starts the fold of a part. */
export function openPart(part: OutputPart): OpenPart {
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

/** Starts the fold of an item. */
export function slotOf(item: OutputItem): Slot {
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

/** Returns an item in wire shape, as far as it is folded. */
export function itemOf(slot: Slot): OutputItem {
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

/** Returns the events that close an item and its open parts. */
export function closeSlot(slot: Slot, outputIndex: number, status: ItemStatus): ResponseEvent[] {
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

/** Returns the events that close the open parts of an item, but not the item. */
export function closeParts(slot: PartsSlot, outputIndex: number): ResponseEvent[] {
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

/** Starts the fold of a part of a summary. */
export function openSummary({ text }: SummaryTextPart): OpenSummary {
  return { text, open: true };
}

function summaryPart({ text }: OpenSummary): SummaryTextPart {
  return { type: 'summary_text', text };
}

/** Returns the events that close the open parts of one item's summary. */
function closeSummary(
  summary: readonly OpenSummary[],
  item: { readonly item_id: string; readonly output_index: number },
): ResponseEvent[] {
  return summary.flatMap((part, summary_index): ResponseEvent[] => {
    if (!part.open) return [];
    const at = { ...item, summary_index };
    return [
      { type: 'response.reasoning_summary_text.done', ...at, text: part.text },
      { type: 'response.reasoning_summary_part.done', ...at, part: summaryPart(part) },
    ];
  });
}

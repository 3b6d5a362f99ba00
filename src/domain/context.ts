/*
 * Selects the items of a history and a new input that are sent to a provider. Pairs function calls
 * with their outputs: providers refuse a call without its output, an output without its call, and
 * items between the two.
 */

import { isKnownItem, type Item, type ReplacedItems, type StoredItem } from './item.js';

/** The call that each output answers, by positions in one list. */
interface Pairs {
  readonly outputOf: ReadonlyMap<number, number>;
  readonly callOf: ReadonlyMap<number, number>;
}

/** A function call output that answers no open call. */
export interface StrayOutput {
  /** Its position in the input. */
  readonly index: number;
  /** Whether its call has an output already; false: no call before it has its `call_id`. */
  readonly repeated: boolean;
}

/**
 * Pairs each output with the newest open call before it that has its `call_id`. Some providers use
 * a call id again in each turn.
 */
function pairsOf(items: readonly Item[]): Pairs {
  const open = new Map<string, number[]>();
  const outputOf = new Map<number, number>();
  const callOf = new Map<number, number>();
  items.forEach((item, index) => {
    if (item.type === 'function_call') {
      const waiting = open.get(item.call_id);
      if (waiting === undefined) open.set(item.call_id, [index]);
      else waiting.push(index);
    } else if (item.type === 'function_call_output') {
      const call = open.get(item.call_id)?.pop();
      if (call === undefined) return;
      outputOf.set(call, index);
      callOf.set(index, call);
    }
  });
  return { outputOf, callOf };
}

/** Returns the items of a history that may be sent to a provider. */
function sendable(history: readonly StoredItem[]): Item[] {
  return history.filter(({ withheld, item }) => !withheld && isKnownItem(item)).map(({ item }) => item);
}

/** A history as the provider receives it: a summary, and the items that are newer. */
export interface SummarizedHistory {
  readonly summary?: StoredItem;
  readonly newer: readonly StoredItem[];
}

/** Leaves out what the newest summary of a history replaces. */
export function behindSummary(history: readonly StoredItem[]): SummarizedHistory {
  const at = history.findLastIndex((stored) => !stored.withheld && replacedBy(stored) !== undefined);
  const summary = history[at];
  if (summary === undefined) return { newer: history };
  // Not found if it was removed or trimmed: then everything older was trimmed, too.
  const last = history.findIndex(({ item }) => item.id === replacedBy(summary)?.last_id);
  const newer = history.filter((stored, index) => index > last && replacedBy(stored) === undefined);
  return { summary, newer };
}

function replacedBy({ item }: StoredItem): ReplacedItems | undefined {
  return item.type === 'compaction' ? item.sluice?.replaces : undefined;
}

/** Like `selected`, with the newest summary in place of what it replaces. */
export function contextFor(history: readonly StoredItem[], input: readonly StoredItem[], max: number): Item[] {
  const { summary, newer } = behindSummary(history);
  return summary === undefined ? selected(newer, input, max) : [summary.item, ...selected(newer, input, max - 1)];
}

/**
 * Returns the items to send: all of `input`, preceded by the newest items of `history`, up to `max`
 * items. Withheld items are never sent. A call is never separated from its output: a call whose
 * output is in `input` is always included, and any other call or output without its partner is left
 * out. Each output directly follows the calls of its turn.
 */
function selected(history: readonly StoredItem[], input: readonly StoredItem[], max: number): Item[] {
  const past = sendable(history);
  const all = [...past, ...sendable(input)];
  const { outputOf, callOf } = pairsOf(all);
  const firstRecent = past.length - Math.min(past.length, Math.max(0, max - (all.length - past.length)));
  const isTaken = (index: number): boolean => index >= firstRecent || (outputOf.get(index) ?? -1) >= past.length;
  const taken: number[] = [];
  all.forEach((item, index) => {
    if (!isTaken(index)) return;
    const partner = item.type === 'function_call' ? outputOf.get(index) : callOf.get(index);
    const needsPartner = item.type === 'function_call' || item.type === 'function_call_output';
    if (!needsPartner || (partner !== undefined && isTaken(partner))) taken.push(index);
  });
  const sent = arranged(all, taken, outputOf);
  const hidden = new Map(
    [...history, ...input].flatMap(({ item, reasoning }) => (reasoning ? [[item, reasoning] as const] : [])),
  );
  return hidden.size === 0 ? sent : sent.flatMap((item) => withHidden(item, hidden.get(item)));
}

/** Returns an item with the hidden reasoning that led to it. */
function withHidden(item: Item, reasoning: string | undefined): Item[] {
  if (reasoning === undefined) return [item];
  const content = [{ type: 'reasoning_text', text: reasoning }] as const;
  return [{ type: 'reasoning', id: `rs_${item.id}`, summary: [], content, status: 'completed' }, item];
}

/**
 * Moves the calls of an answer behind its texts, and their outputs directly behind the calls. An
 * answer is a run of items of the model. It ends at the next message with another role, and at an
 * output.
 */
function arranged(all: readonly Item[], taken: readonly number[], outputOf: ReadonlyMap<number, number>): Item[] {
  const sent: Item[] = [];
  let calls: number[] = [];
  const push = (index: number | undefined): void => {
    const item = index === undefined ? undefined : all[index];
    if (item !== undefined) sent.push(item);
  };
  const endAnswer = (): void => {
    calls.forEach(push);
    for (const call of calls) push(outputOf.get(call));
    calls = [];
  };
  for (const index of taken) {
    const item = all[index];
    if (item?.type === 'function_call') calls.push(index);
    else {
      if (item?.type === 'function_call_output' || (item?.type === 'message' && item.role !== 'assistant')) endAnswer();
      if (item?.type !== 'function_call_output') push(index);
    }
  }
  endAnswer();
  return sent;
}

/**
 * Returns the first function call output of `input` that answers no open call before it, or
 * undefined if all do.
 */
export function strayOutput(history: readonly StoredItem[], input: readonly Item[]): StrayOutput | undefined {
  if (!input.some(isOutput)) return undefined;
  const past = sendable(history);
  const all = [...past, ...input];
  const { callOf } = pairsOf(all);
  const index = input.findIndex((item, i) => isOutput(item) && !callOf.has(past.length + i));
  const item = input[index];
  if (item?.type !== 'function_call_output') return undefined;
  const before = all.slice(0, past.length + index);
  return { index, repeated: before.some((one) => one.type === 'function_call' && one.call_id === item.call_id) };
}

function isOutput(item: Item): boolean {
  return item.type === 'function_call_output';
}

/*
 * Estimates the usage of a lost replica's turn from its log. The provider's own count was lost with
 * the replica.
 */

import { isKnownItem, messageText, thoughtText } from '../domain/item.js';
import { type OutputItem } from '../domain/item.js';
import { type ResponseObject, type Usage } from '../domain/response.js';
import { type LogHead } from '../state/event-log.js';
import { type Accounting } from './accounting.js';

export interface LostUsage {
  readonly usage: Usage;
  readonly costUsd: number | null;
}

/**
 * Estimates the usage and cost of a lost turn, from the head of its log and the response as the log
 * describes it.
 */
export async function estimateLostUsage(
  { input, reserved }: LogHead,
  { model, instructions, tools, output }: ResponseObject,
  accounting: Accounting,
): Promise<LostUsage> {
  const items = input.map(({ item }) => item).filter(isKnownItem);
  const sent = { system: instructions ?? '', items, tools };
  const estimated = await accounting.estimate(sent, output.map(textOf).join('\n'));
  // The log holds neither the rendered prompt nor earlier responses. The reservation includes them.
  const inputTokens = Math.max(estimated.input_tokens, reserved?.inputTokens ?? 0);
  const usage = { ...estimated, input_tokens: inputTokens, total_tokens: inputTokens + estimated.output_tokens };
  return { usage, costUsd: accounting.cost(model, usage, null) };
}

function textOf(item: OutputItem): string {
  if (item.type === 'compaction') return '';
  if (item.type === 'reasoning') return thoughtText(item);
  return item.type === 'message' ? messageText(item, true) : item.arguments;
}

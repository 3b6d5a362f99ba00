/*
 * Estimates what a turn will use, from what admission knows. Rough, and cheap enough for every
 * request. The limits count the real usage at the end.
 */

import { isKnownItem } from '../domain/item.js';
import { type Usage, ZERO_USAGE } from '../domain/response.js';
import { itemsMediaTokens } from '../provider/media-tokens.js';
import { type TurnPlan } from './admission.js';
import { textBytes } from './item-size.js';
import { toolsOf } from './prompt-tools.js';

export type PlannedUse = Pick<
  TurnPlan,
  'caller' | 'system' | 'request' | 'prompt' | 'source' | 'model' | 'maxOutputTokens'
>;

export interface ExpectedUse {
  /** Tokens for the token limit: an answer of usual length. */
  readonly tokens: number;
  /**
   * Usage for the cost budget: the longest answer that the request allows, so that concurrent turns
   * cannot exceed the budget together.
   */
  readonly usage: Usage;
}

/** Expected output of a request without a maximum. */
const EXPECTED_OUTPUT_TOKENS = 1_000;
const BYTES_PER_TOKEN = 4;
const TOKENS_PER_MESSAGE = 4;

/** Estimates a turn. The items of its conversation are not read yet and count nothing. */
export function expectedUse(plan: PlannedUse): ExpectedUse {
  const { system, request, source, maxOutputTokens } = plan;
  const tools = toolsOf(plan);
  const past = source.kind === 'previous' ? source.context.map((stored) => stored.item) : [];
  let bytes = Buffer.byteLength(system) + (tools.length === 0 ? 0 : JSON.stringify(tools).length);
  const items = [...past.filter(isKnownItem), ...request.input];
  for (const item of items) bytes += textBytes(item);
  const messages = past.length + request.input.length + 1;
  const input = Math.ceil(bytes / BYTES_PER_TOKEN) + messages * TOKENS_PER_MESSAGE + itemsMediaTokens(items);
  const longest = maxOutputTokens ?? EXPECTED_OUTPUT_TOKENS;
  return {
    tokens: input + Math.min(longest, EXPECTED_OUTPUT_TOKENS),
    usage: { ...ZERO_USAGE, input_tokens: input, output_tokens: longest, total_tokens: input + longest },
  };
}

/* What a turn is expected to use, from what is known at admission: rough, and cheap enough for every request. Settled when it has ended. */

import { isKnownItem } from '../domain/item.js';
import { type Usage, ZERO_USAGE } from '../domain/response.js';
import { type TurnPlan } from './admission.js';
import { itemBytes } from './input-size.js';

export type PlannedUse = Pick<TurnPlan, 'caller' | 'system' | 'request' | 'source' | 'model' | 'maxOutputTokens'>;

export interface ExpectedUse {
  /** For the limit on tokens: an answer of usual length. */
  readonly tokens: number;
  /** For the budget of money: the longest answer that the request allows, so that turns in flight cannot overrun the budget together. */
  readonly usage: Usage;
}

/** Where nothing says how long an answer will be. */
const EXPECTED_OUTPUT_TOKENS = 1_000;
const BYTES_PER_TOKEN = 4;
const TOKENS_PER_MESSAGE = 4;

/** The items of a conversation are not known yet, and count nothing here. */
export function expectedUse({ system, request, source, maxOutputTokens }: PlannedUse): ExpectedUse {
  const past = source.kind === 'previous' ? source.context.map((stored) => stored.item) : [];
  let bytes = Buffer.byteLength(system) + (request.tools === undefined ? 0 : JSON.stringify(request.tools).length);
  for (const item of [...past.filter(isKnownItem), ...request.input]) bytes += itemBytes(item);
  const messages = past.length + request.input.length + 1;
  const input = Math.ceil(bytes / BYTES_PER_TOKEN) + messages * TOKENS_PER_MESSAGE;
  const longest = maxOutputTokens ?? EXPECTED_OUTPUT_TOKENS;
  return {
    tokens: input + Math.min(longest, EXPECTED_OUTPUT_TOKENS),
    usage: { ...ZERO_USAGE, input_tokens: input, output_tokens: longest, total_tokens: input + longest },
  };
}

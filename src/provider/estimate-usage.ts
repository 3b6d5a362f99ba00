/*
 * Estimates the usage of a call if the provider did not report it: after a cancel, a cut, or from
 * servers that count nothing. Callers always mark it as estimated.
 */

import { itemText } from '../domain/item.js';
import { type Usage } from '../domain/response.js';
import { itemsMediaTokens } from './media-tokens.js';
import { type ProviderRequest } from './provider.js';
import { TokenCounter } from './token-counter.js';

/** Tokens that chat formats add around each message. */
const TOKENS_PER_MESSAGE = 4;
/**
 * Text beyond this length is counted by the ratio of the text before it, which is enough to detect
 * the language.
 */
const SAMPLE_CHARS = 16_384;
/** Characters per token when the counter does not answer: the usual rule of thumb for English. */
const CHARS_PER_TOKEN = 4;

const counter = new TokenCounter();

/** The fields of a request that are counted. */
export type CountedRequest = Pick<ProviderRequest, 'system' | 'items' | 'tools'>;

/**
 * Estimates the usage of a call that was sent `request` and has produced `producedText` (text,
 * refusals and arguments).
 * @param withinMs how long the counter may take, in milliseconds; after it the estimate follows
 * from the lengths. Without it the estimate waits for the counter.
 */
export async function estimateUsage(
  request: CountedRequest,
  producedText: string,
  reasonedText = '',
  withinMs?: number,
): Promise<Usage> {
  const texts = [request.system, ...request.items.map(itemText)].filter((text) => text !== '');
  if (request.tools.length > 0) texts.push(JSON.stringify(request.tools));
  const [promptTokens, outputTokens] = await estimateTokens([texts.join('\n'), reasonedText + producedText], withinMs);
  const length = reasonedText.length + producedText.length;
  const reasoningTokens = length === 0 ? 0 : Math.round((outputTokens * reasonedText.length) / length);
  const inputTokens = promptTokens + texts.length * TOKENS_PER_MESSAGE + itemsMediaTokens(request.items);
  return {
    input_tokens: inputTokens,
    input_tokens_details: { cached_tokens: 0, cache_write_tokens: 0 },
    output_tokens: outputTokens,
    output_tokens_details: { reasoning_tokens: reasoningTokens },
    total_tokens: inputTokens + outputTokens,
  };
}

async function estimateTokens(
  texts: readonly [string, string],
  withinMs: number | undefined,
): Promise<[number, number]> {
  const samples = texts.map((text) => text.slice(0, SAMPLE_CHARS));
  const byLength = (): readonly number[] => samples.map((sample) => sample.length / CHARS_PER_TOKEN);
  const counted = counter.count(samples).catch(byLength);
  const counts = await (withinMs === undefined ? counted : soonest(counted, withinMs, byLength));
  const whole = (i: 0 | 1): number =>
    Math.round(((counts[i] ?? 0) * texts[i].length) / Math.max(1, Math.min(texts[i].length, SAMPLE_CHARS)));
  return [whole(0), whole(1)];
}

/** Returns the value of `promise`, or of `late` if that takes longer than `ms` milliseconds. */
async function soonest<T>(promise: Promise<T>, ms: number, late: () => T): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const timeUp = new Promise<T>((resolve) => {
    timer = setTimeout(() => resolve(late()), ms);
  });
  try {
    return await Promise.race([promise, timeUp]);
  } finally {
    clearTimeout(timer);
  }
}

/*
 * What a call may have cost where the provider did not say: after a cancel, a cut, or from servers that count nothing.
 * Always marked as estimated by whoever uses it.
 */

import { type Item, messageText } from '../domain/item.js';
import { type Usage } from '../domain/response.js';
import { type ProviderRequest } from './provider.js';

/** What chat formats add around each message. */
const TOKENS_PER_MESSAGE = 4;
/** The tokenizer's time grows with the square of a run without spaces: it only ever sees pieces of this size. */
const PIECE_CHARS = 128;
/** Beyond this much text the rest is counted by the same ratio, so that nobody can hold up the event loop. */
const SAMPLE_CHARS = 16_384;

type CountTokens = (text: string) => number;
let loading: Promise<CountTokens> | undefined;

/** The usage of a call that was sent `request` and gave `producedText` (text, refusals and arguments) so far. */
export async function estimateUsage(request: ProviderRequest, producedText: string): Promise<Usage> {
  const count = await tokenizer();
  const texts = [request.system, ...request.items.map(textOf)].filter((text) => text !== '');
  if (request.tools.length > 0) texts.push(JSON.stringify(request.tools));
  const inputTokens = estimateTokens(texts.join('\n'), count) + texts.length * TOKENS_PER_MESSAGE;
  const outputTokens = estimateTokens(producedText, count);
  return {
    input_tokens: inputTokens,
    input_tokens_details: { cached_tokens: 0, cache_write_tokens: 0 },
    output_tokens: outputTokens,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: inputTokens + outputTokens,
  };
}

function estimateTokens(text: string, count: CountTokens): number {
  let tokens = 0;
  let at = 0;
  const until = Math.min(text.length, SAMPLE_CHARS);
  while (at < until) {
    let end = Math.min(at + PIECE_CHARS, text.length);
    // Between words where there are words, so that none is counted twice.
    const space = end < text.length ? text.lastIndexOf(' ', end) : -1;
    if (space > at) end = space;
    tokens += count(text.slice(at, end));
    at = end;
  }
  return at < text.length ? Math.round((tokens * text.length) / at) : tokens;
}

/** Loaded when first needed: its tables take 150 ms and some 40 MB. */
function tokenizer(): Promise<CountTokens> {
  loading ??= import('gpt-tokenizer').then(({ countTokens }) => {
    const plain = { disallowedSpecial: new Set<string>() };
    return (text) => countTokens(text, plain);
  });
  return loading;
}

function textOf(item: Item): string {
  if (item.type === 'message') return messageText(item, true);
  return item.type === 'function_call' ? `${item.name} ${item.arguments}` : item.output;
}

/*
 * Computes what a call cost, from the prices of @pydantic/genai-prices or of the operator. Unknown
 * prices give null, never an estimate.
 */

import { calcPrice, findProvider } from '@pydantic/genai-prices';
import { type Usage } from '../domain/response.js';

/**
 * Returns the price list for a base URL (absent: OpenAI's own), such as `openai` or `groq`, or null
 * if there is none. A self-hosted server has no price, whatever its models are called.
 */
export function priceListOf(baseUrl: string | undefined): string | null {
  if (baseUrl === undefined) return 'openai';
  return findProvider({ providerApiUrl: baseUrl })?.id ?? null;
}

/**
 * Computes the cost of a call in US dollars.
 * @param priceList from `priceListOf`
 * @returns null if `priceList` is null or lacks the model, or if the usage is inconsistent
 */
export function costUsd(model: string, usage: Usage, priceList: string | null): number | null {
  if (priceList === null) return null;
  const { cached_tokens: cacheRead, cache_write_tokens: cacheWrite } = usage.input_tokens_details;
  const counted = {
    input_tokens: usage.input_tokens,
    output_tokens: usage.output_tokens,
    ...(cacheRead > 0 ? { cache_read_tokens: cacheRead } : {}),
    ...(cacheWrite > 0 ? { cache_write_tokens: cacheWrite } : {}),
  };
  try {
    const price = calcPrice(counted, model, { providerId: priceList })?.total_price;
    return price === undefined || !Number.isFinite(price) ? null : price;
  } catch {
    // The library throws for counts that contradict each other, which servers do send.
    return null;
  }
}

/** Prices of an operator in US dollars per million tokens. */
export interface OwnPrices {
  readonly input: number;
  /** Null: same as `input`. */
  readonly cached_input: number | null;
  readonly cache_write: number | null;
  readonly output: number;
  /** Null: same as `output`. */
  readonly reasoning: number | null;
}

const TOKENS_PER_PRICE = 1_000_000;

/**
 * Computes US dollars by an operator's own prices. Details that exceed the total count as the
 * total.
 */
export function listedPrice(usage: Usage, prices: OwnPrices): number {
  const { input_tokens: input, output_tokens: output } = usage;
  const cached = Math.min(usage.input_tokens_details.cached_tokens, input);
  const written = Math.min(usage.input_tokens_details.cache_write_tokens, input - cached);
  const reasoning = Math.min(usage.output_tokens_details.reasoning_tokens, output);
  const sum =
    (input - cached - written) * prices.input +
    cached * (prices.cached_input ?? prices.input) +
    written * (prices.cache_write ?? prices.input) +
    (output - reasoning) * prices.output +
    reasoning * (prices.reasoning ?? prices.output);
  return sum / TOKENS_PER_PRICE;
}

/* What a call cost, by the maintained prices of @pydantic/genai-prices. Never a guess. */

import { calcPrice, findProvider } from '@pydantic/genai-prices';
import { type Usage } from '../domain/response.js';

/**
 * Whose price list counts for a base URL (absent: OpenAI's own): `openai`, `groq`, …; null where nobody has one. A server of one's own
 * has no price, whatever its models are called.
 */
export function priceListOf(baseUrl: string | undefined): string | null {
  if (baseUrl === undefined) return 'openai';
  return findProvider({ providerApiUrl: baseUrl })?.id ?? null;
}

/** US dollars, or null where `priceList` (as `priceListOf` gives it) is null or does not know the model, or the usage makes no sense. */
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
    // It throws for counts that contradict each other, which servers do send.
    return null;
  }
}

/* Reads a server's token counts, under any of the usual names. */

import { type Usage } from '../../domain/response.js';

/** @returns undefined unless both directions are counted */
export function readUsage(raw: unknown): Usage | undefined {
  if (!isFields(raw)) return undefined;
  const input = count(raw['prompt_tokens'] ?? raw['input_tokens']);
  const written = count(raw['completion_tokens'] ?? raw['output_tokens']);
  if (input === undefined || written === undefined) return undefined;
  const inputDetails = raw['prompt_tokens_details'] ?? raw['input_tokens_details'];
  const outputDetails = raw['completion_tokens_details'] ?? raw['output_tokens_details'];
  const reasoning = count(field(outputDetails, 'reasoning_tokens') ?? raw['reasoning_tokens']) ?? 0;
  const total = count(raw['total_tokens']) ?? 0;
  // xAI and Gemini count reasoning only in the total.
  const output = Math.max(written, total - input);
  return {
    input_tokens: input,
    input_tokens_details: {
      cached_tokens: count(field(inputDetails, 'cached_tokens') ?? raw['prompt_cache_hit_tokens']) ?? 0,
      cache_write_tokens: count(field(inputDetails, 'cache_write_tokens')) ?? 0,
    },
    output_tokens: output,
    output_tokens_details: { reasoning_tokens: reasoning },
    total_tokens: input + output,
  };
}

function count(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : undefined;
}

function field(value: unknown, name: string): unknown {
  return isFields(value) ? value[name] : undefined;
}

function isFields(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

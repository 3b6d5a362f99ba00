import { describe, expect, it } from '@jest/globals';
import { type Usage } from '../../../src/domain/response.js';
import { costUsd, priceListOf } from '../../../src/provider/cost.js';

const usage = (input: number, output: number, cached = 0): Usage => ({
  input_tokens: input,
  input_tokens_details: { cached_tokens: cached, cache_write_tokens: 0 },
  output_tokens: output,
  output_tokens_details: { reasoning_tokens: 0 },
  total_tokens: input + output,
});

describe('costUsd', () => {
  it('prices known models, with cheaper cached input', () => {
    const full = costUsd('gpt-4o', usage(1_000_000, 0), 'openai') ?? 0;
    expect(full).toBeGreaterThan(0);
    expect(costUsd('gpt-4o', usage(1_000_000, 0, 1_000_000), 'openai')).toBeLessThan(full);
    expect(costUsd('gpt-4o', usage(0, 1_000_000), 'openai')).toBeGreaterThan(full);
    expect(costUsd('gpt-4o', usage(0, 0), 'openai')).toBe(0);
  });

  it('returns null rather than a guess', () => {
    expect(costUsd('gpt-unheard-of', usage(1, 1), 'openai')).toBeNull();
    expect(costUsd('gpt-4o', usage(1, 1), 'unknown')).toBeNull();
    expect(costUsd('gpt-4o', usage(1, 1), null)).toBeNull();
    expect(costUsd('gpt-4o', usage(1, 1, 5), 'openai')).toBeNull();
    expect(costUsd('gpt-4o', usage(-1, 1), 'openai')).toBeNull();
  });

  it('finds the price list of a base URL, and none for a self-hosted server', () => {
    expect(priceListOf(undefined)).toBe('openai');
    expect(priceListOf('https://api.openai.com/v1')).toBe('openai');
    expect(priceListOf('https://api.groq.com/openai/v1')).toBe('groq');
    expect(priceListOf('http://127.0.0.1:8000/v1')).toBeNull();
  });
});

import { describe, expect, it } from '@jest/globals';
import { estimateUsage } from '../../../src/provider/estimate-usage.js';
import { providerRequest } from '../../support/provider-request.js';
import { allowed } from '../../support/machine.js';

describe('estimateUsage', () => {
  it('counts empty output as zero, and the request by its words', async () => {
    const usage = await estimateUsage(providerRequest('one two three', { system: 'four five' }), '');
    expect(usage.output_tokens).toBe(0);
    expect(usage.input_tokens).toBeGreaterThanOrEqual(5);
    expect(usage.input_tokens).toBeLessThan(20);
    expect(usage.total_tokens).toBe(usage.input_tokens);
  });

  it('counts words, special tokens as plain text, and long texts by a sample', async () => {
    expect((await estimateUsage(providerRequest(''), 'Hello world, this is text.')).output_tokens).toBe(7);
    expect((await estimateUsage(providerRequest(''), '<|endoftext|>')).output_tokens).toBeGreaterThan(1);
    const words = 'hello world '.repeat(20_000);
    const { output_tokens: tokens } = await estimateUsage(providerRequest(''), words);
    expect(tokens).toBeGreaterThan(39_000);
    expect(tokens).toBeLessThan(42_000);
  });

  it('estimates by length when the counter takes longer than it may', async () => {
    const text = 'a b c d e f g h ';
    expect((await estimateUsage(providerRequest(''), text)).output_tokens).toBeGreaterThan(7);
    // The counter takes one text after the other, and each of these takes it milliseconds.
    const before = Array.from({ length: 50 }, () => estimateUsage(providerRequest(''), '漢字'.repeat(8_000)));
    expect((await estimateUsage(providerRequest(''), text, '', 1)).output_tokens).toBe(text.length / 4);
    await Promise.all(before);
  });

  it('estimates the usage of a text without spaces fast', async () => {
    await estimateUsage(providerRequest(''), 'warm');
    const startedAt = performance.now();
    const usage = await estimateUsage(providerRequest(''), '漢字'.repeat(500_000));
    // Without pieces, the tokenizer takes seconds for a thirtieth of this.
    expect(performance.now() - startedAt).toBeLessThan(allowed(1000));
    expect(usage.output_tokens).toBeGreaterThan(500_000);
  });
});

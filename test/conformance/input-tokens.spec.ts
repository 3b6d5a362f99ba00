/* Counting the tokens of a request, by the official client: what a turn would send, without one. */

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import OpenAI from 'openai';
import { GatewayHarness } from '../support/gateway-harness.js';
import { PIXEL } from '../support/media.js';

let harness: GatewayHarness;
let client: OpenAI;
beforeAll(async () => {
  harness = await GatewayHarness.start({
    config: {
      provider: { type: 'openai', model: 'fake-model', input: ['text', 'image'] },
      limits: { per_user: { operations_per_minute: 40 } },
    },
  });
  harness.says('word '.repeat(500));
  client = new OpenAI({ baseURL: `${harness.gateway.url}/v1`, apiKey: 'none', maxRetries: 0 });
});
afterAll(() => harness.close());

const count = async (body: OpenAI.Responses.InputTokenCountParams): Promise<number> => {
  const { object, input_tokens: tokens } = await client.responses.inputTokens.count(body);
  expect(object).toBe('response.input_tokens');
  return tokens;
};

describe('input tokens', () => {
  it('counts the input tokens of input, instructions, tools and images [REST-26, MEDIA-7]', async () => {
    const input = 'one two three four five';
    const alone = await count({ input });
    expect(alone).toBeGreaterThanOrEqual(5);
    expect(alone).toBeLessThan(20);
    expect(await count({ input, instructions: 'word '.repeat(100), personality: 'friendly' })).toBeGreaterThan(100);
    const tools = [{ type: 'function', name: 'look_up', parameters: {}, strict: null }] as const;
    expect(await count({ input, tools: [...tools] })).toBeGreaterThan(alone);
    const image = { type: 'input_image', image_url: PIXEL, detail: 'high' } as const;
    const text = { type: 'input_text', text: input } as const;
    expect(await count({ input: [{ role: 'user', content: [text, image] }] })).toBe(alone + 255);
  });

  it('counts the input tokens of the conversation or chain, and sends and stores nothing [REST-26]', async () => {
    const conversation = await harness.conversation();
    const { body } = await harness.post({ conversation, input: 'Hi' });
    const requests = harness.provider.requests.length;
    expect(await count({ conversation, input: 'Hi' })).toBeGreaterThan(500);
    expect(await count({ previous_response_id: String(body['id']), input: 'Hi' })).toBeGreaterThan(500);
    expect(harness.provider.requests).toHaveLength(requests);
    const items = await harness.api(`/v1/conversations/${conversation}/items`);
    expect(items.body['data']).toHaveLength(2);
  });

  it('refuses to count the tokens of a request that would be refused, with the same error [REST-26]', async () => {
    await expect(count({ input: 'Hi', conversation: `conv_${'0'.repeat(32)}` })).rejects.toMatchObject({ status: 404 });
    await expect(count({ input: 'Hi', model: 'unknown' })).rejects.toMatchObject({ code: 'model_not_found' });
    await expect(client.responses.inputTokens.count()).rejects.toMatchObject({ status: 400, param: 'input' });
  });

  it('counts a request for input tokens as an operation [REST-26, LIMIT-7]', async () => {
    const refused = Promise.all(Array.from({ length: 60 }, () => count({ input: 'Hi' })));
    await expect(refused).rejects.toMatchObject({ status: 429, code: 'rate_limit_exceeded' });
  });
});

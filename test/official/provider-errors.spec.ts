/*
 * What the official client makes of a provider's errors, with its own retries on, and of ids that
 * providers give.
 */

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { APIError } from 'openai';
import { deltaChunk, DONE, FakeOpenAiServer, finishChunk, textChunk } from '../support/fake-openai-server.js';
import { startGateway, type TestGateway } from '../support/gateway.js';
import { officialClient } from './official.js';

let provider: FakeOpenAiServer;
let gateway: TestGateway;
beforeEach(async () => {
  provider = await FakeOpenAiServer.start();
  gateway = await startGateway({ config: { provider: { type: 'openai', model: 'm', base_url: provider.baseUrl } } });
});
afterEach(async () => {
  await gateway.close();
  await provider.close();
});

const MESSAGES = [{ role: 'user' as const, content: 'Hi' }];

async function failure(): Promise<APIError> {
  const client = officialClient(gateway.url, { maxRetries: 2 });
  const thrown: unknown = await client.chat.completions
    .create({ model: 'm', messages: MESSAGES })
    .catch((error: unknown) => error);
  if (!(thrown instanceof APIError)) throw new Error('the call did not fail as an API error');
  return thrown;
}

describe('the official client', () => {
  it.each<[string, object, Readonly<Record<string, string>>, number, string]>([
    ['a wait of a day', { error: { code: 'x' } }, { 'retry-after': '86400' }, 429, 'rate_limit_exceeded'],
    ['a used-up quota', { error: { type: 'insufficient_quota' } }, {}, 429, 'rate_limit_exceeded'],
  ])(
    'calls the provider once for a request of the official client after %s [CHAT-3]',
    async (_name, body, headers, status, code) => {
      provider.answerWith({ status: 429, body, headers });
      expect(await failure()).toMatchObject({ status, code });
      expect(provider.requests).toHaveLength(1);
    },
  );

  it('reads that the context is exceeded, and does not send the request again [CHAT-3]', async () => {
    provider.answerWith({ status: 400, body: { message: "This model's maximum context length is 10 tokens" } });
    expect(await failure()).toMatchObject({ status: 400, code: 'context_length_exceeded' });
    expect(provider.requests).toHaveLength(1);
  });

  it('can send back a provider’s id of 75 characters [REQ-18]', async () => {
    const id = `call_${'x'.repeat(70)}`;
    const call = deltaChunk({ tool_calls: [{ index: 0, id, function: { name: 'f', arguments: '{}' } }] });
    provider.answerWith({ steps: [call, finishChunk('tool_calls'), DONE] });
    const client = officialClient(gateway.url);
    const first = await client.responses.create({ input: 'Hi' });
    const [item] = first.output;
    expect(item).toMatchObject({ type: 'function_call', call_id: id });
    provider.answerWith({ steps: [textChunk('Done'), finishChunk(), DONE] });
    const output = { type: 'function_call_output' as const, call_id: id, output: 'ok' };
    const second = await client.responses.create({ input: [output], previous_response_id: first.id });
    expect(second.output_text).toBe('Done');
    expect(provider.requests.at(-1)?.body.messages.at(-1)).toMatchObject({ role: 'tool', tool_call_id: id });
  });

  it('streams a summary of reasoning as summary events [REAS-1]', async () => {
    const details = [{ type: 'reasoning.summary', summary: 'Hm.', index: 0 }];
    provider.answerWith({
      steps: [deltaChunk({ reasoning: 'Hm.', reasoning_details: details }), textChunk('4'), finishChunk(), DONE],
    });
    const stream = officialClient(gateway.url).responses.stream({ input: 'What is 2 + 2?' });
    const seen: string[] = [];
    for await (const event of stream) {
      if (event.type.startsWith('response.reasoning')) seen.push(event.type.replace('response.reasoning_', ''));
    }
    expect(seen).toEqual(['summary_part.added', 'summary_text.delta', 'summary_text.done', 'summary_part.done']);
    const { output } = await stream.finalResponse();
    expect(output[0]).toMatchObject({
      type: 'reasoning',
      summary: [{ type: 'summary_text', text: 'Hm.' }],
      content: [],
    });
  });

  it('streams reasoning as its own events [REAS-1]', async () => {
    provider.answerWith({ steps: [deltaChunk({ reasoning_content: 'Hm.' }), textChunk('4'), finishChunk(), DONE] });
    const types: string[] = [];
    for await (const event of await officialClient(gateway.url).responses.create({ input: 'Hi', stream: true })) {
      if (event.type === 'response.reasoning_text.delta') expect(event.delta).toBe('Hm.');
      types.push(event.type);
    }
    expect(types.indexOf('response.reasoning_text.done')).toBeLessThan(types.indexOf('response.output_text.delta'));
    expect(types).toContain('response.reasoning_text.delta');
  });
});

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '../../../../src/config/load.js';
import { type ProviderSettings } from '../../../../src/config/schema.js';
import { type FunctionCallItem, type Item, type ReasoningItem } from '../../../../src/domain/item.js';
import { ZERO_USAGE } from '../../../../src/domain/response.js';
import { openAiType } from '../../../../src/provider/openai/openai-type.js';
import { PROVIDER_TYPES } from '../../../../src/provider/registry.js';
import { FakeOpenAiServer } from '../../../support/fake-openai-server.js';
import { collect, providerRequest, userMessage } from '../../../support/provider-request.js';

let server: FakeOpenAiServer;
let folder: string;
beforeEach(async () => {
  server = await FakeOpenAiServer.start();
  folder = mkdtempSync(join(tmpdir(), 'sluice-type-'));
});
afterEach(async () => {
  rmSync(folder, { recursive: true });
  await server.close();
});

function settingsOf(keys: object): ProviderSettings {
  const path = join(folder, 'sluice.json');
  writeFileSync(path, JSON.stringify({ provider: { type: 'openai', model: 'm', base_url: server.baseUrl, ...keys } }));
  return loadConfig({ types: PROVIDER_TYPES, path, env: { AZURE: 'the-secret' } }).config.provider;
}

/** The request that the server receives. */
async function sent(keys: object, request = providerRequest('Hi', { model: 'm' })) {
  const context = { name: 'openai', scheduleRead: () => false };
  const { provider, close } = await openAiType.open(settingsOf(keys), context);
  await collect(provider.stream(request, new AbortController().signal));
  await close();
  const last = server.requests.at(-1);
  if (last === undefined) throw new Error('nothing was sent');
  return last;
}

const CALL: FunctionCallItem = {
  type: 'function_call',
  id: 'fc_1',
  call_id: 'call_long_id',
  name: 'f',
  arguments: '',
  status: 'completed',
};
const THOUGHT: ReasoningItem = {
  type: 'reasoning',
  id: 'rs_1',
  summary: [],
  content: [{ type: 'reasoning_text', text: 'I need f.' }],
  status: 'completed',
};
const ROUND: Item[] = [
  userMessage('Hi'),
  THOUGHT,
  CALL,
  { type: 'function_call_output', id: 'fco_1', call_id: 'call_long_id', output: 'ok', status: 'completed' },
];

describe('openAiType', () => {
  it('sends headers, secret headers and the query with every request', async () => {
    const { headers, path } = await sent({
      headers: { 'x-title': 'Sluice' },
      headers_env: { 'api-key': 'AZURE' },
      query: { 'api-version': '2024-10-21' },
    });
    expect(headers).toMatchObject({ 'x-title': 'Sluice', 'api-key': 'the-secret', 'accept-encoding': 'identity' });
    expect(headers.authorization).toBeUndefined();
    expect(path).toBe('/v1/chat/completions?api-version=2024-10-21');
  });

  it('adds body fields, drops fields and omits stream_options', async () => {
    const request = providerRequest('Hi', { model: 'm', temperature: 0.5, maxOutputTokens: 9 });
    const { body } = await sent(
      {
        body: { thinking: { type: 'enabled' } },
        drop: ['temperature'],
        tokens_field: 'max_completion_tokens',
        stream_options: false,
      },
      request,
    );
    expect(body).toMatchObject({ thinking: { type: 'enabled' }, max_completion_tokens: 9 });
    expect(Object.keys(body)).not.toEqual(expect.arrayContaining(['temperature']));
    expect(Object.keys(body)).not.toEqual(expect.arrayContaining(['stream_options']));
  });

  it('lets a model override the settings of its provider', async () => {
    const keys = { body: { a: 1, b: 1 }, models: { other: { body: { b: 2 }, drop: ['a'] } } };
    expect((await sent(keys)).body).toMatchObject({ a: 1, b: 1 });
    const { body } = await sent(keys, providerRequest('Hi', { model: 'other' }));
    expect(body['b']).toBe(2);
    expect(body['a']).toBeUndefined();
  });

  it('sends ids of nine characters, the same for a call and its output, when configured', async () => {
    const { body } = await sent(
      { tool_call_ids: 'nine_characters' },
      providerRequest('', { model: 'm', items: ROUND }),
    );
    const [, call, output] = body.messages;
    // The request of this test.
    const { tool_calls: calls } = call as { tool_calls: { id: string; function: object }[] };
    expect(calls[0]?.id).toMatch(/^[A-Za-z0-9]{9}$/u);
    expect(output?.['tool_call_id']).toBe(calls[0]?.id);
    expect(calls[0]?.function).toEqual({ name: 'f', arguments: '{}' });
  });

  it('sends the reasoning of a tool round back only when configured', async () => {
    const request = providerRequest('', { model: 'm', items: ROUND });
    expect((await sent({ send_reasoning: true }, request)).body.messages[1]).toMatchObject({
      reasoning_content: 'I need f.',
    });
    expect(JSON.stringify((await sent({}, request)).body)).not.toContain('I need f.');
  });

  it("prices a call by the model's own prices, else by the provider's", async () => {
    const price = await openAiType.price(
      settingsOf({
        prices: { input: 1, cached_input: 0.5, output: 10, reasoning: 20 },
        models: { other: { prices: { input: 0, output: 100 } } },
      }),
    );
    const usage = {
      ...ZERO_USAGE,
      input_tokens: 2_000_000,
      input_tokens_details: { cached_tokens: 1_000_000, cache_write_tokens: 0 },
      output_tokens: 1_000_000,
      output_tokens_details: { reasoning_tokens: 500_000 },
    };
    expect(price?.('m', usage)).toBeCloseTo(1 + 0.5 + 5 + 10);
    expect(price?.('other', usage)).toBeCloseTo(100);
  });
});

/*
 * Turns as a program has them with the official client: openai before the gateway and behind it.
 * What reaches the provider is read there.
 */

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import type OpenAI from 'openai';
import { ResponsesToolRunner, runnerFunction } from 'openai/helpers/responses-tool-runner';
import { zodResponsesFunction, zodTextFormat } from 'openai/helpers/zod';
import { toResponseInputItems } from 'openai/lib/responses/ResponseInputItems';
import { z } from 'zod';
import {
  DONE,
  deltaChunk,
  type FakeAnswer,
  FakeOpenAiServer,
  finishChunk,
  textAnswer,
  usageChunk,
} from '../support/fake-openai-server.js';
import { type TestGateway, startGateway } from '../support/gateway.js';
import { collect, deltaText, officialClient } from './official.js';

let provider: FakeOpenAiServer;
let gateway: TestGateway;
let client: OpenAI;
beforeAll(async () => {
  provider = await FakeOpenAiServer.start();
  gateway = await startGateway({
    config: {
      provider: { type: 'openai', model: 'gpt-x', base_url: provider.baseUrl, api_key_env: 'UPSTREAM_KEY' },
      middleware: {
        template: { source: 'support.pack', default: 'support' },
        provider: { retry: { max_attempts: 1 } },
      },
    },
    env: { UPSTREAM_KEY: 'sk-upstream' },
  });
  client = officialClient(gateway.url);
});
afterAll(async () => {
  await gateway.close();
  await provider.close();
});
let from = 0;
beforeEach(() => void (from = provider.requests.length));
afterEach(() => provider.answerWith(textAnswer(['Hello', ' world'])));

/** What the provider was sent in this test: the messages after the system prompt. */
async function messagesOf(n: number): Promise<unknown[]> {
  const { body } = await provider.request(from + n);
  expect(body.messages[0]?.['role']).toBe('system');
  return body.messages.slice(1);
}

const WEATHER = zodResponsesFunction({
  name: 'get_weather',
  description: 'The weather in a city',
  parameters: z.object({ city: z.string() }),
  function: ({ city }) => `It rains in ${city}.`,
});

/** An answer that calls a function, its arguments in pieces, as OpenAI streams it. */
function callAnswer(name: string, args: readonly string[], callId = 'call_1'): FakeAnswer {
  const call = (fields: object): object => ({ tool_calls: [{ index: 0, ...fields }] });
  return {
    steps: [
      deltaChunk({ role: 'assistant', content: null }),
      deltaChunk(call({ id: callId, type: 'function', function: { name, arguments: '' } })),
      ...args.map((piece) => deltaChunk(call({ function: { arguments: piece } }))),
      finishChunk('tool_calls'),
      usageChunk(),
      DONE,
    ],
  };
}

describe('the context of a turn', () => {
  it('continues a chain, which may fork, with previous_response_id', async () => {
    const first = await client.responses.create({ input: 'one' });
    const second = await client.responses.create({ input: 'two', previous_response_id: first.id });
    await client.responses.create({ input: 'other two', previous_response_id: first.id });
    expect(second.previous_response_id).toBe(first.id);
    const start = [
      { role: 'user', content: 'one' },
      { role: 'assistant', content: 'Hello world' },
    ];
    expect(await messagesOf(1)).toEqual([...start, { role: 'user', content: 'two' }]);
    expect(await messagesOf(2)).toEqual([...start, { role: 'user', content: 'other two' }]);
  });

  it('sends the first items and every turn of a conversation as context', async () => {
    const { id } = await client.conversations.create({
      items: [{ type: 'message', role: 'user', content: 'I have a tent.' }],
    });
    await client.responses.create({ input: 'one', conversation: id });
    await client.responses.create({ input: 'two', conversation: { id } });
    expect(await messagesOf(1)).toEqual([
      { role: 'user', content: 'I have a tent.' },
      { role: 'user', content: 'one' },
      { role: 'assistant', content: 'Hello world' },
      { role: 'user', content: 'two' },
    ]);
  });

  it('accepts output that the client sends back as context', async () => {
    const first = await client.responses.create({ input: 'one' });
    // The cast: the client's own types of what it gets and what it takes differ in optional fields.
    const output = first.output as OpenAI.Responses.ResponseInputItem[];
    await client.responses.create({
      input: [{ role: 'user', content: 'one' }, ...output, { role: 'user', content: 'two' }],
    });
    const said = (await collect(client.responses.inputItems.list(first.id))) as OpenAI.Responses.ResponseInputItem[];
    await client.responses.create({ input: toResponseInputItems([...said, ...output]) });
    expect(await messagesOf(1)).toEqual([
      { role: 'user', content: 'one' },
      { role: 'assistant', content: 'Hello world' },
      { role: 'user', content: 'two' },
    ]);
    expect((await messagesOf(2)).length).toBe(2);
  });
});

describe('function tools', () => {
  it.each(['previous_response_id', 'conversation'] as const)(
    'completes a round of function calls and outputs by %s',
    async (by) => {
      const args = ['{"ci', 'ty":"Par', 'is"}'];
      provider.answerWith(callAnswer('get_weather', args));
      const conversation = by === 'conversation' ? (await client.conversations.create()).id : null;
      const first = await client.responses.parse({ input: 'Weather in Paris?', tools: [WEATHER], conversation });
      expect(first.output).toMatchObject([
        {
          type: 'function_call',
          call_id: 'call_1',
          name: 'get_weather',
          arguments: '{"city":"Paris"}',
          parsed_arguments: { city: 'Paris' },
          status: 'completed',
        },
      ]);
      provider.answerWith(textAnswer(['It rains.']));
      const second = await client.responses.create({
        input: [{ type: 'function_call_output', call_id: 'call_1', output: 'rain' }],
        tools: [WEATHER],
        ...(by === 'conversation' ? { conversation } : { previous_response_id: first.id }),
      });
      expect(second.output_text).toBe('It rains.');
      expect(await messagesOf(1)).toEqual([
        { role: 'user', content: 'Weather in Paris?' },
        {
          role: 'assistant',
          content: null,
          tool_calls: [
            { id: 'call_1', type: 'function', function: { name: 'get_weather', arguments: '{"city":"Paris"}' } },
          ],
        },
        { role: 'tool', tool_call_id: 'call_1', content: 'rain' },
      ]);
      const { body } = await provider.request(from);
      expect(body['tools']).toMatchObject([{ type: 'function', function: { name: 'get_weather', strict: true } }]);
    },
  );

  it('streams the arguments of function calls', async () => {
    provider.answerWith(callAnswer('get_weather', ['{"city"', ':"Bern"}']));
    const stream = client.responses.stream({ input: 'Weather?', tools: [WEATHER] });
    const snapshots: string[] = [];
    stream.on('response.function_call_arguments.delta', ({ snapshot }) => snapshots.push(snapshot));
    const final = await stream.finalResponse();
    expect(snapshots.at(-1)).toBe('{"city":"Bern"}');
    expect(final.output[0]).toMatchObject({ type: 'function_call', parsed_arguments: { city: 'Bern' } });
  });

  it('runs function tools with the client’s own runner, streamed or not', async () => {
    // The runner compares prototypes, and Jest's own structuredClone makes objects of another
    // realm.
    const clone = jest
      .spyOn(globalThis, 'structuredClone')
      .mockImplementation((value: unknown) => JSON.parse(JSON.stringify(value)) as never);
    for (const stream of [false, true]) {
      let calls = 0;
      provider.answerWith(() =>
        calls++ === 0 ? callAnswer('get_weather', ['{"city":"Rome"}']) : textAnswer(['Take ', 'a coat.']),
      );
      const runner = new ResponsesToolRunner({ functions: [runnerFunction(WEATHER)] });
      const final = await runner.run(client, { model: 'gpt-x', input: 'Weather in Rome?' }, { stream });
      expect(final.output_text).toBe('Take a coat.');
      expect((await provider.request(provider.requests.length - 1)).body.messages.at(-1)).toEqual({
        role: 'tool',
        tool_call_id: 'call_1',
        content: 'It rains in Rome.',
      });
    }
    clone.mockRestore();
  });
});

describe('structured output', () => {
  const ANSWER = z.object({ city: z.string(), degrees: z.number() });
  const text = { format: zodTextFormat(ANSWER, 'answer') };

  it('requests and parses structured output', async () => {
    provider.answerWith(textAnswer(['{"city":"Ber', 'n","degrees":', '7}']));
    const response = await client.responses.parse({ input: 'Where?', text });
    expect(response.output_parsed).toEqual({ city: 'Bern', degrees: 7 });
    expect((await provider.request(from)).body['response_format']).toMatchObject({
      type: 'json_schema',
      json_schema: { name: 'answer', strict: true, schema: { required: ['city', 'degrees'] } },
    });
  });

  it('parses structured output at the end of a stream', async () => {
    provider.answerWith(textAnswer(['{"city":"Ber', 'n","degrees":', '7}']));
    const final = await client.responses.stream({ input: 'Where?', text }).finalResponse();
    expect(final.output_parsed).toEqual({ city: 'Bern', degrees: 7 });
  });

  it('parses null after a refusal of structured output, with a readable refusal', async () => {
    provider.answerWith({
      steps: [
        deltaChunk({ role: 'assistant', refusal: 'No, ' }),
        deltaChunk({ refusal: 'sorry.' }),
        finishChunk(),
        DONE,
      ],
    });
    const response = await client.responses.parse({ input: 'Where?', text });
    expect(response.output_parsed).toBeNull();
    expect(response.output).toMatchObject([{ content: [{ type: 'refusal', refusal: 'No, sorry.' }] }]);
  });
});

describe('a request', () => {
  it('reaches the provider with its rendered prompt', async () => {
    const response = await client.responses.create({
      input: 'Hi {{company_name}}',
      prompt: { id: 'support', variables: { company_name: 'Northwind', tone: { type: 'input_text', text: 'formal' } } },
      instructions: 'Answer in one word.',
      temperature: 0.5,
      top_p: 0.9,
      max_output_tokens: 99,
      reasoning: { effort: 'low' },
      parallel_tool_calls: false,
      tools: [WEATHER],
      tool_choice: { type: 'function', name: 'get_weather' },
      metadata: { a: 'b' },
      user: 'u1',
    });
    const { body, headers } = await provider.request(from);
    expect(headers.authorization).toBe('Bearer sk-upstream');
    expect(body).toMatchObject({
      model: 'gpt-x',
      temperature: 0.5,
      top_p: 0.9,
      max_tokens: 99,
      reasoning_effort: 'low',
      parallel_tool_calls: false,
      tool_choice: { type: 'function', function: { name: 'get_weather' } },
    });
    expect(body.messages[0]?.['content']).toContain('assistant of Northwind');
    expect(body.messages[0]?.['content']).toMatch(/Answer in one word\.$/);
    expect(body.messages[1]).toEqual({ role: 'user', content: 'Hi {{company_name}}' });
    expect(response).toMatchObject({
      instructions: 'Answer in one word.',
      temperature: 0.5,
      top_p: 0.9,
      max_output_tokens: 99,
      parallel_tool_calls: false,
      tool_choice: { type: 'function', name: 'get_weather' },
      metadata: { a: 'b' },
      prompt: { id: 'support' },
      tools: [expect.objectContaining({ name: 'get_weather' })],
      usage: { input_tokens: 12, output_tokens: 34, total_tokens: 46, input_tokens_details: { cached_tokens: 5 } },
    });
  });

  it('accepts every field without effect', async () => {
    const response = await client.responses.create({
      model: 'gpt-x',
      input: 'x',
      include: ['reasoning.encrypted_content'],
      truncation: 'disabled',
      service_tier: 'auto',
      prompt_cache_key: 'k',
      stream_options: null,
      text: { format: { type: 'text' }, verbosity: 'medium' },
      top_logprobs: 0,
      store: true,
      background: false,
    });
    expect(response.status).toBe('completed');
  });
});

describe('the text of a provider', () => {
  it.each([
    [
      '429',
      { status: 429, body: { error: { message: 'slow down', code: 'rate_limit_exceeded' } } },
      'rate_limit_exceeded',
    ],
    ['401', { status: 401, body: { error: { message: 'bad key' } } }, 'provider_refused'],
    ['500', { status: 500 }, 'server_error'],
    ['an end without its marker', { steps: [deltaChunk({ content: 'Hel' })] }, 'provider_stream_interrupted'],
    ['a cut connection', { steps: [deltaChunk({ content: 'Hel' }), { cut: true }] }, 'provider_stream_interrupted'],
  ] satisfies [string, FakeAnswer, string][])(
    'becomes a failed response if the provider sends %s',
    async (_name, answer, code) => {
      provider.answerWith(answer);
      const stream = client.responses.stream({ input: 'x' });
      const final = await stream.finalResponse();
      expect(final.status).toBe('failed');
      expect(final.error?.code).toBe(code);
      expect(JSON.stringify(final)).not.toMatch(/slow down|bad key/);
    },
  );

  it('arrives unchanged with any characters and chunk boundaries', async () => {
    const said = 'Grüße, 你好, 👩‍👩‍👧‍👦 ok – “fin”\n\u2028 \u0000 end';
    provider.answerWith(textAnswer([...new Intl.Segmenter('en').segment(said)].map(({ segment }) => segment)));
    const events = await collect(await client.responses.create({ input: 'x', stream: true }));
    expect(deltaText(events)).toBe(said);
    expect(events.at(-1)).toMatchObject({ response: { output_text: said } });
  });

  it('ends with a cancel', async () => {
    provider.answerWith({ steps: [deltaChunk({ content: 'Hel' }), { hang: true }] });
    const { id } = await client.responses.create({ input: 'x', background: true });
    const upstream = await provider.request(from);
    const cancelled = await client.responses.cancel(id);
    expect(cancelled.status).toBe('cancelled');
    expect((await upstream.closed).complete).toBe(false);
  });
});

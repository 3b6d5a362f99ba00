/*
 * `client.chat.completions` of the official client, unmodified: create, stream, the helpers, and
 * what goes wrong.
 */

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { connect } from 'node:net';
import { resolve } from 'node:path';
import type OpenAI from 'openai';
import { FakeOpenAiServer } from '../support/fake-openai-server.js';
import { type TestGateway, startGateway } from '../support/gateway.js';
import { collect, officialClient, spoken } from './official.js';

let gateway: TestGateway;
let client: OpenAI;
beforeAll(async () => {
  gateway = await startGateway({
    config: {
      middleware: {
        validator: { enabled: true, banned_words: ['forbidden', 'sit'] },
        // Every failure below is to be seen, and none is to close the breaker for the others.
        provider: { retry: { max_attempts: 1 }, breaker: { failures: 1_000 } },
      },
      clients: { models: ['demo-large'] },
    },
  });
  client = officialClient(gateway.url);
});
afterAll(() => gateway.close());

type Chat = OpenAI.Chat.Completions.ChatCompletionCreateParamsNonStreaming;
type Messages = OpenAI.Chat.Completions.ChatCompletionMessageParam[];

const FIVE = 'demo: deltas=5 interval=0ms text=numbers';
const ask = (content: string): Messages => [{ role: 'user', content }];
const create = (content: string, more: Partial<Chat> = {}) =>
  client.chat.completions.create({ model: 'demo', messages: ask(content), ...more });
/** What the server adds, which the client's types do not know. */
const factsOf = (answer: object): Record<string, unknown> =>
  // The cast: the test looks at what is there.
  (answer as { sluice: Record<string, unknown> }).sluice;
const post = (body: object | string, init: RequestInit = {}): Promise<Response> =>
  fetch(`${gateway.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: typeof body === 'string' ? body : JSON.stringify(body),
    ...init,
  });
const weather = {
  type: 'function',
  function: { name: 'get_weather', parameters: { type: 'object', properties: { city: { type: 'string' } } } },
} as const;
const CALL = 'demo: tool=get_weather args={"city":"Paris"}';

describe('chat.completions.create', () => {
  it('answers with a chat completion [CHAT-1]', async () => {
    const completion = await create(FIVE);
    expect(completion).toMatchObject({
      object: 'chat.completion',
      model: 'demo',
      choices: [{ index: 0, finish_reason: 'stop', message: { role: 'assistant', content: spoken(5), refusal: null } }],
      usage: { completion_tokens: 5, completion_tokens_details: { reasoning_tokens: 0 } },
    });
    expect(completion.id).toMatch(/^chatcmpl_[0-9a-f]{32}$/u);
    const { prompt_tokens: asked = NaN, total_tokens: total } = completion.usage ?? {};
    expect(total).toBe(asked + 5);
    expect(factsOf(completion)).toMatchObject({ status: 'completed', provider: 'demo', kept: 'nothing' });
  });

  it('accepts a request without a model and refuses an unlisted one with a message about chat completions [CHAT-1]', async () => {
    expect((await post({ messages: ask(FIVE) })).status).toBe(200);
    expect((await create(FIVE, { model: 'demo-large' })).model).toBeDefined();
    await expect(create(FIVE, { model: 'gpt-5' })).rejects.toMatchObject({ status: 404, code: 'model_not_found' });
  });

  it('stores no response to continue from [CHAT-1]', async () => {
    const { response_id: id } = factsOf(await create(FIVE));
    await expect(
      client.responses.create({ input: 'and then?', previous_response_id: String(id) }),
    ).rejects.toMatchObject({ code: 'previous_response_not_found' });
  });

  it('counts and logs a turn like any other', async () => {
    const before = await gateway.metric('sluice_requests_total{status="success"}');
    await create(FIVE);
    expect(await gateway.metric('sluice_requests_total{status="success"}')).toBe(before + 1);
    const lines = gateway.lines.filter((line) => line.includes('/v1/chat/completions'));
    expect(lines.join('\n')).toContain('request received');
  });

  it('ends with length when the tokens run out', async () => {
    expect((await create('demo: deltas=3 text=numbers length')).choices[0]?.finish_reason).toBe('length');
  });
});

describe('a chat completion stream', () => {
  it('consists of chunks, the last of which has the finish reason, and [DONE] [CHAT-2]', async () => {
    const chunks = await collect(
      await client.chat.completions.create({ model: 'demo', messages: ask(FIVE), stream: true }),
    );
    expect(chunks[0]?.choices[0]?.delta).toEqual({ role: 'assistant', content: '', refusal: null });
    expect(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('')).toBe(spoken(5));
    expect(chunks.map((chunk) => chunk.choices[0]?.finish_reason).filter((reason) => reason !== null)).toEqual([
      'stop',
    ]);
    expect(new Set(chunks.map((chunk) => chunk.id)).size).toBe(1);
    expect(chunks.every((chunk) => !('usage' in chunk))).toBe(true);
    expect(factsOf(chunks.at(-1) ?? {})).toMatchObject({ status: 'completed' });

    const answer = await post({ messages: ask(FIVE), stream: true });
    expect(answer.headers.get('content-type')).toContain('text/event-stream');
    expect((await answer.text()).endsWith('data: [DONE]\n\n')).toBe(true);
  });

  it('sends the usage on request, in a chunk without choices [CHAT-2]', async () => {
    const params = {
      model: 'demo',
      messages: ask(FIVE),
      stream: true,
      stream_options: { include_usage: true },
    } as const;
    const chunks = await collect(await client.chat.completions.create(params));
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { completion_tokens: 5 } });
    expect(chunks.slice(0, -1).every((chunk) => chunk.usage === null)).toBe(true);
  });

  it("works with the client's helper [CHAT-2, CHAT-6]", async () => {
    const stream = client.chat.completions.stream({
      model: 'demo',
      messages: ask(CALL),
      tools: [weather],
      stream_options: { include_usage: true },
    });
    const completion = await stream.finalChatCompletion();
    expect(completion.choices[0]).toMatchObject({
      finish_reason: 'tool_calls',
      message: { tool_calls: [{ function: { name: 'get_weather', arguments: '{"city":"Paris"}' } }] },
    });
    expect(completion.usage?.total_tokens).toBeGreaterThan(0);
    const text = client.chat.completions.stream({ model: 'demo', messages: ask(FIVE) });
    expect(await text.finalContent()).toBe(spoken(5));
  });
});

describe('function tools', () => {
  it('calls several function tools at once and answers their results [CHAT-6]', async () => {
    const both = `${CALL}\ndemo: tool=get_time args={}`;
    const time = { type: 'function', function: { name: 'get_time' } } as const;
    const first = await create(both, { tools: [weather, time] });
    const message = first.choices[0]?.message;
    expect(first.choices[0]?.finish_reason).toBe('tool_calls');
    expect(message?.content).toBeNull();
    expect(message?.tool_calls).toHaveLength(2);
    const results: Messages = (message?.tool_calls ?? []).map(({ id }) => ({
      role: 'tool',
      tool_call_id: id,
      content: 'sunny',
    }));
    // The whole message goes back as it came.
    const messages = [...ask(both), ...(message === undefined ? [] : [message]), ...results];
    const second = await client.chat.completions.create({ model: 'demo', messages, tools: [weather, time] });
    expect(second.choices[0]).toMatchObject({ finish_reason: 'stop', message: { role: 'assistant' } });
    expect(second.choices[0]?.message.content).not.toBe('');
  });

  it('runs function tools in a loop by runTools, streamed and not [CHAT-6]', async () => {
    const asked: unknown[] = [];
    const params = {
      model: 'demo',
      messages: ask(CALL),
      tools: [
        {
          type: 'function' as const,
          function: {
            name: 'get_weather',
            description: 'The weather of a city',
            parse: (text: string): object => JSON.parse(text),
            parameters: { type: 'object' as const, properties: { city: { type: 'string' as const } } },
            function: (args: object) => {
              asked.push(args);
              return 'sunny';
            },
          },
        },
      ],
    };
    expect(await client.chat.completions.runTools(params).finalContent()).not.toBe('');
    expect(await client.chat.completions.runTools({ ...params, stream: true }).finalContent()).not.toBe('');
    expect(asked).toEqual([{ city: 'Paris' }, { city: 'Paris' }]);
  });

  it('chooses function tools by tool_choice [CHAT-6]', async () => {
    const tool_choice = { type: 'function', function: { name: 'get_weather' } } as const;
    const answer = await create('What is the weather?', { tools: [weather], tool_choice, parallel_tool_calls: false });
    expect(answer.choices[0]?.message.tool_calls?.[0]).toMatchObject({ function: { name: 'get_weather' } });
    const missing = create('x', { tool_choice });
    await expect(missing).rejects.toMatchObject({ status: 400, param: 'tool_choice' });
  });
});

describe('structured output of chat completions', () => {
  it('follows a JSON Schema and is read by parse()', async () => {
    const schema = {
      type: 'object',
      properties: { city: { type: 'string' }, degrees: { type: 'integer' } },
      required: ['city', 'degrees'],
      additionalProperties: false,
    };
    const completion = await client.chat.completions.parse({
      model: 'demo',
      messages: ask('What is the weather?'),
      response_format: { type: 'json_schema', json_schema: { name: 'weather', schema, strict: true } },
    });
    expect(Object.keys(completion.choices[0]?.message.parsed ?? {}).sort()).toEqual(['city', 'degrees']);
  });

  it('answers a chat completion in JSON if only JSON is requested', async () => {
    const answer = await create('x', { response_format: { type: 'json_object' } });
    expect(JSON.parse(answer.choices[0]?.message.content ?? '')).toMatchObject({ provider: 'demo' });
  });
});

describe('a refused chat completion', () => {
  it('ends with content_filter and the message of an input guardrail [CHAT-4]', async () => {
    const { choices, usage } = await create('a forbidden word');
    expect(choices[0]).toMatchObject({ finish_reason: 'content_filter', message: { content: null } });
    expect(choices[0]?.message.refusal).toEqual(expect.stringMatching(/\S/u));
    expect(usage?.total_tokens).toBe(0);
  });

  it('keeps the safe text when an output guardrail refuses, streamed or not [CHAT-4]', async () => {
    const words = 'demo: deltas=10 interval=0ms text=lorem';
    const { choices } = await create(words);
    expect(choices[0]?.finish_reason).toBe('content_filter');
    expect(choices[0]?.message.refusal).toEqual(expect.stringMatching(/\S/u));
    const chunks = await collect(
      await client.chat.completions.create({ model: 'demo', messages: ask(words), stream: true }),
    );
    const said = (key: 'content' | 'refusal'): string =>
      chunks.map((chunk) => chunk.choices[0]?.delta[key] ?? '').join('');
    expect([said('content'), said('refusal')]).toEqual([
      choices[0]?.message.content ?? '',
      choices[0]?.message.refusal,
    ]);
    expect(chunks.at(-1)?.choices[0]?.finish_reason).toBe('content_filter');
  });

  it('answers later turns whose history has a refused message [CHAT-11]', async () => {
    const messages: Messages = [
      ...ask('a forbidden word'),
      { role: 'assistant', refusal: 'No.', name: 'support' },
      ...ask(FIVE),
    ];
    const { choices } = await client.chat.completions.create({ model: 'demo', messages });
    expect(choices[0]).toMatchObject({ finish_reason: 'stop', message: { content: spoken(5) } });
  });

  it('returns a refusal by the model as a complete chat completion [CHAT-7]', async () => {
    const { choices } = await create('demo: refuse');
    expect(choices[0]).toMatchObject({ finish_reason: 'stop', message: { content: null } });
    expect(choices[0]?.message.refusal).toContain('can not help');
  });
});

describe('a failure of the provider', () => {
  it.each([
    ['provider_timeout', 504],
    ['provider_refused', 502],
    ['server_error', 502],
  ])(
    'answers before the first delta with an HTTP status, streamed or not: %s with %s [CHAT-3]',
    async (code, status) => {
      const refusals = await gateway.metric(`sluice_requests_total{status="refused"}`);
      for (const stream of [true, false]) {
        const answer = await post({ messages: ask(`demo: error=${code}`), stream });
        expect(answer.status).toBe(status);
        expect(await answer.json()).toMatchObject({ error: { code, type: 'server_error', param: null } });
      }
      await expect(create(`demo: error=${code}`)).rejects.toMatchObject({ status, code });
      expect(await gateway.metric(`sluice_requests_total{status="refused"}`)).toBe(refusals);
    },
  );

  it('sends a failure of the provider as an error inside the stream, without [DONE], once text was sent [CHAT-3]', async () => {
    const text = await (
      await post({ messages: ask('demo: error=provider_error after=2 text=numbers'), stream: true })
    ).text();
    expect(text).toMatch(
      /data: \{"error":\{"message":"[^"]+","type":"server_error","code":"provider_error"[^\n]*\n\n$/u,
    );
    expect(text).not.toContain('[DONE]');
    const stream = await client.chat.completions.create({
      model: 'demo',
      messages: ask('demo: error=provider_error after=2 text=numbers'),
      stream: true,
    });
    await expect(collect(stream)).rejects.toMatchObject({ code: 'provider_error' });
  });
});

describe('a client of chat completions that disconnects', () => {
  const cancelled = (): Promise<number> => gateway.metric('sluice_requests_total{status="cancelled"}');
  const becomes = async (look: () => Promise<number>, value: number): Promise<void> => {
    for (let tries = 0; (await look()) !== value; tries++) {
      if (tries > 1_000) throw new Error(`it never became ${value}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };

  it('cancels the turn of a disconnected chat completion, since no client can retrieve the answer [CHAT-8]', async () => {
    const before = await cancelled();
    const stream = await client.chat.completions.create({
      model: 'demo',
      messages: ask('demo: hang after=2 text=numbers'),
      stream: true,
    });
    for await (const _chunk of stream) break;
    await becomes(cancelled, before + 1);

    const waiting = new AbortController();
    const asked = client.chat.completions.create(
      { model: 'demo', messages: ask('demo: hang after=2 text=numbers') },
      { signal: waiting.signal },
    );
    await becomes(() => gateway.metric('sluice_turns_in_flight'), 1);
    waiting.abort();
    await expect(asked).rejects.toThrow();
    await becomes(cancelled, before + 2);
  });

  it('gets the same answer when it returns with its idempotency key [CHAT-8, IDEM-1]', async () => {
    const before = await cancelled();
    const body = JSON.stringify({ messages: ask('demo: first=300ms deltas=5 interval=0ms text=numbers') });
    const socket = connect(gateway.port, '127.0.0.1');
    socket.write(
      `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nidempotency-key: again\r\n` +
        `content-length: ${body.length}\r\n\r\n${body}`,
    );
    await becomes(() => gateway.metric('sluice_turns_in_flight'), 1);
    socket.destroy();
    const answer = await post(body, {
      headers: { 'content-type': 'application/json', 'idempotency-key': 'again' },
    });
    expect(await answer.json()).toMatchObject({ choices: [{ message: { content: spoken(5) } }] });
    expect(await cancelled()).toBe(before);
  });
});

describe('a chat completion request', () => {
  it("reaches the provider as it was sent, after the pack's prompt [CHAT-6, CHAT-9]", async () => {
    const fake = await FakeOpenAiServer.start();
    const other = await startGateway({
      config: {
        provider: { type: 'openai', model: 'large', base_url: fake.baseUrl },
        middleware: { template: { source: resolve('packs/support.pack.json'), default: 'support' } },
      },
    });
    try {
      const { choices } = await officialClient(other.url).chat.completions.create({
        model: 'large',
        messages: [
          { role: 'system', content: 'Be brief.' },
          {
            role: 'user',
            content: [
              { type: 'text', text: 'What is ' },
              { type: 'text', text: 'the weather?' },
            ],
          },
          {
            role: 'assistant',
            content: 'I look.',
            tool_calls: [{ type: 'function', id: 'c1', function: { name: 'get_weather', arguments: '{}' } }],
          },
          { role: 'tool', tool_call_id: 'c1', content: 'sunny' },
          { role: 'developer', content: 'In English.' },
        ],
        tools: [weather],
        parallel_tool_calls: false,
        max_tokens: 50,
        temperature: 0.25,
        top_p: 0.5,
        response_format: { type: 'json_object' },
      });
      expect(choices[0]?.message.content).toBe('Hello world');
      const { body } = await fake.request(0);
      const [system, ...rest] = body.messages;
      expect(system).toMatchObject({
        role: 'system',
        content: expect.stringMatching(/\S+[^]*\n\nBe brief\.\n\nIn English\.$/u),
      });
      expect(rest).toEqual([
        { role: 'user', content: 'What is \nthe weather?' },
        {
          role: 'assistant',
          content: 'I look.',
          tool_calls: [{ type: 'function', id: 'c1', function: { name: 'get_weather', arguments: '{}' } }],
        },
        { role: 'tool', tool_call_id: 'c1', content: 'sunny' },
      ]);
      expect(body).toMatchObject({
        tools: [weather],
        parallel_tool_calls: false,
        max_tokens: 50,
        temperature: 0.25,
        top_p: 0.5,
        response_format: { type: 'json_object' },
      });
    } finally {
      await other.close();
      await fake.close();
    }
  });

  it('reads system and developer messages at any place as instructions [CHAT-9]', async () => {
    const strict = await startGateway({ config: { clients: { allow: { instructions: false } } } });
    try {
      const asked = officialClient(strict.url).chat.completions.create({
        model: 'demo',
        messages: [...ask('Hello'), { role: 'system', content: 'Be brief.' }],
      });
      await expect(asked).rejects.toMatchObject({ status: 400, code: 'parameter_not_allowed', param: 'messages' });
    } finally {
      await strict.close();
    }
    const allowed = await client.chat.completions.create({
      model: 'demo',
      messages: [{ role: 'developer', content: [{ type: 'text', text: 'Be brief.' }] }, ...ask(FIVE)],
    });
    expect(allowed.choices[0]?.message.content).toBe(spoken(5));
  });

  it.each<[string, object, string]>([
    ['no messages', {}, 'messages'],
    ['an empty list', { messages: [] }, 'messages'],
    ['a second answer', { messages: ask('x'), n: 2 }, 'n'],
    ['legacy functions', { messages: ask('x'), functions: [{ name: 'f' }] }, 'functions'],
    ['to be stored', { messages: ask('x'), store: true }, 'store'],
    ['audio', { messages: [{ role: 'user', content: [{ type: 'input_audio' }] }] }, 'messages[0].content[0].type'],
    ['too many tokens', { messages: ask('x'), max_tokens: 0 }, 'max_tokens'],
    [
      'an answer to no call',
      { messages: [{ role: 'tool', tool_call_id: 'c', content: 'x' }] },
      'messages[0].tool_call_id',
    ],
    ['stream options alone', { messages: ask('x'), stream_options: { include_usage: true } }, 'stream_options'],
    ['an unknown field', { messages: ask('x'), temprature: 1 }, 'temprature'],
  ])('refuses a chat completion request with the invalid field: %s [CHAT-5, CHAT-12]', async (_what, body, param) => {
    const answer = await post(body);
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ error: { param, type: 'invalid_request_error' } });
    expect(answer.headers.get('x-should-retry')).toBe('false');
  });
});

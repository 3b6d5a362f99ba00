/*
 * Events of a turn, over a real socket and a real provider: their order, their numbers, and every
 * way a turn can end.
 */

import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import {
  GatewayHarness,
  deltasOf,
  errorIn,
  framesOf,
  heldAnswer,
  numbersOf,
  ONE_TRY,
  promptOf,
  responseIn,
  sseMessages,
  terminalOf,
  typesOf,
  UPSTREAM_KEY,
  upTo,
} from '../support/gateway-harness.js';
import {
  deltaChunk,
  DONE,
  type FakeAnswer,
  FAKE_USAGE,
  finishChunk,
  textAnswer,
  textChunk,
  usageChunk,
} from '../support/fake-openai-server.js';
import { type Frame } from '../support/raw-client.js';
import { allowed } from '../support/machine.js';

let harness: GatewayHarness;
beforeAll(async () => {
  harness = await GatewayHarness.start({
    config: {
      provider: {
        type: 'openai',
        model: 'gpt-4o',
        config: { first_delta_timeout: '1s', idle_timeout: '1s', timeout: '3s' },
      },
    },
  });
});
afterEach(() => harness.hangUp());
afterAll(() => harness.close());

const TEXT_TURN = [
  'response.created',
  'response.in_progress',
  'response.output_item.added',
  'response.content_part.added',
  'response.output_text.delta',
  'response.output_text.done',
  'response.content_part.done',
  'response.output_item.done',
  'response.completed',
];

/** The types, repeated deltas once. */
function orderOf(frames: readonly Frame[]): string[] {
  return typesOf(frames).filter((type, i, all) => type !== all[i - 1]);
}

describe('the sequence of events', () => {
  it('sends the specified sequence of events for a text answer [WS-2, EV-1, EV-2, EV-3, EV-7, END-1]', async () => {
    harness.says('Hello', ' wor', 'ld');
    const client = await harness.connect();
    const frames = await client.run({ input: 'Hi' });

    expect(orderOf(frames)).toEqual(TEXT_TURN);
    expect(numbersOf(frames)).toEqual(upTo(frames.length));
    const response = terminalOf(frames);
    expect(response).toMatchObject({ status: 'completed', error: null, incomplete_details: null });
    expect(deltasOf(frames)).toBe('Hello world');
    expect(response.output_text).toBe('Hello world');
    expect(response.output).toMatchObject([
      { type: 'message', status: 'completed', content: [{ type: 'output_text', text: 'Hello world' }] },
    ]);
    expect(frames.find(({ type }) => type === 'response.output_text.delta')).toMatchObject({ logprobs: [] });
    const ids = new Set(frames.flatMap((frame) => ('response' in frame ? [responseIn(frame).id] : [])));
    expect([...ids]).toEqual([response.id]);
  });

  it('ends with the terminal event [EV-2, EV-8]', async () => {
    harness.says('Hello');
    const client = await harness.connect();
    await client.run({ input: 'Hi' });
    expect(typesOf(await client.settle())).toEqual(['sluice:pong']);
  });

  it('sends the specified sequence of events for a refusal by the model [EV-4]', async () => {
    harness.provider.answerWith({
      steps: [deltaChunk({ refusal: 'I can' }), deltaChunk({ refusal: ' not.' }), finishChunk(), usageChunk(), DONE],
    });
    const client = await harness.connect();
    const frames = await client.run({ input: 'Hi' });
    expect(orderOf(frames).slice(2, -1)).toEqual([
      'response.output_item.added',
      'response.content_part.added',
      'response.refusal.delta',
      'response.refusal.done',
      'response.content_part.done',
      'response.output_item.done',
    ]);
    expect(terminalOf(frames)).toMatchObject({ output: [{ content: [{ type: 'refusal', refusal: 'I can not.' }] }] });
    expect(terminalOf(frames).output_text).toBe('');
  });

  it('sends the specified sequence of events for a function call after text [EV-5, REQ-15]', async () => {
    const call = (fields: object): { chunk: object } => deltaChunk({ tool_calls: [{ index: 0, ...fields }] });
    harness.provider.answerWith({
      steps: [
        textChunk('Let me look.'),
        call({ id: 'call_1', type: 'function', function: { name: 'get_weather', arguments: '' } }),
        call({ function: { arguments: '{"city":' } }),
        call({ function: { arguments: '"Paris"}' } }),
        finishChunk('tool_calls'),
        usageChunk(),
        DONE,
      ],
    });
    const tool = { type: 'function', name: 'get_weather', parameters: { type: 'object' } };
    const client = await harness.connect();
    const frames = await client.run({ input: 'Weather?', tools: [tool], tool_choice: 'auto' });
    expect(orderOf(frames).slice(2)).toEqual([
      'response.output_item.added',
      'response.content_part.added',
      'response.output_text.delta',
      'response.output_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'response.output_item.added',
      'response.function_call_arguments.delta',
      'response.function_call_arguments.done',
      'response.output_item.done',
      'response.completed',
    ]);
    expect(terminalOf(frames).output[1]).toMatchObject({
      type: 'function_call',
      call_id: 'call_1',
      name: 'get_weather',
      arguments: '{"city":"Paris"}',
      status: 'completed',
    });
    expect(harness.provider.requests.at(-1)?.body['tools']).toMatchObject([
      { type: 'function', function: { name: 'get_weather' } },
    ]);
  });

  it('sends the same sequence of events to every viewer and in every replay [EV-1, REST-7]', async () => {
    const held = heldAnswer('Hello', ' world');
    harness.provider.answerWith(held.answer);
    const creator = await harness.connect();
    creator.create({ input: 'Hi' });
    const created = await creator.until('response.created');
    const { id } = responseIn(created);
    const viewer = await harness.connect();
    viewer.send({ type: 'sluice:resume', response_id: id });
    await viewer.until('sluice:resumed');
    held.finish();

    const seen = [created, ...(await creator.turn())];
    expect(await viewer.turn()).toEqual(seen);
    const replay = await (await harness.fetch(`/v1/responses/${id}?stream=true`)).text();
    expect(framesOf(sseMessages(replay))).toEqual(seen);
    const raw = seen.map((frame) => JSON.stringify(frame));
    expect(replay.match(/^data: .*$/gmu)).toEqual([...raw.map((json) => `data: ${json}`), 'data: [DONE]']);
  });
});

describe('a turn', () => {
  it('ends an answer as incomplete when max_output_tokens cuts it [END-2]', async () => {
    harness.provider.answerWith({ steps: [textChunk('Hello'), finishChunk('length'), usageChunk(), DONE] });
    const client = await harness.connect();
    const response = terminalOf(await client.run({ input: 'Hi', max_output_tokens: 16 }));
    expect(response).toMatchObject({
      status: 'incomplete',
      incomplete_details: { reason: 'max_output_tokens' },
      output_text: 'Hello',
    });
    expect(response.output[0]?.status).toBe('incomplete');
  });

  it('ends an answer as incomplete when the provider’s filter stops it [END-8]', async () => {
    harness.provider.answerWith({ steps: [textChunk('Hello'), finishChunk('content_filter'), usageChunk(), DONE] });
    const client = await harness.connect();
    const response = terminalOf(await client.run({ input: 'Hi' }));
    expect(response).toMatchObject({ status: 'incomplete', incomplete_details: { reason: 'content_filter' } });
    expect(response.output).toMatchObject([{ content: [{ type: 'output_text' }] }]);
    expect(response.output[0]).toHaveProperty('content.length', 1);
  });

  it('ends a cancel with closed items, its partial text, estimated usage and a closed provider call [END-5, END-11, EV-6, EV-10]', async () => {
    const before = harness.provider.requests.length;
    harness.provider.answerWith({ steps: [textChunk('Half an answer'), { hang: true }] });
    const client = await harness.connect();
    client.create({ input: 'Tell me everything.' });
    const head = await client.take(({ type }) => type === 'response.output_text.delta');
    const cancelledAt = performance.now();
    client.send({ type: 'response.cancel', response_id: responseIn(head[0]).id });
    const frames = [...head, ...(await client.turn())];

    expect(orderOf(frames)).toEqual([...TEXT_TURN.slice(0, -1), 'response.incomplete']);
    expect(numbersOf(frames)).toEqual(upTo(frames.length));
    const response = terminalOf(frames);
    expect(response).toMatchObject({
      status: 'cancelled',
      incomplete_details: { reason: 'cancelled' },
      output_text: 'Half an answer',
      output: [{ status: 'incomplete' }],
      sluice: { usage_estimated: true, kept: 'partial' },
    });
    expect(response.usage?.input_tokens).toBeGreaterThan(0);
    expect(response.usage?.output_tokens).toBeGreaterThan(0);
    const upstream = await (await harness.provider.request(before)).closed;
    expect(upstream.complete).toBe(false);
    expect(upstream.atMs - cancelledAt).toBeLessThan(allowed(1_000));
  });

  const apiError = (type: string, code: string | null = null): object => ({
    error: { message: `PROVIDER-WORDS ${UPSTREAM_KEY}`, type, param: null, code },
  });
  const failures: readonly (readonly [what: string, answer: FakeAnswer, code: string, text: string])[] = [
    ['429', { status: 429, body: apiError('requests') }, 'rate_limit_exceeded', ''],
    ['500', { status: 500, body: apiError('server_error') }, 'server_error', ''],
    ['503', { status: 503, body: 'no JSON at all' }, 'provider_unavailable', ''],
    ['504', { status: 504 }, 'provider_timeout', ''],
    ['400', { status: 400, body: apiError('invalid_request_error') }, 'provider_refused', ''],
    ['401', { status: 401, body: apiError('invalid_api_key') }, 'provider_refused', ''],
    ['404', { status: 404, body: apiError('invalid_request_error', 'model_not_found') }, 'provider_refused', ''],
    ['a hang before the first delta', { steps: [{ hang: true }] }, 'provider_timeout', ''],
    ['a hang between deltas', { steps: [textChunk('Half'), { hang: true }] }, 'provider_timeout', 'Half'],
    ['a reset', { steps: [textChunk('Half'), { cut: true }] }, 'provider_stream_interrupted', 'Half'],
    ['an end without its marker', { steps: [textChunk('Half')] }, 'provider_stream_interrupted', 'Half'],
    [
      'an error in the stream',
      { steps: [textChunk('Half'), { chunk: apiError('overloaded') }, DONE] },
      'provider_unavailable',
      'Half',
    ],
    ['garbage', { steps: [textChunk('Half'), { raw: 'data: {"choices": [\n\n' }] }, 'provider_error', 'Half'],
  ];
  it.each(failures)('fails after %s [END-6, END-9, EV-6, EV-8]', async (_what, answer, code, text) => {
    harness.provider.answerWith(answer);
    const client = await harness.connect();
    const frames = await client.run({ input: 'Hi' });
    const response = terminalOf(frames);
    expect(frames.at(-1)?.type).toBe('response.failed');
    expect(response).toMatchObject({ status: 'failed', error: { code }, output_text: text });
    expect(numbersOf(frames)).toEqual(upTo(frames.length));
    if (text === '') expect(response.output).toEqual([]);
    else {
      expect(orderOf(frames)).toEqual([...TEXT_TURN.slice(0, -1), 'response.failed']);
      expect(response.output).toMatchObject([{ status: 'incomplete' }]);
    }
    expect(JSON.stringify(frames)).not.toMatch(/PROVIDER-WORDS|sk-upstream/u);
  });

  it('fails if the provider cannot be reached [END-6]', async () => {
    const gone = await GatewayHarness.start();
    await gone.provider.close();
    const client = await gone.connect();
    const frames = await client.run({ input: 'Hi' });
    expect(terminalOf(frames).error?.code).toBe('provider_unavailable');
    await gone.hangUp();
    await gone.gateway.close();
  });

  it('fails at the limit of the whole call while the provider still sends [EV-8, END-6]', async () => {
    harness.provider.answerWith(
      textAnswer(
        Array.from({ length: 200 }, () => 'more '),
        { intervalMs: 50 },
      ),
    );
    const client = await harness.connect();
    const frames = await client.run({ input: 'Hi' });
    expect(terminalOf(frames)).toMatchObject({ status: 'failed', error: { code: 'provider_timeout' } });
    expect(terminalOf(frames).output_text.length).toBeGreaterThan(20);
  });

  it('closes an unfinished function call and does not keep it [EV-6, KEEP-2]', async () => {
    const conversation = await harness.conversation();
    harness.provider.answerWith({
      steps: [
        textChunk('Let me look.'),
        deltaChunk({
          tool_calls: [{ index: 0, id: 'call_1', type: 'function', function: { name: 'f', arguments: '{"a' } }],
        }),
        { cut: true },
      ],
    });
    const client = await harness.connect();
    const tools = [{ type: 'function', name: 'f', parameters: { type: 'object' } }];
    const frames = await client.run({ input: 'Hi', conversation, tools });
    expect(orderOf(frames).slice(-3)).toEqual([
      'response.function_call_arguments.done',
      'response.output_item.done',
      'response.failed',
    ]);
    expect(terminalOf(frames).output).toMatchObject([
      { type: 'message', status: 'completed' },
      { type: 'function_call', status: 'incomplete', arguments: '{"a' },
    ]);
    expect(terminalOf(frames).sluice.kept).toBe('partial');

    harness.says('Yes.');
    await client.run({ input: 'Still there?', conversation, tools });
    const sent = harness.provider.requests.at(-1)?.body.messages ?? [];
    expect(sent.map((message) => message['role'])).toEqual(['user', 'assistant', 'user']);
    expect(JSON.stringify(sent)).not.toContain('tool_calls');
  });
});

describe('the terminal event', () => {
  it('gives the terminal event usage, cost, provider, prompt and unchanged metadata [EV-7, EV-9, EV-10, REQ-17]', async () => {
    harness.says('Hello');
    const client = await harness.connect();
    const metadata = { order: '4711', ünï: 'cødé' };
    const response = terminalOf(await client.run({ input: 'Hi', metadata }));
    expect(response.usage).toEqual({
      input_tokens: FAKE_USAGE.prompt_tokens,
      input_tokens_details: { cached_tokens: 5, cache_write_tokens: 0 },
      output_tokens: FAKE_USAGE.completion_tokens,
      output_tokens_details: { reasoning_tokens: 7 },
      total_tokens: FAKE_USAGE.total_tokens,
    });
    expect(response.sluice).toMatchObject({
      prompt: null,
      provider: 'openai',
      findings: [],
      usage_estimated: false,
      kept: 'all',
    });
    expect(response.metadata).toEqual(metadata);
  });

  it('gives the terminal event no cost for a model without a price [EV-9]', async () => {
    harness.says('Hello');
    const client = await harness.connect();
    expect(terminalOf(await client.run({ input: 'Hi' })).sluice.cost_usd).toBeNull();
  });

  it('estimates the usage in the terminal event if the provider sent none, and gives null if it never answered [EV-10]', async () => {
    const client = await harness.connect();
    harness.provider.answerWith({ steps: [textChunk('Hello there, friend'), finishChunk(), DONE] });
    const counted = terminalOf(await client.run({ input: 'Hi' }));
    expect(counted.sluice.usage_estimated).toBe(true);
    expect(counted.usage?.output_tokens).toBeGreaterThan(0);
    harness.provider.answerWith({ status: 503 });
    expect(terminalOf(await client.run({ input: 'Hi' }))).toMatchObject({
      usage: null,
      sluice: { usage_estimated: false, cost_usd: null },
    });
  });
});

describe('calls to a failing provider', () => {
  it('refuses turns without a call to the provider while the breaker is open [END-6]', async () => {
    const breaking = await GatewayHarness.start({
      config: {
        middleware: { provider: { retry: { max_attempts: 1 }, breaker: { failures: 2, open_for: '1m' } } },
      },
    });
    try {
      breaking.provider.answerWith({ status: 500 });
      const client = await breaking.connect();
      for (let i = 0; i < 2; i++) {
        expect(terminalOf(await client.run({ input: 'Hi' })).error?.code).toBe('server_error');
      }
      const [refusal] = await client.run({ input: 'Hi' });
      expect(errorIn(refusal)).toMatchObject({ code: 'provider_unavailable' });
      expect(breaking.provider.requests.length).toBe(2);
    } finally {
      await breaking.close();
    }
  });

  it('refuses turns above our own limit of calls to the provider [END-6]', async () => {
    const limited = await GatewayHarness.start({
      config: { middleware: { provider: { ...ONE_TRY.provider, rate_limit: { requests_per_minute: 1, burst: 2 } } } },
    });
    try {
      const client = await limited.connect();
      for (let i = 0; i < 2; i++) expect(terminalOf(await client.run({ input: 'Hi' })).status).toBe('completed');
      const [refusal] = await client.run({ input: 'Hi' });
      expect(errorIn(refusal)).toMatchObject({ code: 'rate_limit_exceeded' });
      expect(limited.provider.requests.length).toBe(2);
    } finally {
      await limited.close();
    }
  });

  it('retries calls to the provider before the first delta only [END-10]', async () => {
    const retrying = await GatewayHarness.start({
      config: {
        provider: { type: 'openai', model: 'fake-model', base_url: harness.provider.baseUrl },
        middleware: { provider: { retry: { max_attempts: 3, backoff: 'constant' } } },
      },
    });
    try {
      const client = await retrying.connect();
      const before = harness.provider.requests.length;
      harness.provider.answerWith((_request, index) =>
        index < before + 2 ? { status: 503, headers: { 'retry-after-ms': '1' } } : textAnswer(['Third time lucky']),
      );
      expect(terminalOf(await client.run({ input: 'Hi' })).output_text).toBe('Third time lucky');
      expect(harness.provider.requests.length - before).toBe(3);

      const asked = harness.provider.requests.length;
      harness.provider.answerWith({ steps: [textChunk('Half'), { cut: true }] });
      expect(terminalOf(await client.run({ input: 'Hi' })).status).toBe('failed');
      expect(harness.provider.requests.length - asked).toBe(1);
    } finally {
      await retrying.close();
    }
  });
});

describe('guardrails', () => {
  let guarded: GatewayHarness;
  beforeAll(async () => {
    guarded = await GatewayHarness.start({
      config: {
        provider: { type: 'openai', model: 'fake-model', base_url: harness.provider.baseUrl },
        middleware: { validator: { banned_words: ['pirate'], max_length: 60 } },
      },
    });
  });
  afterEach(() => guarded.hangUp());
  afterAll(() => guarded.close());

  it('answers refused input by the guardrail, without a call to the provider [END-4, KEEP-4, GUARD-3]', async () => {
    const before = harness.provider.requests.length;
    const conversation = await guarded.conversation();
    const client = await guarded.connect();
    const frames = await client.run({ input: 'Teach me to be a PIRATE!', conversation });
    const refused = terminalOf(frames);
    expect(frames.at(-1)?.type).toBe('response.completed');
    expect(refused.output).toMatchObject([{ content: [{ type: 'refusal' }] }]);
    expect(refused.usage).toMatchObject({ input_tokens: 0, output_tokens: 0, total_tokens: 0 });
    expect(refused.sluice).toMatchObject({
      kept: 'display_only',
      findings: [{ guardrail: 'banned_words', stage: 'input', decision: 'deny' }],
    });
    expect(harness.provider.requests.length).toBe(before);

    harness.says('Hello');
    const next = terminalOf(await client.run({ input: 'Hi', conversation }));
    expect(promptOf(await harness.provider.request(before))).toEqual(['user: Hi']);
    const chained = terminalOf(await client.run({ input: 'Hi again', previous_response_id: refused.id }));
    expect(chained.status).toBe('completed');
    expect(promptOf(await harness.provider.request(before + 1))).toEqual(['user: Hi again']);
    expect(next.sluice.kept).toBe('all');
  });

  it('checks sent messages, calls and outputs, and arguments that the model writes, by guardrails [GUARD-2, GUARD-4]', async () => {
    const client = await guarded.connect();
    const before = harness.provider.requests.length;
    const call = { type: 'function_call', call_id: 'c1', name: 'f', arguments: '{}' };
    const output = { type: 'function_call_output', call_id: 'c1', output: 'ok' };
    const refused = terminalOf(await client.run({ input: [call, { ...output, output: 'a pirate' }] }));
    expect(refused.sluice).toMatchObject({ kept: 'display_only', findings: [{ stage: 'input', decision: 'deny' }] });
    expect(harness.provider.requests.length).toBe(before);

    for (const history of [
      [{ ...call, arguments: '{"word":"pirate"}' }, output],
      [{ role: 'assistant', content: 'a pirate' }],
    ]) {
      harness.says('Hello');
      const answered = terminalOf(await client.run({ input: [...history, { role: 'user', content: 'Hi' }] }));
      expect(answered.sluice.findings).toMatchObject([{ stage: 'input', decision: 'note' }]);
      const asked = harness.provider.requests.at(-1);
      expect(JSON.stringify(asked?.body.messages)).not.toContain('pirate');
    }

    const written = { name: 'f', arguments: '{"word":"the \\npir\\u0061te"}' };
    harness.provider.answerWith({
      steps: [
        deltaChunk({ tool_calls: [{ index: 0, id: 'c1', type: 'function', function: written }] }),
        finishChunk('tool_calls'),
        usageChunk(),
        DONE,
      ],
    });
    const tools = [{ type: 'function', name: 'f', parameters: { type: 'object' } }];
    const frames = await client.run({ input: 'Hi', tools });
    const stopped = terminalOf(frames);
    expect(stopped).toMatchObject({
      incomplete_details: { reason: 'content_filter' },
      output: [{ name: 'f', arguments: '{"word":"the \\n', status: 'incomplete' }, { content: [{ type: 'refusal' }] }],
    });
    expect(JSON.stringify(frames)).not.toContain('pir');
  });

  it('ends an answer before a banned word at any chunk boundary, and keeps the safe text [END-3, GUARD-1, GUARD-3]', async () => {
    const client = await guarded.connect();
    const released: unknown[] = [];
    for (const cut of [
      ['Ask a pirate about it'],
      ['Ask a p', 'ir', 'at', 'e about it'],
      [...'Ask a pirate about it'],
    ]) {
      harness.says(...cut);
      const frames = await client.run({ input: 'Hi' });
      const response = terminalOf(frames);
      expect(response).toMatchObject({ status: 'incomplete', incomplete_details: { reason: 'content_filter' } });
      expect(response.output[0]).toMatchObject({
        status: 'incomplete',
        content: [{ type: 'output_text' }, { type: 'refusal' }],
      });
      expect(deltasOf(frames)).toBe(response.output_text);
      expect(JSON.stringify(frames)).not.toContain('pirate');
      released.push(response.output_text);
    }
    expect(new Set(released).size).toBe(1);
    expect(String(released[0])).toMatch(/^Ask a ?$/u);
  });

  it('releases a word that only begins like a banned one [GUARD-1]', async () => {
    harness.says('The pirat', 'i', 'ng of films');
    const client = await guarded.connect();
    expect(terminalOf(await client.run({ input: 'Hi' })).output_text).toBe('The pirating of films');
  });

  it('refuses input and ends output above max_length, in code points [GUARD-3, END-3, END-4]', async () => {
    const client = await guarded.connect();
    const before = harness.provider.requests.length;
    expect(terminalOf(await client.run({ input: '😀'.repeat(61) })).sluice.kept).toBe('display_only');
    expect(harness.provider.requests.length).toBe(before);
    harness.says('😀'.repeat(40), '😀'.repeat(40));
    const response = terminalOf(await client.run({ input: '😀'.repeat(60) }));
    expect(response.incomplete_details?.reason).toBe('content_filter');
    expect(response.output_text).toBe('😀'.repeat(60));
  });

  it('names the rule of a guardrail in findings, and never the text [EV-9]', async () => {
    const client = await guarded.connect();
    const { sluice } = terminalOf(await client.run({ input: 'pirate' }));
    expect(sluice.findings).toEqual([
      { guardrail: 'banned_words', stage: 'input', decision: 'deny', reason: 'banned_word', position: 0 },
    ]);
  });
});

it('sends an error frame without a sequence number, outside of any response [ERR-1]', async () => {
  const client = await harness.connect();
  const [frame] = await client.run({ input: 7 });
  expect(frame).toMatchObject({ type: 'error', status: 400 });
  expect(frame).not.toHaveProperty('sequence_number');
  expect(errorIn(frame)).toMatchObject({ type: 'invalid_request_error', code: 'invalid_value', param: 'input' });
});

/*
 * Every event and every response object of every kind of turn, over SSE, a socket, JSON and a later
 * reading, against the facts of the public Open Responses specification.
 */

import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import {
  callsAnswer,
  deltaChunk,
  DONE,
  type FakeAnswer,
  finishChunk,
  textAnswer,
  textChunk,
  usageChunk,
} from '../support/fake-openai-server.js';
import { framesOf, GatewayHarness, heldAnswer, ONE_TRY, sseMessages, terminalOf } from '../support/gateway-harness.js';
import { EVENT_TYPES, eventMistakes, responseMistakes } from '../support/open-responses.js';
import { type Frame } from '../support/raw-client.js';

let harness: GatewayHarness;
beforeAll(async () => {
  harness = await GatewayHarness.start({
    config: {
      middleware: { ...ONE_TRY, validator: { banned_words: ['forbidden'] } },
      http: { sse_keep_alive: '1s' },
    },
  });
});
afterEach(() => harness.hangUp());
afterAll(() => harness.close());

const TOOLS = [
  { type: 'function', name: 'weather', parameters: { type: 'object' } },
  { type: 'function', name: 'time', description: 'Now', strict: true, parameters: { type: 'object' } },
];
const summary = deltaChunk({ reasoning_details: [{ type: 'reasoning.summary', summary: 'Adding.' }] });
const steps = (...chunks: readonly object[]): FakeAnswer => ({
  steps: [...(chunks as { readonly chunk: object }[]), usageChunk(), DONE],
});

interface Kind {
  readonly answer: FakeAnswer;
  readonly request?: object;
  readonly ends: string;
}
const KINDS: Readonly<Record<string, Kind>> = {
  text: { answer: textAnswer(['Hello', ' world']), ends: 'completed' },
  'text with every setting': {
    answer: textAnswer(['{}']),
    request: {
      instructions: 'Be brief',
      temperature: 0.5,
      top_p: 0.9,
      presence_penalty: 1,
      frequency_penalty: -1,
      max_output_tokens: 50,
      max_tool_calls: 2,
      metadata: { a: 'b' },
      prompt_cache_key: 'k',
      safety_identifier: 'u',
      reasoning: { effort: 'low', summary: 'auto' },
      text: { verbosity: 'low', format: { type: 'json_schema', name: 'x', schema: { type: 'object' } } },
      tools: TOOLS,
      tool_choice: { type: 'allowed_tools', mode: 'auto', tools: [{ type: 'function', name: 'time' }] },
      parallel_tool_calls: false,
    },
    ends: 'completed',
  },
  'a tool call': {
    answer: callsAnswer([
      { id: 'c1', name: 'weather' },
      { id: 'c2', name: 'time' },
    ]),
    request: { tools: TOOLS, tool_choice: { type: 'function', name: 'weather' } },
    ends: 'completed',
  },
  reasoning: {
    answer: steps(deltaChunk({ reasoning_content: 'Two and two' }), textChunk('4'), finishChunk()),
    ends: 'completed',
  },
  'a summary of reasoning': { answer: steps(summary, textChunk('4'), finishChunk()), ends: 'completed' },
  'a refusal of the model': { answer: steps(deltaChunk({ refusal: 'I cannot' }), finishChunk()), ends: 'completed' },
  'a refusal of the input': { answer: textAnswer(['x']), request: { input: 'forbidden' }, ends: 'completed' },
  'a stop by a guardrail': { answer: textAnswer(['Well, ', 'forbidden']), ends: 'incomplete' },
  'a stop by length': { answer: steps(textChunk('Hel'), finishChunk('length')), ends: 'incomplete' },
  'a failure before the first text': { answer: { status: 500 }, ends: 'failed' },
  'a failure within the text': { answer: { steps: [textChunk('Hel'), { cut: true }] }, ends: 'failed' },
};

const seen = new Set<string>();
function expectEvents(frames: readonly Frame[], on: 'stream' | 'socket'): void {
  for (const { type } of frames) seen.add(type);
  expect(frames.flatMap((frame) => eventMistakes(frame, on))).toEqual([]);
}

describe.each(Object.entries(KINDS))('%s', (_kind, { answer, request, ends }) => {
  const body = { input: 'Hi', ...request };

  it('sends the events and the response of the specification over SSE, and when they are read later [EV-14]', async () => {
    harness.provider.answerWith(answer);
    const reply = await harness.fetch('/v1/responses', { method: 'POST', body: { ...body, stream: true } });
    const frames = framesOf(sseMessages(await reply.text()));
    expectEvents(frames, 'stream');
    const { id, status } = terminalOf(frames);
    expect(status).toBe(ends);
    expect(responseMistakes((await harness.api(`/v1/responses/${id}`)).body)).toEqual([]);
  });

  it('sends the events of the specification on a socket [EV-14]', async () => {
    harness.provider.answerWith(answer);
    const client = await harness.connect();
    const frames = await client.run(body);
    expectEvents(frames, 'socket');
    expect(terminalOf(frames).status).toBe(ends);
  });

  it('answers with the response or error of the specification as JSON, stored or not [EV-14]', async () => {
    harness.provider.answerWith(answer);
    for (const store of [true, false]) {
      const { status, body: answered } = await harness.post({ ...body, store });
      expect(status < 400).toBe(ends !== 'failed');
      if (status < 400) expect(responseMistakes(answered)).toEqual([]);
      else expect(eventMistakes({ type: 'error', sequence_number: 0, ...answered } as Frame, 'stream')).toEqual([]);
    }
  });
});

describe('turns that do not run through', () => {
  it('sends the events and responses of the specification for turns that wait, are cancelled or run in the background [EV-14]', async () => {
    const held = heldAnswer('Hel', 'lo');
    harness.provider.answerWith(held.answer);
    const conversation = await harness.conversation();
    const client = await harness.connect();
    client.create({ input: 'One', conversation, stream_id: 'a' });
    await client.until('response.output_text.delta');
    client.create({ input: 'Two', conversation, stream_id: 'b' });
    await client.until('response.queued');
    const background = await harness.post({ input: 'Three', background: true });
    expect(responseMistakes(background.body)).toEqual([]);
    expect(responseMistakes((await harness.api(`/v1/responses/${String(background.body['id'])}`)).body)).toEqual([]);
    client.send({ type: 'response.cancel', stream_id: 'b' });
    expect(terminalOf(await client.turn()).status).toBe('cancelled');
    client.send({ type: 'response.cancel', stream_id: 'a' });
    expect(terminalOf(await client.turn()).status).toBe('cancelled');
    expectEvents(client.frames, 'socket');
    const cancelled = await harness.api(`/v1/responses/${String(background.body['id'])}/cancel`, { method: 'POST' });
    expect(cancelled.body['status']).toBe('cancelled');
    expect(responseMistakes(cancelled.body)).toEqual([]);
    held.finish();
  });

  it('sends an error of the specification on a socket for a refused turn [EV-14]', async () => {
    const client = await harness.connect();
    for (const body of [{ temperature: 'hot' }, { input: 'x', previous_response_id: 'resp_unknown' }]) {
      client.create(body);
      expectEvents([await client.until('error')], 'socket');
    }
  });

  it('covers every event that the specification and the gateway share [EV-14]', () => {
    expect(EVENT_TYPES.filter((type) => !seen.has(type))).toEqual([]);
  });
});

describe('allowed tools', () => {
  const allowed = { type: 'allowed_tools', mode: 'required', tools: [{ type: 'function', name: 'time' }] };
  const sent = (): Record<string, unknown> => harness.provider.requests.at(-1)?.body ?? {};
  const names = (): unknown => (sent()['tools'] as { function: { name: string } }[]).map((tool) => tool.function.name);

  it('sends the provider only the allowed tools, with their mode, and returns them [REQ-34]', async () => {
    harness.says('Noon');
    const { body } = await harness.post({ input: 'Hi', tools: TOOLS, tool_choice: allowed });
    expect(body).toMatchObject({ tool_choice: allowed, tools: [{ name: 'weather' }, { name: 'time' }] });
    expect([names(), sent()['tool_choice']]).toEqual([['time'], 'required']);
    await harness.post({ input: 'Hi', tools: TOOLS, tool_choice: { ...allowed, mode: undefined } });
    expect([names(), sent()['tool_choice']]).toEqual([['time'], 'auto']);
  });

  it('reads allowed tools from an object of their own in chat completions [REQ-34]', async () => {
    harness.says('Noon');
    const named = { type: 'function', function: { name: 'time' } };
    const tools = TOOLS.map(({ type, ...tool }) => ({ type, function: tool }));
    const { status } = await harness.api('/v1/chat/completions', {
      method: 'POST',
      body: {
        messages: [{ role: 'user', content: 'Hi' }],
        tools,
        tool_choice: { type: 'allowed_tools', allowed_tools: { mode: 'required', tools: [named] } },
      },
    });
    expect(status).toBe(200);
    expect([names(), sent()['tool_choice']]).toEqual([['time'], 'required']);
  });

  it.each([
    [{ ...allowed, tools: [{ type: 'function', name: 'unknown' }] }, 'invalid_value', 'tool_choice'],
    [{ ...allowed, tools: [] }, 'invalid_value', 'tool_choice.tools'],
    [{ type: 'web_search' }, 'unsupported_parameter', 'tool_choice.type'],
  ])('refuses allowed tools that fit no tool: %j [REQ-34]', async (choice, code, param) => {
    const { status, body } = await harness.post({ input: 'Hi', tools: TOOLS, tool_choice: choice });
    expect([status, body['error']]).toEqual([400, expect.objectContaining({ code, param })]);
  });

  it('sends prompt_cache_key to the provider and returns it, from both kinds of request [REQ-35]', async () => {
    harness.says('Fine');
    const { body } = await harness.post({ input: 'Hi', prompt_cache_key: 'tenant-7', max_tool_calls: 3 });
    expect(body).toMatchObject({ prompt_cache_key: 'tenant-7', max_tool_calls: 3 });
    expect(sent()).toMatchObject({ prompt_cache_key: 'tenant-7' });
    const messages = [{ role: 'user', content: 'Hi' }];
    await harness.api('/v1/chat/completions', { method: 'POST', body: { messages, prompt_cache_key: 'tenant-8' } });
    expect(sent()).toMatchObject({ prompt_cache_key: 'tenant-8' });
    await harness.post({ input: 'Hi' });
    expect(sent()).not.toHaveProperty('prompt_cache_key');
  });
});

/*
 * What frameworks send by default, and the fields that every response has: OpenAI's and Open
 * Responses' object.
 */

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { GatewayHarness, responseIn } from '../support/gateway-harness.js';

let harness: GatewayHarness;
beforeAll(async () => {
  harness = await GatewayHarness.start();
  harness.says('Fine');
});
afterAll(() => harness.close());

const asked = (): Record<string, unknown> => harness.provider.requests.at(-1)?.body ?? {};
const chat = (body: object): Promise<{ status: number }> =>
  harness.api('/v1/chat/completions', {
    method: 'POST',
    body: { messages: [{ role: 'user', content: 'Hi' }], ...body },
  });

describe('sampling fields', () => {
  it('sends the sampling fields of a chat completions request to the provider [CHAT-14]', async () => {
    const fields = { seed: 7, stop: ['\nObservation'], frequency_penalty: 0.5, presence_penalty: -1, verbosity: 'low' };
    expect((await chat({ ...fields, logit_bias: { 50256: -100 } })).status).toBe(200);
    expect(asked()).toMatchObject({ ...fields, logit_bias: { 50256: -100 } });
    expect((await chat({ stop: 'END', messages: [{ role: 'user', name: 'ann', content: 'Hi' }] })).status).toBe(200);
    expect(asked()).toMatchObject({ stop: ['END'], messages: [{ role: 'user', name: 'ann' }] });
  });

  it('sends the sampling fields of a request for a response to the provider, and omits defaults [REQ-27]', async () => {
    const { body } = await harness.post({
      input: 'Hi',
      text: { verbosity: 'low' },
      frequency_penalty: 1,
      presence_penalty: 0.5,
    });
    expect(asked()).toMatchObject({ verbosity: 'low', frequency_penalty: 1, presence_penalty: 0.5 });
    expect(body).toMatchObject({ text: { verbosity: 'low' }, frequency_penalty: 1, presence_penalty: 0.5 });
    await harness.post({ input: 'Hi', text: { verbosity: 'medium' }, frequency_penalty: 0, presence_penalty: 0 });
    for (const name of ['verbosity', 'frequency_penalty', 'presence_penalty']) expect(asked()).not.toHaveProperty(name);
  });
});

describe('fields without effect', () => {
  it.each([
    { reasoning: { summary: 'auto' } },
    { truncation: 'auto' },
    { prompt_cache_retention: 'in_memory' },
    { stream_options: { include_obfuscation: true } },
    {
      input: [
        { type: 'reasoning', id: 'rs_1', summary: [] },
        { role: 'user', content: 'Hi' },
      ],
    },
  ])('accepts fields without effect: %j [REQ-6]', async (fields) => {
    expect((await harness.post({ input: 'Hi', ...fields })).status).toBe(200);
  });

  it('accepts fields without effect in the text parts of an answer that the client sends back [CHAT-14]', async () => {
    const part = {
      type: 'text',
      text: 'Hello',
      annotations: [],
      role: 'assistant',
      refusal: null,
      logprobs: [],
      parsed: {},
    };
    const messages = [
      { role: 'user', content: 'Hi' },
      { role: 'assistant', content: [part], reasoning_content: 'Hm' },
      { role: 'user', content: 'Continue' },
    ];
    expect((await chat({ messages })).status).toBe(200);
  });
});

/** The fields that the public schema requires of every response, and the types of their values. */
const REQUIRED: Readonly<Record<string, string>> = {
  ...{ id: 'string', object: 'string', created_at: 'number', completed_at: 'number null', status: 'string' },
  ...{ incomplete_details: 'object null', model: 'string', previous_response_id: 'string null' },
  ...{
    instructions: 'string null',
    output: 'array',
    error: 'object null',
    tools: 'array',
    tool_choice: 'string object',
  },
  ...{ truncation: 'string', parallel_tool_calls: 'boolean', text: 'object', top_p: 'number', temperature: 'number' },
  ...{ presence_penalty: 'number', frequency_penalty: 'number', top_logprobs: 'number', reasoning: 'object null' },
  ...{ usage: 'object null', max_output_tokens: 'number null', max_tool_calls: 'number null', store: 'boolean' },
  ...{ background: 'boolean', service_tier: 'string', metadata: 'object', safety_identifier: 'string null' },
  ...{ prompt_cache_key: 'string null', access_programs: 'object null' },
};
const typeOf = (value: unknown): string => (value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value);

describe('a response object', () => {
  it('gives a response object every field of the public schema, in each event that carries one [EV-14]', async () => {
    const client = await harness.connect();
    const tools = [{ type: 'function', name: 'f', parameters: { type: 'object' } }];
    for (const upstream of ['answer', 'failure'] as const) {
      if (upstream === 'failure') harness.provider.answerWith({ status: 500 });
      const frames = (await client.run({ input: 'Hi', tools })).filter((frame) => 'response' in frame);
      expect(frames.length).toBeGreaterThanOrEqual(3);
      for (const frame of frames) {
        const response = responseIn(frame) as unknown as Record<string, unknown>;
        const wrong = Object.entries(REQUIRED).filter(
          ([name, types]) => !types.split(' ').includes(typeOf(response[name])),
        );
        expect(wrong).toEqual([]);
        expect(response).not.toHaveProperty('user');
        expect(response['tools']).toMatchObject([{ description: null, parameters: { type: 'object' }, strict: null }]);
      }
    }
  });
});

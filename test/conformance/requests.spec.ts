/* What a request may say, over REST and on a socket alike, and what of it the provider receives. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import {
  GatewayHarness,
  errorIn,
  ONE_TRY,
  promptOf,
  responseIn,
  terminalOf,
  upTo,
} from '../support/gateway-harness.js';
import { type FakeRequest } from '../support/fake-openai-server.js';
import { packFile, promptFile } from '../unit/templating/packs.js';

const PACK = packFile({
  prompts: {
    greet: promptFile('greet', {
      template: 'You greet {{who}} {{times}} times.',
      variables: [
        { name: 'who', type: 'string', required: true },
        { name: 'times', type: 'number', required: false, default: 2, validation: { minimum: 1 } },
      ],
    }),
    plain: promptFile('plain', { template: 'Be plain.' }),
    small: promptFile('small', { template: 'Be brief.', more: { parameters: { max_tokens: 20 } } }),
  },
});

const directory = mkdtempSync(join(tmpdir(), 'sluice-packs-'));
writeFileSync(join(directory, 'shop.pack.json'), JSON.stringify(PACK));

let harness: GatewayHarness;
beforeAll(async () => {
  harness = await GatewayHarness.start({
    config: {
      provider: { type: 'openai', model: 'fake-model', config: { max_tokens: 100 } },
      clients: { models: ['other-model'] },
      middleware: { ...ONE_TRY, template: { source: directory, default: 'plain' } },
    },
  });
});
afterEach(() => harness.hangUp());
afterAll(async () => {
  await harness.close();
  rmSync(directory, { recursive: true });
});

/** The same request on both edges. */
async function refusedOnBoth(fields: object, on = harness): Promise<Record<string, unknown>> {
  const asked = harness.provider.requests.length;
  const rest = await on.post(fields);
  const client = await on.connect();
  const [frame] = await client.run(fields);
  expect(frame).toMatchObject({ type: 'error', status: rest.status });
  const { headers: _headers, ...socketError } = errorIn(frame);
  expect(rest.body['error']).toEqual(socketError);
  expect(harness.provider.requests.length).toBe(asked);
  return { status: rest.status, ...socketError };
}

/** Accepted on both edges; what the provider received by the socket's. */
async function acceptedOnBoth(fields: object): Promise<FakeRequest> {
  harness.says('Fine');
  const rest = await harness.post(fields);
  expect(rest.body).toMatchObject({ status: 'completed' });
  const client = await harness.connect();
  const frames = await client.run(fields);
  expect(frames.at(-1)?.type).toBe('response.completed');
  const [first, second] = harness.provider.requests.slice(-2);
  expect(second?.body).toEqual(first?.body);
  if (second === undefined) throw new Error('the provider was not asked');
  return second;
}

const user = (content: unknown): object => ({ type: 'message', role: 'user', content });
const nested = (levels: number): object => (levels === 0 ? {} : { properties: nested(levels - 1) });

describe('an invalid request, by REST and by socket', () => {
  const table: readonly (readonly [
    rule: string,
    fields: object,
    status: number,
    code: string,
    param: string | null,
  ])[] = [
    [
      'REQ-3',
      { input: [user([{ type: 'input_audio', input_audio: {} }])] },
      400,
      'unsupported_content',
      'input[0].content[0].type',
    ],
    ['REQ-3', { input: [{ type: 'compaction_trigger' }] }, 400, 'unsupported_content', 'input[0].type'],
    ['REQ-3', { input: [{ type: 'web_search_call', id: 'ws_1' }] }, 400, 'unsupported_content', 'input[0].type'],
    ['REQ-5', { input: 'x', temprature: 1 }, 400, 'unknown_parameter', 'temprature'],
    ['REQ-5', { input: 'x', reasoning: { efort: 'low' } }, 400, 'unknown_parameter', 'reasoning.efort'],
    ['REQ-5', { input: 'x', __proto__x: 1 }, 400, 'unknown_parameter', '__proto__x'],
    ['REQ-6', { input: 'x', truncation: 'middle' }, 400, 'unsupported_parameter', 'truncation'],
    ['REQ-6', { input: 'x', include: ['message.output_text.probabilities'] }, 400, 'unsupported_parameter', 'include'],
    ['REQ-7', { input: 'x', top_logprobs: 21 }, 400, 'invalid_value', 'top_logprobs'],
    ['REQ-6', { input: 'x', tools: [{ type: 'web_search' }] }, 400, 'unsupported_parameter', 'tools[0].type'],
    ['REQ-7', { input: 7 }, 400, 'invalid_value', 'input'],
    ['REQ-7', { input: '' }, 400, 'invalid_value', 'input'],
    ['REQ-7', { input: [] }, 400, 'invalid_value', 'input'],
    ['REQ-7', {}, 400, 'missing_required_parameter', 'input'],
    ['REQ-7', { input: [{ role: 'user' }] }, 400, 'missing_required_parameter', 'input[0].content'],
    ['REQ-7', { input: [{ role: 'robot', content: 'x' }] }, 400, 'invalid_value', 'input[0].role'],
    ['REQ-7', { input: 'x', temperature: 2.1 }, 400, 'invalid_value', 'temperature'],
    ['REQ-7', { input: 'x', top_p: '1' }, 400, 'invalid_value', 'top_p'],
    ['REQ-7', { input: 'x', max_output_tokens: 0 }, 400, 'invalid_value', 'max_output_tokens'],
    [
      'REQ-8',
      { input: 'x', conversation: 'conv_1', previous_response_id: 'resp_1' },
      400,
      'invalid_value',
      'previous_response_id',
    ],
    ['REQ-9', { input: 'x', prompt: { id: 'unknown' } }, 404, 'prompt_not_found', 'prompt.id'],
    ['REQ-9', { input: 'x', prompt: { id: 'plain', version: '9.9.9' } }, 404, 'prompt_not_found', 'prompt.version'],
    [
      'REQ-10',
      { input: 'x', prompt: { id: 'greet', variables: { whom: 'Ann' } } },
      400,
      'unknown_variable',
      'prompt.variables.whom',
    ],
    ['REQ-10', { input: 'x', prompt: { id: 'greet' } }, 400, 'missing_variable', 'prompt.variables.who'],
    [
      'REQ-10',
      { input: 'x', prompt: { id: 'greet', variables: { who: 'Ann', times: 0 } } },
      400,
      'invalid_variable',
      'prompt.variables.times',
    ],
    ['REQ-13', { input: 'x', model: 'unheard-of' }, 404, 'model_not_found', 'model'],
    ['REQ-14', { input: 'x', max_output_tokens: 101 }, 400, 'invalid_value', 'max_output_tokens'],
    ['REQ-15', { input: 'x', tool_choice: 'required' }, 400, 'invalid_value', 'tool_choice'],
    ['REQ-15', { input: 'x', tool_choice: { type: 'function', name: 'f' } }, 400, 'invalid_value', 'tool_choice'],
    [
      'REQ-16',
      { input: [{ type: 'function_call_output', call_id: 'c', output: 'x' }] },
      400,
      'unknown_call_id',
      'input[0].call_id',
    ],
    ['REQ-17', { input: 'x', metadata: { k: 'v'.repeat(513) } }, 400, 'invalid_value', 'metadata.k'],
    [
      'REQ-17',
      { input: 'x', metadata: Object.fromEntries(upTo(17).map((i) => [`k${i}`, 'v'])) },
      400,
      'invalid_value',
      'metadata',
    ],
    // `__proto__` is special in JavaScript: code that drops it silently would not return it
    // unchanged.
    ['REQ-17', { input: 'x', metadata: JSON.parse('{"__proto__":"v"}') as object }, 400, 'invalid_value', 'metadata'],
    [
      'REQ-10',
      { input: 'x', prompt: { id: 'greet', variables: JSON.parse('{"__proto__":"v"}') as object } },
      400,
      'invalid_value',
      'prompt.variables',
    ],
    [
      'REQ-18',
      { input: 'x', prompt: { id: 'greet', variables: Object.fromEntries(upTo(257).map((i) => [`k${i}`, 'v'])) } },
      400,
      'invalid_value',
      'prompt.variables',
    ],
    ['REQ-18', { input: upTo(1_001).map(() => user('x')) }, 400, 'invalid_value', 'input'],
    [
      'REQ-18',
      { input: 'x', tools: upTo(129).map((i) => ({ type: 'function', name: `f${i}` })) },
      400,
      'invalid_value',
      'tools',
    ],
    [
      'REQ-18',
      { input: 'x', tools: [{ type: 'function', name: 'f'.repeat(65) }] },
      400,
      'invalid_value',
      'tools[0].name',
    ],
    ['REQ-18', { input: 'x', conversation: 'c'.repeat(257) }, 400, 'invalid_value', 'conversation'],
    [
      'REQ-18',
      { input: 'x', tools: [{ type: 'function', name: 'f', parameters: nested(65) }] },
      400,
      'invalid_value',
      'tools[0].parameters',
    ],
    [
      'REQ-18',
      { input: [{ type: 'function_call', call_id: 'c'.repeat(65_537), name: 'f', arguments: '{}' }] },
      400,
      'invalid_value',
      'input[0].call_id',
    ],
    [
      'CONV-7',
      { input: 'x', previous_response_id: 'resp_unknown' },
      400,
      'previous_response_not_found',
      'previous_response_id',
    ],
    ['AUTH-2', { input: 'x', conversation: 'conv_unknown' }, 404, 'conversation_not_found', 'conversation'],
  ];
  for (const [rule, fields, status, code, param] of table) {
    const shown = JSON.stringify(fields).slice(0, 70);
    it(`refuses an invalid request by REST and by socket: ${shown} [${rule}]`, async () => {
      expect(await refusedOnBoth(fields)).toMatchObject({ status, code, param });
    });
  }

  // The check of rules reads titles from the source text.
  it('refuses an invalid request by one error with a path and a reason [REQ-3, REQ-5, REQ-6, REQ-7, REQ-8, REQ-9, REQ-10, REQ-14, REQ-15, REQ-16, REQ-17, REQ-18]', async () => {
    for (const [, fields] of table.slice(0, 3)) {
      const { message } = await refusedOnBoth(fields);
      expect(String(message)).toMatch(/^unable to create a response; .+/u);
    }
    const { message } = await refusedOnBoth({ input: 'x', temprature: 1 });
    expect(String(message)).toContain("'temperature'");
  });

  it('refuses an invalid request by a message that never repeats sent values [ERR-2]', async () => {
    const secret = 'MY-SECRET-TEXT';
    for (const fields of [
      { input: [user([{ type: secret }])] },
      { input: secret, temperature: secret },
      { input: secret, prompt: { id: 'greet', variables: { who: 'Ann', times: secret } } },
      { input: [{ type: 'function_call_output', call_id: secret, output: secret }] },
    ]) {
      expect(String((await refusedOnBoth(fields))['message'])).not.toContain(secret);
    }
  });

  it('refuses background or stream: false over a socket, and stream_id over REST [REQ-19, REQ-20]', async () => {
    const client = await harness.connect();
    for (const [fields, param] of [
      [{ background: true }, 'background'],
      [{ stream: false }, 'stream'],
    ] as const) {
      const [frame] = await client.run({ input: 'x', ...fields });
      expect(errorIn(frame)).toMatchObject({ code: 'unsupported_parameter', param });
    }
    const rest = await harness.post({ input: 'x', stream_id: 'a' });
    expect(rest.body['error']).toMatchObject({ code: 'unsupported_parameter', param: 'stream_id' });
    const unstored = await harness.post({ input: 'x', background: true, store: false });
    expect(unstored).toMatchObject({ status: 400, body: { error: { param: 'background' } } });
  });
});

describe('a valid request', () => {
  it('accepts as input a string, messages, or unchanged items of an earlier response [REQ-1, REQ-2]', async () => {
    harness.says('Former answer');
    const client = await harness.connect();
    const former = terminalOf(await client.run({ input: 'Former question' }));
    const items = [
      { role: 'user', content: 'Former question' },
      ...former.output,
      { type: 'message', role: 'developer', content: [{ type: 'input_text', text: 'Hint' }], id: 'msg_mine' },
      user([
        { type: 'input_text', text: 'Part one, ' },
        { type: 'input_text', text: 'part two' },
      ]),
    ];
    const asked = await acceptedOnBoth({ input: items });
    expect(promptOf(asked)).toEqual([
      'system: Be plain.',
      'user: Former question',
      'assistant: Former answer',
      expect.stringMatching(/^(?:developer|system): Hint$/u),
      'user: Part one, \npart two',
    ]);
    const response = terminalOf(await client.run({ input: items }));
    const { body } = await harness.api(`/v1/responses/${response.id}/input_items?order=asc`);
    const ids = (body['data'] as { id: string }[]).map(({ id }) => id);
    expect(new Set(ids).size).toBe(4);
    expect(ids).not.toContain('msg_mine');
    expect(ids).not.toContain(former.output[0]?.id);
  });

  it('accepts null for every optional field of a request [REQ-4]', async () => {
    const asked = await acceptedOnBoth({
      input: 'x',
      conversation: null,
      previous_response_id: null,
      prompt: null,
      instructions: null,
      model: null,
      temperature: null,
      top_p: null,
      max_output_tokens: null,
      tools: null,
      tool_choice: null,
      parallel_tool_calls: null,
      text: null,
      reasoning: { effort: null },
      metadata: null,
      store: null,
      user: null,
      safety_identifier: null,
    });
    expect(asked.body.model).toBe('fake-model');
  });

  it('accepts OpenAI’s fields without effect [REQ-6]', async () => {
    await acceptedOnBoth({
      input: 'x',
      truncation: 'disabled',
      include: [],
      service_tier: 'auto',
      prompt_cache_key: 'k',
      max_tool_calls: 3,
      top_logprobs: 0,
      text: { format: { type: 'text' }, verbosity: 'medium' },
    });
  });

  it('appends instructions to the prompt, renders variables once and user text never [REQ-9, REQ-11, REQ-12]', async () => {
    const asked = await acceptedOnBoth({
      input: 'Hello {{who}}',
      prompt: { id: 'shop/greet', variables: { who: '{{times}} {{who}}', times: 3 } },
      instructions: 'Speak like {{who}}.',
    });
    expect(promptOf(asked)).toEqual([
      'system: You greet {{times}} {{who}} 3 times.\n\nSpeak like {{who}}.',
      'user: Hello {{who}}',
    ]);
    const client = await harness.connect();
    const { sluice, prompt } = terminalOf(
      await client.run({ input: 'x', prompt: { id: 'greet', variables: { who: 'A' } } }),
    );
    expect(sluice.prompt).toEqual({ pack: 'shop', name: 'greet', version: '1.0.0' });
    expect(prompt).toEqual({ id: 'greet', version: null, variables: { who: 'A' } });
  });

  it('accepts the configured and listed models, and sampling fields [REQ-13, REQ-14]', async () => {
    expect((await acceptedOnBoth({ input: 'x', model: 'fake-model' })).body.model).toBe('fake-model');
    const asked = await acceptedOnBoth({ input: 'x', model: 'other-model', temperature: 0.5, top_p: 0.9 });
    expect(asked.body).toMatchObject({ model: 'other-model', temperature: 0.5, top_p: 0.9 });
    const tokens = async (fields: object): Promise<number | null> => {
      const client = await harness.connect();
      return terminalOf(await client.run({ input: 'x', ...fields })).max_output_tokens;
    };
    expect(await tokens({})).toBe(100);
    expect(await tokens({ max_output_tokens: 100 })).toBe(100);
    expect(await tokens({ max_output_tokens: 7 })).toBe(7);
    expect(await tokens({ prompt: { id: 'small' } })).toBe(20);
  });

  it('accepts function tools with their calls and outputs [REQ-15, REQ-16]', async () => {
    const tools = [{ type: 'function', name: 'f', description: 'does', parameters: { type: 'object' }, strict: true }];
    const asked = await acceptedOnBoth({
      input: [
        user('Call it'),
        { type: 'function_call', call_id: 'c1', name: 'f', arguments: '{"a":1}' },
        { type: 'function_call_output', call_id: 'c1', output: 'done' },
      ],
      tools,
      tool_choice: { type: 'function', name: 'f' },
      parallel_tool_calls: false,
    });
    expect(asked.body).toMatchObject({
      tools: [{ type: 'function', function: { name: 'f', description: 'does', strict: true } }],
      tool_choice: { type: 'function', function: { name: 'f' } },
      parallel_tool_calls: false,
    });
    expect(asked.body.messages.slice(-2)).toMatchObject([
      { role: 'assistant', tool_calls: [{ id: 'c1', function: { name: 'f', arguments: '{"a":1}' } }] },
      { role: 'tool', tool_call_id: 'c1', content: 'done' },
    ]);
  });

  it('accepts a request exactly at its bounds [REQ-17, REQ-18]', async () => {
    const metadata = Object.fromEntries(upTo(16).map((i) => [String(i).padEnd(64, 'k'), 'v'.repeat(512)]));
    const tools = upTo(128).map((i) => ({ type: 'function', name: `f${i}`, parameters: nested(63) }));
    await acceptedOnBoth({ input: upTo(1_000).map(() => user('x')), metadata, tools });
    const client = await harness.connect();
    expect(responseIn((await client.run({ input: 'x', metadata })).at(-1)).metadata).toEqual(metadata);
  });
});

describe('a request that the configuration does not allow', () => {
  let closed: GatewayHarness;
  beforeAll(async () => {
    closed = await GatewayHarness.start({
      config: {
        clients: {
          models: ['other-model'],
          allow: { instructions: false, model: false, tools: false, sampling: false },
        },
        middleware: { ...ONE_TRY, state: { enabled: false } },
      },
    });
  });
  afterEach(() => closed.hangUp());
  afterAll(() => closed.close());

  it('refuses a field that the configuration does not allow by name, unless it names the configured model [REQ-13]', async () => {
    for (const [fields, param] of [
      [{ instructions: 'x' }, 'instructions'],
      [{ model: 'other-model' }, 'model'],
      [{ tools: [{ type: 'function', name: 'f' }] }, 'tools'],
      [{ temperature: 1 }, 'temperature'],
      [{ top_p: 1 }, 'top_p'],
      [{ max_output_tokens: 5 }, 'max_output_tokens'],
      [{ reasoning: { effort: 'low' } }, 'reasoning.effort'],
    ] as const) {
      expect(await refusedOnBoth({ input: 'x', ...fields }, closed)).toMatchObject({
        status: 400,
        code: 'parameter_not_allowed',
        param,
      });
    }
    expect((await closed.post({ input: 'x', model: 'fake-model' })).body).toMatchObject({ status: 'completed' });
  });

  it('refuses a conversation and a chain if state is turned off [REQ-23]', async () => {
    for (const fields of [{ conversation: 'conv_1' }, { previous_response_id: 'resp_1' }]) {
      expect(await refusedOnBoth({ input: 'x', ...fields }, closed)).toMatchObject({
        code: 'parameter_not_allowed',
        param: Object.keys(fields)[0],
      });
    }
  });
});

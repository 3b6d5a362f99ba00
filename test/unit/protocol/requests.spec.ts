import { describe, expect, it } from '@jest/globals';

import { type SluiceError } from '../../../src/domain/errors.js';
import { type Item } from '../../../src/domain/item.js';
import { isReference } from '../../../src/domain/request.js';
import { type Edge, parseResponseRequest } from '../../../src/protocol/responses/requests.js';

const parse = (body: unknown, edge: Edge = 'rest') => parseResponseRequest(body, edge);

function refusal(body: unknown, edge: Edge = 'rest'): SluiceError {
  try {
    parse(body, edge);
  } catch (error) {
    // parseResponseRequest throws nothing else; another type fails the expectations on its fields.
    return error as SluiceError;
  }
  throw new Error('the request was not refused');
}

const nested = (levels: number): unknown => JSON.parse(`${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`);

describe('a request', () => {
  it('treats a plain string as a user message, stored and in the foreground', () => {
    const { request, stream } = parse({ input: 'hello' });
    expect(request).toEqual({
      input: [
        {
          type: 'message',
          id: expect.stringMatching(/^msg_[0-9a-f]{32}$/),
          role: 'user',
          status: 'completed',
          content: [{ type: 'input_text', text: 'hello' }],
        },
      ],
      store: true,
      background: false,
    });
    expect(stream).toBe(false);
  });

  it('accepts every supported field', () => {
    const { request, stream } = parse({
      input: 'x',
      conversation: { id: 'conv_1' },
      prompt: {
        id: 'support',
        version: '1.0.0',
        variables: { name: 'Ann', n: 1, vip: true, note: { type: 'input_text', text: 't' } },
      },
      instructions: 'be brief',
      model: 'gpt-4o',
      temperature: 0,
      top_p: 1,
      max_output_tokens: 5,
      tools: [
        { type: 'function', name: 'f', description: null, parameters: { type: 'object', default: null }, strict: true },
      ],
      tool_choice: { type: 'function', name: 'f' },
      parallel_tool_calls: false,
      text: { format: { type: 'json_schema', name: 's', schema: { enum: [null] }, strict: null } },
      reasoning: { effort: 'low' },
      metadata: { a: 'b' },
      store: false,
      stream: true,
      user: 'u',
      safety_identifier: 's',
    });
    const { input: _input, ...rest } = request;
    expect(rest).toEqual({
      conversation: 'conv_1',
      prompt: { id: 'support', version: '1.0.0', variables: { name: 'Ann', n: 1, vip: true, note: 't' } },
      instructions: 'be brief',
      model: 'gpt-4o',
      temperature: 0,
      topP: 1,
      maxOutputTokens: 5,
      tools: [{ type: 'function', name: 'f', parameters: { type: 'object', default: null }, strict: true }],
      toolChoice: { type: 'function', name: 'f' },
      parallelToolCalls: false,
      textFormat: { type: 'json_schema', name: 's', schema: { enum: [null] } },
      reasoningEffort: 'low',
      metadata: { a: 'b' },
      store: false,
      background: false,
      user: 'u',
      safetyIdentifier: 's',
    });
    expect(stream).toBe(true);
  });

  it('treats null like an absent field', () => {
    const names = [
      ...['conversation', 'previous_response_id', 'prompt', 'instructions', 'model', 'temperature', 'top_p', 'tools'],
      ...['max_output_tokens', 'tool_choice', 'parallel_tool_calls', 'text', 'reasoning', 'metadata', 'store', 'user'],
      ...['background', 'stream', 'safety_identifier', 'truncation', 'include', 'service_tier', 'max_tool_calls'],
      ...['stream_id', 'moderation', 'context_management'],
    ];
    const { request } = parse({ input: 'x', ...Object.fromEntries(names.map((name) => [name, null])) });
    expect(Object.keys(request).sort()).toEqual(['background', 'input', 'store']);
    expect(parse({ input: 'x', prompt: { id: 'p', version: null, variables: null } }).request.prompt).toEqual({
      id: 'p',
    });
    expect(parse({ input: 'x', reasoning: { effort: null, summary: null } }).request.reasoningEffort).toBeUndefined();
  });

  it.each([
    { truncation: 'disabled' },
    { include: [] },
    { include: ['reasoning.encrypted_content', 'web_search_call.action.sources'] },
    { service_tier: 'auto' },
    { service_tier: 'flex' },
    { prompt_cache_retention: '24h' },
    { top_logprobs: 0 },
    { stream_options: { include_obfuscation: false } },
    { context_management: [] },
    { text: { verbosity: 'medium' } },
    { reasoning: { context: 'auto', mode: 'standard' } },
  ])('accepts %j without effect', (field) => {
    expect(Object.keys(parse({ input: 'x', ...field }).request).sort()).toEqual(['background', 'input', 'store']);
  });

  it.each<[object, string, string]>([
    [{ truncation: 'middle' }, 'unsupported_parameter', 'truncation'],
    [{ include: ['message.output_text.probabilities'] }, 'unsupported_parameter', 'include'],
    [{ top_logprobs: 21 }, 'invalid_value', 'top_logprobs'],
    [{ moderation: { model: 'm' } }, 'unsupported_parameter', 'moderation'],
    [{ prompt_cache_retention: '1h' }, 'unsupported_parameter', 'prompt_cache_retention'],
    [{ stream_options: { include_obfuscation: 'yes' } }, 'unsupported_parameter', 'stream_options'],
    [{ reasoning: { summary: 'long' } }, 'unsupported_parameter', 'reasoning.summary'],
    [{ tools: [{ type: 'web_search' }] }, 'unsupported_parameter', 'tools[0].type'],
    [{ tool_choice: { type: 'allowed_tools', mode: 'auto', tools: [] } }, 'invalid_value', 'tool_choice.tools'],
    [{ tool_choice: { type: 'web_search' } }, 'unsupported_parameter', 'tool_choice.type'],
    [{ stream_id: 'lane' }, 'unsupported_parameter', 'stream_id'],
    [{ temprature: 1 }, 'unknown_parameter', 'temprature'],
    [{ text: { fromat: { type: 'text' } } }, 'unknown_parameter', 'text.fromat'],
    [JSON.parse('{"__proto__": {"x": 1}}') as object, 'unknown_parameter', '__proto__'],
    [{ temperature: 2.1 }, 'invalid_value', 'temperature'],
    [{ temperature: 'hot' }, 'invalid_value', 'temperature'],
    [{ top_p: -1 }, 'invalid_value', 'top_p'],
    [{ max_output_tokens: 0 }, 'invalid_value', 'max_output_tokens'],
    [{ max_output_tokens: 1.5 }, 'invalid_value', 'max_output_tokens'],
    [{ model: '' }, 'invalid_value', 'model'],
    [{ store: 'yes' }, 'invalid_value', 'store'],
    [{ conversation: {} }, 'missing_required_parameter', 'conversation.id'],
    [{ conversation: 7 }, 'invalid_value', 'conversation'],
    [{ conversation: 'conv_1', previous_response_id: 'resp_1' }, 'invalid_value', 'previous_response_id'],
    [{ metadata: { a: 1 } }, 'invalid_value', 'metadata.a'],
    [{ metadata: { a: 'x'.repeat(513) } }, 'invalid_value', 'metadata.a'],
    [{ metadata: { ['k'.repeat(65)]: 'x' } }, 'invalid_value', 'metadata'],
    [
      { metadata: Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`k${i}`, ''])) },
      'invalid_value',
      'metadata',
    ],
    [{ tools: [{ type: 'function', name: 'a b', parameters: {} }] }, 'invalid_value', 'tools[0].name'],
    [
      {
        tools: [
          { type: 'function', name: 'f' },
          { type: 'function', name: 'f' },
        ],
      },
      'invalid_value',
      'tools[1].name',
    ],
    [{ tools: [{ type: 'function', name: 'f', parameters: nested(65) }] }, 'invalid_value', 'tools[0].parameters'],
    [{ tools: [{ name: 'f' }] }, 'missing_required_parameter', 'tools[0].type'],
    [{ tool_choice: 'maybe' }, 'invalid_value', 'tool_choice'],
    [{ text: { format: { type: 'json_schema', name: 's' } } }, 'missing_required_parameter', 'text.format.schema'],
    [{ text: { format: { type: 'xml' } } }, 'invalid_value', 'text.format.type'],
    [{ reasoning: { effort: 'much' } }, 'invalid_value', 'reasoning.effort'],
    [{ prompt: {} }, 'missing_required_parameter', 'prompt.id'],
    [
      { prompt: { id: 'p', variables: { v: { type: 'input_image', file_id: 'f' } } } },
      'unsupported_content',
      'prompt.variables.v.type',
    ],
    [{ background: true, store: false }, 'invalid_value', 'background'],
  ])('refuses %j with its code and param', (field, code, param) => {
    const error = refusal({ input: 'x', ...field });
    expect([error.code, error.param, error.status]).toEqual([code, param, 400]);
    expect(error.message).toMatch(/^unable to create a response; /);
  });

  it('names the nearest field for a misspelt one', () => {
    expect(refusal({ input: 'x', temprature: 1 }).message).toContain("did you mean 'temperature'?");
  });

  it.each([[[]], ['text'], [null], [undefined], [3]])('refuses a body that is not an object: %j', (body) => {
    expect(refusal(body).code).toBe('invalid_request');
  });

  it('requires input unless it continues from a response or conversation', () => {
    expect(refusal({}).code).toBe('missing_required_parameter');
    expect(refusal({ input: '' }).code).toBe('invalid_value');
    expect(refusal({ input: '', conversation: 'conv_1' }).param).toBe('input');
    expect(refusal({ input: [] }).param).toBe('input');
    expect(parse({ previous_response_id: 'resp_1' }).request.input).toEqual([]);
    expect(parse({ input: [], conversation: 'conv_1' }).request.input).toEqual([]);
  });

  it('always streams on a socket and never runs in the background', () => {
    expect(parse({ input: 'x', stream: true, background: false }, 'socket').stream).toBe(true);
    expect(parse({ input: 'x' }, 'socket').stream).toBe(true);
    expect(refusal({ input: 'x', background: true }, 'socket').param).toBe('background');
    expect(refusal({ input: 'x', stream: false }, 'socket').param).toBe('stream');
  });

  it('never repeats a value of the request in an error', () => {
    const secret = 'hunter2-secret';
    const bodies = [
      { input: [{ type: secret }] },
      { input: [{ role: secret, content: 'x' }] },
      { input: 'x', tool_choice: secret },
      { input: 'x', model: [secret] },
      { input: 'x', metadata: { a: [secret] } },
      { input: 'x', include: [secret] },
    ];
    for (const body of bodies) expect(refusal(body).message).not.toContain(secret);
  });

  it('truncates a long unknown name in the message', () => {
    const error = refusal({ input: 'x', ['k'.repeat(10_000)]: 1 });
    expect(error.message.length).toBeLessThan(300);
    expect(error.param?.length).toBeLessThan(100);
  });
});

describe('input items', () => {
  const items = (input: unknown): readonly Item[] =>
    parse({ input }).request.input.filter((item): item is Item => !isReference(item));

  it('accepts short messages of every role, with a string or with parts', () => {
    const [system, user, assistant] = items([
      { role: 'developer', content: 'd' },
      { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'u' }] },
      { role: 'assistant', content: 'a' },
    ]);
    expect(system).toMatchObject({ type: 'message', role: 'developer', content: [{ type: 'input_text', text: 'd' }] });
    expect(user).toMatchObject({ role: 'user', content: [{ type: 'input_text', text: 'u' }] });
    expect(assistant).toMatchObject({
      role: 'assistant',
      content: [{ type: 'output_text', text: 'a', annotations: [], logprobs: [] }],
    });
  });

  it('accepts items of an earlier output unchanged and assigns ids to them', () => {
    const output = [
      {
        type: 'message',
        id: 'msg_old',
        role: 'assistant',
        status: 'incomplete',
        phase: null,
        content: [
          { type: 'output_text', text: 't', annotations: [{ type: 'url_citation' }], logprobs: [], parsed: null },
          { type: 'refusal', refusal: 'r' },
        ],
      },
      {
        type: 'function_call',
        id: 'fc_old',
        call_id: 'c',
        name: 'f',
        arguments: '{}',
        status: 'completed',
        parsed_arguments: {},
      },
      {
        type: 'function_call_output',
        call_id: 'c',
        output: [
          { type: 'input_text', text: 'a' },
          { type: 'input_text', text: 'b' },
        ],
      },
    ];
    const read = items(output);
    expect(read).toEqual([
      {
        type: 'message',
        id: expect.stringMatching(/^msg_[0-9a-f]{32}$/),
        role: 'assistant',
        status: 'incomplete',
        content: [
          { type: 'output_text', text: 't', annotations: [], logprobs: [] },
          { type: 'refusal', refusal: 'r' },
        ],
      },
      {
        type: 'function_call',
        id: expect.stringMatching(/^fc_[0-9a-f]{32}$/),
        call_id: 'c',
        name: 'f',
        arguments: '{}',
        status: 'completed',
      },
      {
        type: 'function_call_output',
        id: expect.stringMatching(/^fco_[0-9a-f]{32}$/),
        call_id: 'c',
        output: 'a\nb',
        status: 'completed',
      },
    ]);
    expect(items(output).map((item) => item.id)).not.toEqual(read.map((item) => item.id));
  });

  it.each<[unknown, string, string]>([
    [4, 'invalid_value', 'input'],
    [[4], 'invalid_value', 'input[0]'],
    [[null], 'missing_required_parameter', 'input[0]'],
    [[{}], 'missing_required_parameter', 'input[0].type'],
    [[{ type: 'novel' }], 'invalid_value', 'input[0].type'],
    [[{ type: 'item_reference' }], 'missing_required_parameter', 'input[0].id'],
    [[{ type: 'item_reference', id: 'msg_1', text: 'x' }], 'unknown_parameter', 'input[0].text'],
    [[{ type: 'web_search_call', id: 'w' }], 'unsupported_content', 'input[0].type'],
    [[{ role: 'user' }], 'missing_required_parameter', 'input[0].content'],
    [[{ role: 'king', content: 'x' }], 'invalid_value', 'input[0].role'],
    [[{ role: 'user', content: 'x', nmae: 'y' }], 'unknown_parameter', 'input[0].nmae'],
    [
      [
        {
          role: 'user',
          content: [
            { type: 'input_text', text: 'a' },
            { type: 'input_image', image_url: 'u' },
          ],
        },
      ],
      'invalid_value',
      'input[0].content[1].image_url',
    ],
    [[{ role: 'user', content: [{ type: 'input_audio' }] }], 'unsupported_content', 'input[0].content[0].type'],
    [
      [{ role: 'system', content: [{ type: 'input_image', image_url: 'https://a.invalid/b' }] }],
      'invalid_value',
      'input[0].content[0].type',
    ],
    [
      [{ role: 'assistant', content: [{ type: 'input_image', image_url: 'https://a.invalid/b' }] }],
      'invalid_value',
      'input[0].content[0].type',
    ],
    [[{ role: 'user', content: [{ type: 'output_text', text: 'a' }] }], 'invalid_value', 'input[0].content[0].type'],
    [[{ role: 'user', content: [{ type: 'input_text' }] }], 'missing_required_parameter', 'input[0].content[0].text'],
    [[{ type: 'function_call', call_id: 'c', name: 'f' }], 'missing_required_parameter', 'input[0].arguments'],
    [[{ type: 'function_call_output', output: 'x' }], 'missing_required_parameter', 'input[0].call_id'],
    [
      [{ type: 'function_call_output', call_id: 'c', output: [{ type: 'input_file', file_id: 'f' }] }],
      'unsupported_parameter',
      'input[0].output[0].file_id',
    ],
    [Array.from({ length: 1001 }, () => ({ role: 'user', content: 'x' })), 'invalid_value', 'input'],
  ])('refuses %j with its code and param', (input, code, param) => {
    const error = refusal({ input });
    expect([error.code, error.param]).toEqual([code, param]);
  });
});

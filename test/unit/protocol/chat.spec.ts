/*
 * Chat completions on the wire: each field is handled, messages become items, and what Sluice sends
 * fits the client's types.
 */

import { describe, expect, it } from '@jest/globals';
import {
  type ChatCompletion as WireCompletion,
  type ChatCompletionChunk as WireChunk,
  type ChatCompletionCreateParams,
  type ChatCompletionMessageParam,
} from 'openai/resources/chat/completions';
import { SluiceError } from '../../../src/domain/errors.js';
import { type ResponseEvent } from '../../../src/domain/event.js';
import { type ResponseObject, ZERO_USAGE } from '../../../src/domain/response.js';
import {
  type ChatChunk,
  ChatChunkWriter,
  type ChatCompletion,
  chatCompletion,
} from '../../../src/protocol/chat/chat-events.js';
import { errorBody, FailedTurn, retryHeaders } from '../../../src/protocol/errors.js';
import { CHAT_FIELDS, inChatWords, parseChatRequest } from '../../../src/protocol/chat/chat-requests.js';

type Plain<T> = T extends readonly (infer Each)[]
  ? Plain<Each>[]
  : T extends object
    ? { -readonly [Key in keyof T]: Plain<T[Key]> }
    : T;
type Assignable<From extends To, To> = [From, To];

export type CompletionsAreOpenAis = Assignable<Plain<Omit<ChatCompletion, 'sluice'>>, WireCompletion>;
/** OpenAI's own type omits that `usage` is null in all chunks but the last. */
export type ChunksAreOpenAis = Assignable<
  Plain<Omit<ChatChunk, 'sluice' | 'usage'>> & { usage?: NonNullable<ChatChunk['usage']> },
  WireChunk
>;

/** Every field that the client can send. The compiler reports a field that a new version adds. */
const THEIRS: Readonly<Record<keyof ChatCompletionCreateParams, true>> = {
  audio: true,
  frequency_penalty: true,
  function_call: true,
  functions: true,
  logit_bias: true,
  logprobs: true,
  max_completion_tokens: true,
  max_tokens: true,
  messages: true,
  metadata: true,
  modalities: true,
  model: true,
  moderation: true,
  n: true,
  parallel_tool_calls: true,
  prediction: true,
  presence_penalty: true,
  prompt_cache_key: true,
  prompt_cache_options: true,
  prompt_cache_retention: true,
  reasoning_effort: true,
  response_format: true,
  safety_identifier: true,
  seed: true,
  service_tier: true,
  stop: true,
  store: true,
  stream: true,
  stream_options: true,
  temperature: true,
  tool_choice: true,
  tools: true,
  top_logprobs: true,
  top_p: true,
  user: true,
  verbosity: true,
  web_search_options: true,
};

const HI: ChatCompletionMessageParam = { role: 'user', content: 'Hi' };
const parse = (fields: object) => parseChatRequest({ messages: [HI], ...fields });
const refusalOf = (body: unknown): SluiceError => {
  try {
    parseChatRequest(body);
  } catch (error) {
    if (error instanceof SluiceError) return error;
    throw error;
  }
  throw new Error('it was accepted');
};

describe('chat completion fields', () => {
  it('knows all chat completion fields of the official client, and `prompt`', () => {
    expect([...CHAT_FIELDS].sort()).toEqual([...Object.keys(THEIRS), 'prompt'].sort());
  });

  it.each([
    { n: 1, stop: [], store: false, seed: null, logprobs: false, top_logprobs: 0, logit_bias: {}, functions: [] },
    { frequency_penalty: 0, presence_penalty: 0, modalities: ['text'], verbosity: 'medium', service_tier: 'auto' },
    { prediction: { type: 'content', content: 'x' }, audio: null, web_search_options: null },
  ])('accepts without effect: %j', (fields) => {
    const { request } = parse(fields);
    expect(Object.keys(request).sort()).toEqual(['background', 'input', 'store']);
  });

  it.each<[object, string, string?]>([
    [{ n: 2 }, 'n'],
    [{ store: true }, 'store'],
    [{ modalities: ['text', 'audio'] }, 'modalities'],
    [{ functions: [{ name: 'f' }] }, 'functions'],
    [{ function_call: 'auto' }, 'function_call'],
    [{ web_search_options: {} }, 'web_search_options'],
    [{ tools: [{ type: 'custom', custom: { name: 'x' } }] }, 'tools[0].type'],
    [{ tool_choice: { type: 'custom' } }, 'tool_choice.type'],
    [
      { stream: true, stream_options: { include_obfuscation: 'yes' } },
      'stream_options.include_obfuscation',
      'invalid_value',
    ],
    [{ stream_options: {} }, 'stream_options', 'invalid_value'],
    [{ top_logprobs: 2 }, 'top_logprobs', 'invalid_value'],
    [{ logprobs: true, top_logprobs: 21 }, 'top_logprobs', 'invalid_value'],
    [{ max_tokens: 5, max_completion_tokens: 6 }, 'max_tokens', 'invalid_value'],
    [
      { response_format: { type: 'json_schema', json_schema: { name: 'x' } } },
      'response_format.json_schema.schema',
      'missing_required_parameter',
    ],
    [
      {
        tools: [
          { type: 'function', function: { name: 'f' } },
          { type: 'function', function: { name: 'f' } },
        ],
      },
      'tools[1].function.name',
      'invalid_value',
    ],
    [{ tempreature: 1 }, 'tempreature', 'unknown_parameter'],
  ])('refuses %j with its name and the reason', (fields, param, code = 'unsupported_parameter') => {
    const { message, ...refusal } = refusalOf({ messages: [HI], ...fields });
    expect(refusal).toMatchObject({ status: 400, code, param });
    expect(message).toMatch(/^unable to create a chat completion; /u);
  });

  it('converts chat completion fields to a request that is not stored', () => {
    const schema = { type: 'object' };
    const { request, stream, includeUsage } = parse({
      model: 'm',
      max_tokens: 5,
      max_completion_tokens: 5,
      temperature: 0.5,
      top_p: 0.25,
      reasoning_effort: 'low',
      parallel_tool_calls: false,
      tools: [{ type: 'function', function: { name: 'f', description: 'd', parameters: schema, strict: true } }],
      tool_choice: { type: 'function', function: { name: 'f' } },
      response_format: { type: 'json_schema', json_schema: { name: 'n', schema, strict: true } },
      prompt: { id: 'support', variables: { name: 'Ann' } },
      metadata: { k: 'v' },
      user: 'u',
      safety_identifier: 's',
      stream: true,
      stream_options: { include_usage: true },
    });
    expect([stream, includeUsage]).toEqual([true, true]);
    const { input: _input, ...rest } = request;
    expect(rest).toEqual({
      store: false,
      background: false,
      model: 'm',
      maxOutputTokens: 5,
      temperature: 0.5,
      topP: 0.25,
      reasoningEffort: 'low',
      parallelToolCalls: false,
      tools: [{ type: 'function', name: 'f', description: 'd', parameters: schema, strict: true }],
      toolChoice: { type: 'function', name: 'f' },
      textFormat: { type: 'json_schema', name: 'n', schema, strict: true },
      prompt: { id: 'support', variables: { name: 'Ann' } },
      metadata: { k: 'v' },
      user: 'u',
      safetyIdentifier: 's',
    });
  });
});

describe('chat completion messages', () => {
  it('converts chat completion messages to items, and those of the system to instructions', () => {
    const { request } = parseChatRequest({
      messages: [
        { role: 'system', content: 'One.' },
        HI,
        {
          role: 'assistant',
          content: [
            { type: 'text', text: 'Hello' },
            { type: 'refusal', refusal: 'no' },
          ],
          tool_calls: [{ id: 'c1', type: 'function', function: { name: 'f', arguments: '{}' } }],
        },
        { role: 'developer', content: [{ type: 'text', text: 'Two.' }] },
        { role: 'tool', tool_call_id: 'c1', content: [{ type: 'text', text: 'done' }] },
        { role: 'assistant', content: '' },
      ],
    });
    expect(request.instructions).toBe('One.\n\nTwo.');
    const text = { type: 'output_text', text: 'Hello', annotations: [], logprobs: [] };
    expect(request.input).toMatchObject([
      { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'Hi' }] },
      { type: 'message', role: 'assistant', content: [text, { type: 'refusal', refusal: 'no' }] },
      { type: 'function_call', call_id: 'c1', name: 'f', arguments: '{}' },
      { type: 'function_call_output', call_id: 'c1', output: 'done' },
    ]);
  });

  it.each<[unknown, string, string]>([
    [{ role: 'function', name: 'f', content: 'x' }, 'messages[0].role', 'unsupported_parameter'],
    [{ role: 'user', content: [{ type: 'input_audio' }] }, 'messages[0].content[0].type', 'unsupported_content'],
    [{ role: 'user' }, 'messages[0].content', 'missing_required_parameter'],
    [{ role: 'assistant' }, 'messages[0].content', 'missing_required_parameter'],
    [{ role: 'tool', content: 'x', tool_call_id: 'c' }, 'messages[0].tool_call_id', 'unknown_call_id'],
    [{ role: 'narrator', content: 'x' }, 'messages[0].role', 'invalid_value'],
    [
      { role: 'assistant', tool_calls: [{ type: 'custom', id: 'c' }] },
      'messages[0].tool_calls[0].type',
      'unsupported_parameter',
    ],
  ])('refuses %j', (message, param, code) => {
    expect(refusalOf({ messages: [message] })).toMatchObject({ param, code });
  });

  it('translates a refusal into the words of chat completions', () => {
    const refusal = (param: string): SluiceError =>
      inChatWords(new SluiceError('parameter_not_allowed', `unable to accept ${param}; no`, { param }));
    expect(refusal('instructions')).toMatchObject({
      param: 'messages',
      message: 'unable to accept system and developer messages; no',
    });
    expect(refusal('max_output_tokens').param).toBe('max_completion_tokens');
    expect(refusal('model').message).toBe('unable to accept model; no');
  });
});

// Only the fields that shapes are made of; the rest of the response does not matter here.
const response = (fields: Partial<ResponseObject> = {}): ResponseObject =>
  ({
    id: 'resp_1',
    created_at: 7,
    model: 'm',
    status: 'completed',
    incomplete_details: null,
    error: null,
    output: [],
    usage: ZERO_USAGE,
    sluice: { findings: [] },
    ...fields,
  }) as unknown as ResponseObject;
const finish = (fields: Partial<ResponseObject>) => chatCompletion(response(fields)).choices[0]?.finish_reason;
const call = (index: number): ResponseObject['output'][number] => ({
  type: 'function_call',
  id: `fc_${index}`,
  call_id: `c${index}`,
  name: 'f',
  arguments: '{}',
  status: 'completed',
});

describe('chat completion answers', () => {
  it('ends a chat completion with the finish reason of the response', () => {
    const deny = { guardrail: 'g', stage: 'input', decision: 'deny', reason: 'r' } as const;
    const sluice = { ...response().sluice, findings: [deny] };
    expect(finish({})).toBe('stop');
    expect(finish({ output: [call(0)] })).toBe('tool_calls');
    expect(finish({ incomplete_details: { reason: 'max_output_tokens' } })).toBe('length');
    expect(finish({ incomplete_details: { reason: 'cancelled' } })).toBe('length');
    expect(finish({ incomplete_details: { reason: 'content_filter' } })).toBe('content_filter');
    expect(finish({ sluice })).toBe('content_filter');
  });

  it('gives a chat completion the id of its response, and no usage if nothing was counted', () => {
    const { id, usage, choices } = chatCompletion(response({ usage: null }));
    expect([id, usage, choices[0]?.message.content]).toEqual(['chatcmpl_1', undefined, null]);
  });

  it('gives a failed turn the HTTP status of its code, and 502 for an error of the provider [CHAT-3, REST-6]', () => {
    const failed = (code: string) => new FailedTurn(response({ error: { code, message: 'unable to x; y' } }));
    expect(failed('context_length_exceeded')).toMatchObject({ status: 400, retryable: false });
    expect(failed('provider_timeout')).toMatchObject({ status: 504, code: 'provider_timeout', type: 'server_error' });
    expect(failed('rate_limit_exceeded')).toMatchObject({ status: 429, type: 'rate_limit_error' });
    expect(failed('provider_unavailable')).toMatchObject({ status: 503 });
    expect(failed('provider_refused')).toMatchObject({ status: 502 });
    expect(failed('server_error')).toMatchObject({ status: 502 });
    expect(failed('toString')).toMatchObject({ status: 502, code: 'server_error' });
  });

  it('requests that clients do not repeat a turn that ran, and says when to retry [ERR-3]', () => {
    const retry = { retryable: true, after_ms: 7_000 };
    const limited = response({ error: { code: 'rate_limit_exceeded', message: 'unable to x; y' } });
    const failed = new FailedTurn({ ...limited, sluice: { ...limited.sluice, retry } });
    expect(retryHeaders(failed)).toEqual({ 'x-should-retry': 'false', 'retry-after': '7', 'retry-after-ms': '7000' });
    const unknown = new FailedTurn({ ...limited, error: { code: 'provider_unavailable', message: 'unable to x; y' } });
    expect(retryHeaders(unknown)).toEqual({ 'x-should-retry': 'false' });
    expect(errorBody(failed)).toMatchObject({ error: { code: 'rate_limit_exceeded', response_id: limited.id } });
  });
});

describe('chat completion chunks', () => {
  const chunksOf = (events: readonly ResponseEvent[], includeUsage = false): ChatChunk[] => {
    const chunks = new ChatChunkWriter(includeUsage);
    return events.flatMap((event) => chunks.take(event));
  };
  const created: ResponseEvent = { type: 'response.created', response: response({ status: 'in_progress' }) };
  const added = (index: number): ResponseEvent => ({
    type: 'response.output_item.added',
    output_index: index,
    item: { ...call(index), status: 'in_progress' },
  });
  const args = (index: number, delta: string): ResponseEvent => ({
    type: 'response.function_call_arguments.delta',
    item_id: `fc_${index}`,
    output_index: index,
    delta,
  });

  it('numbers calls in chunks from 0 at any place in the output', () => {
    const deltas = chunksOf([created, added(1), args(1, '{}'), added(4), args(4, '[]'), args(1, '!')]).map(
      (chunk) => chunk.choices[0]?.delta,
    );
    expect(deltas).toEqual([
      { role: 'assistant', content: '', refusal: null },
      { tool_calls: [{ index: 0, id: 'c1', type: 'function', function: { name: 'f', arguments: '' } }] },
      { tool_calls: [{ index: 0, function: { arguments: '{}' } }] },
      { tool_calls: [{ index: 1, id: 'c4', type: 'function', function: { name: 'f', arguments: '' } }] },
      { tool_calls: [{ index: 1, function: { arguments: '[]' } }] },
      { tool_calls: [{ index: 0, function: { arguments: '!' } }] },
    ]);
  });

  it('begins and ends an answer without text in chunks', () => {
    const chunks = chunksOf([created, { type: 'response.completed', response: response() }], true);
    expect(chunks).toMatchObject([
      { usage: null, choices: [{ delta: { role: 'assistant' }, finish_reason: null }] },
      { usage: null, choices: [{ delta: {}, finish_reason: 'stop' }], sluice: { response_id: 'resp_1' } },
      { usage: { prompt_tokens: 0 }, choices: [] },
    ]);
  });

  it('sends the error of a failed turn in a chunk', () => {
    const chunks = new ChatChunkWriter(false);
    chunks.take(created);
    const failed = response({ status: 'failed', error: { code: 'provider_error', message: 'unable to x; y' } });
    expect(() => chunks.take({ type: 'response.failed', response: failed })).toThrow(FailedTurn);
  });
});

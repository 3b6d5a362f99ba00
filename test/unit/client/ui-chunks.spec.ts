/* The translation of a response's events to chunks of an AI SDK message. */

import { describe, expect, it } from '@jest/globals';
import { type OutputItem, type ResponseObject, type WireEvent } from '../../../client/src/api.js';
import { finishReasonOf, UiChunks } from '../../../client/src/ui-chunks.js';

const delta = (text: string, fields: object = {}): WireEvent => ({
  type: 'response.output_text.delta',
  item_id: 'msg_1',
  content_index: 0,
  delta: text,
  ...fields,
});
const message = (text: string, status = 'completed', type = 'output_text'): OutputItem => ({
  type: 'message',
  id: 'msg_1',
  status,
  content: [type === 'refusal' ? { type, refusal: text } : { type, text }],
});
const call = (args: string, status = 'completed'): OutputItem => ({
  type: 'function_call',
  id: 'fc_1',
  call_id: 'call_1',
  name: 'f',
  arguments: args,
  status,
});
// Only these fields are read.
const response = (output: readonly OutputItem[], fields: object = {}): ResponseObject =>
  ({ status: 'completed', output, incomplete_details: null, ...fields }) as unknown as ResponseObject;

/** Chunks in words: `text-delta Hi`. */
function words(chunks: readonly object[]): string[] {
  return chunks.map((chunk) => {
    const { type, delta: text, inputTextDelta, input, errorText } = chunk as Record<string, unknown>;
    const said = text ?? inputTextDelta ?? errorText ?? (input === undefined ? '' : JSON.stringify(input));
    return `${String(type)} ${String(said)}`.trim();
  });
}

describe('text', () => {
  it('sends text once though the item and the response repeat it', () => {
    const chunks = new UiChunks();
    expect(words(chunks.take(delta('Hel')))).toEqual(['text-start', 'text-delta Hel']);
    expect(words(chunks.take(delta('lo')))).toEqual(['text-delta lo']);
    expect(words(chunks.take({ type: 'response.output_item.done', item: message('Hello') }))).toEqual(['text-end']);
    expect(chunks.catchUp(response([message('Hello')]), true)).toEqual([]);
  });

  it('completes text from a snapshot, and ignores an older one', () => {
    const chunks = new UiChunks();
    chunks.take(delta('Hel'));
    expect(words(chunks.catchUp(response([message('Hello', 'in_progress')]), false))).toEqual(['text-delta lo']);
    expect(chunks.catchUp(response([message('Hel', 'in_progress')]), false)).toEqual([]);
    expect(words(chunks.take(delta('!')))).toEqual(['text-delta !']);
  });

  it('replaces text if the stored answer differs', () => {
    const chunks = new UiChunks();
    chunks.take(delta('Hello'));
    expect(words(chunks.catchUp(response([message('Good bye')]), true))).toEqual([
      'reset-step',
      'text-start',
      'text-delta Good bye',
      'text-end',
    ]);
  });

  it('marks the text of a refusal', () => {
    const refusal = new UiChunks().catchUp(response([message('No.', 'completed', 'refusal')]), true);
    expect(refusal[0]).toMatchObject({ type: 'text-start', providerMetadata: { sluice: { refusal: true } } });
    expect(words(refusal)).toEqual(['text-start', 'text-delta No.', 'text-end']);
  });
});

it('sends reasoning apart from text, each summary as a part of its own', () => {
  const chunks = new UiChunks();
  const summary = (index: number, text: string): WireEvent => ({
    ...delta(text, { item_id: 'rs_1', summary_index: index }),
    type: 'response.reasoning_summary_text.delta',
  });
  const ids = [summary(0, 'a'), summary(1, 'b')]
    .flatMap((event) => chunks.take(event))
    .map((chunk) => Object(chunk).id);
  expect(new Set(ids)).toEqual(new Set(['rs_1/summary/0', 'rs_1/summary/1']));
  expect(words(chunks.take(delta('Hi')))).toEqual(['text-start', 'text-delta Hi']);
});

describe('a function call', () => {
  const argument = (text: string): WireEvent => ({
    type: 'response.function_call_arguments.delta',
    item_id: 'fc_1',
    delta: text,
  });

  it('streams the arguments of a function call under its call_id, and makes the call available once', () => {
    const chunks = new UiChunks();
    const started = chunks.take({ type: 'response.output_item.added', item: call('', 'in_progress') });
    expect(started).toEqual([{ type: 'tool-input-start', toolCallId: 'call_1', toolName: 'f' }]);
    expect(chunks.take(argument('{"a":'))).toMatchObject([{ toolCallId: 'call_1', inputTextDelta: '{"a":' }]);
    const done = chunks.take({ type: 'response.output_item.done', item: call('{"a":1}') });
    expect(words(done)).toEqual(['tool-input-delta 1}', 'tool-input-available {"a":1}']);
    expect(chunks.catchUp(response([call('{"a":1}')]), true)).toEqual([]);
  });

  it('reports function arguments that are no JSON as an error of that call', () => {
    expect(words(new UiChunks().catchUp(response([call('{"a"')]), true)).at(-1)).toMatch(/^tool-input-error The arg/u);
  });
});

it.each([
  [response([message('Hi')]), 'stop'],
  [response([call('{}')]), 'tool-calls'],
  [response([message('No', 'completed', 'refusal')]), 'content-filter'],
  [response([], { status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' } }), 'length'],
  [response([], { status: 'incomplete', incomplete_details: { reason: 'content_filter' } }), 'content-filter'],
  [response([], { status: 'cancelled', incomplete_details: { reason: 'cancelled' } }), 'other'],
])('names the reason of the end %#', (ended, reason) => expect(finishReasonOf(ended)).toBe(reason));

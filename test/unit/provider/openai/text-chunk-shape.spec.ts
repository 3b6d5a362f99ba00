/* The fast path of reading a chunk must give what a parse gives, or nothing. */

import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { parseChunk } from '../../../../src/provider/openai/chat-chunk.js';
import { TextChunkShape } from '../../../../src/provider/openai/text-chunk-shape.js';

function chunk(content: unknown, more: object = {}, choice: object = {}): string {
  return JSON.stringify({
    id: 'chatcmpl-1',
    object: 'chat.completion.chunk',
    model: 'gpt',
    choices: [{ index: 0, delta: { content }, logprobs: null, finish_reason: null, ...choice }],
    usage: null,
    ...more,
  });
}

function shapeOf(data: string): TextChunkShape {
  const shape = new TextChunkShape();
  shape.learn(data, parseChunk(data));
  return shape;
}

describe('TextChunkShape', () => {
  it('reads the text of a chunk that differs in nothing else', () => {
    expect(shapeOf(chunk(' first')).textOf(chunk(' second'))).toBe(' second');
  });

  it('never reads anything but what a parse reads', () => {
    const anyText = fc.string({ unit: fc.oneof(fc.constantFrom('"', '\\', '\n', 'é', '😀', '}', ',', ':', ' ', 'a')) });
    const anyChunk = fc
      .record({
        content: fc.oneof(anyText, fc.constant('probe'), fc.constant(null)),
        model: anyText,
        finish: fc.constantFrom(null, 'stop'),
        obfuscation: fc.option(anyText, { nil: undefined }),
      })
      .map(({ content, model, finish, obfuscation }) =>
        chunk(content, { model, obfuscation }, { finish_reason: finish }),
      );
    // Includes texts cut from chunks, so that a text looks like its surroundings.
    const likeAnother = fc
      .tuple(anyChunk, fc.nat(), fc.nat())
      .map(([text, a, b]) => chunk(text.slice(a % text.length, b % text.length)));
    const either = fc.oneof(anyChunk, likeAnother);
    fc.assert(
      fc.property(either, either, (learnt, read) => {
        const text = shapeOf(learnt).textOf(read);
        if (text === undefined) return;
        expect(parseChunk(read)).toMatchObject({ text, finishReason: null });
      }),
      { seed: 20_262, numRuns: 2_000 },
    );
  });

  it.each([
    ['an escape', chunk('a "quote"')],
    ['no text', chunk('')],
    ['another model', chunk('b', { model: 'other' })],
    ['an end', chunk('b', {}, { finish_reason: 'stop' })],
    ['a count', chunk('b', { usage: { prompt_tokens: 1, completion_tokens: 1 } })],
  ])('leaves a chunk with %s to the parser', (_, data) => {
    expect(shapeOf(chunk('a')).textOf(data)).toBeUndefined();
  });

  it.each([
    ['an error beside its text', chunk('a', { error: { message: 'no' } })],
    ['a tool call beside its text', chunk('a', {}, { delta: { content: 'a', tool_calls: [{ index: 0 }] } })],
    ['a second answer', JSON.stringify({ choices: [{ index: 1, delta: { content: 'a' } }] })],
    [
      'the same text before it',
      JSON.stringify({ echo: { content: 'a' }, choices: [{ index: 0, delta: { content: 'a' } }] }),
    ],
    ['an escape', chunk('a\n')],
  ])('takes no shape from a chunk with %s', (_, data) => {
    expect(shapeOf(data).textOf(data)).toBeUndefined();
  });

  it('reads past the padding that OpenAI adds', () => {
    const shape = shapeOf(chunk(' first', { obfuscation: 'aB3' }));
    expect(shape.textOf(chunk(' second', { obfuscation: '' }))).toBe(' second');
    expect(shape.textOf(chunk(' third', { obfuscation: 'x"y' }))).toBeUndefined();
    expect(shape.textOf(chunk(' fourth', { obfuscation: 'xy', usage: {} }))).toBeUndefined();
  });
});

/*
 * Log probabilities are given for exactly the text that they belong to, and for no more than fit.
 */

import { describe, expect, it } from '@jest/globals';
import { type TokenLogprob } from '../../../src/domain/item.js';
import { AnswerLogprobs } from '../../../src/turn/answer-logprobs.js';

const token = (text: string, bytes: readonly number[] = [...Buffer.from(text)]): TokenLogprob => ({
  token: text,
  logprob: -1,
  bytes,
  top_logprobs: [],
});
const collected = (...tokens: readonly TokenLogprob[]): AnswerLogprobs => {
  const logprobs = new AnswerLogprobs();
  for (const one of tokens) logprobs.add([one]);
  return logprobs;
};

describe('AnswerLogprobs', () => {
  it.each(['Hel', 'Hello!', 'hello', ''])('returns no log probabilities for %j', (text) => {
    expect(collected(token('Hel'), token('lo')).take(text)).toEqual([]);
  });

  it('returns the log probabilities of each text once', () => {
    const logprobs = collected(token('a'));
    expect(logprobs.take('a')).toEqual([token('a')]);
    expect(logprobs.take('a')).toEqual([]);
    logprobs.add([token('b')]);
    expect(logprobs.take('b')).toEqual([token('b')]);
  });

  it('joins a character of several tokens by its bytes', () => {
    const [first, second] = [token('\\xf0\\x9f', [0xf0, 0x9f]), token('\\x98\\x80', [0x98, 0x80])];
    expect(collected(token('So '), first, second).take('So \u{1F600}')).toEqual([token('So '), first, second]);
  });

  it('returns none of an answer with too many tokens or bytes, also later', () => {
    const many = collected(...Array.from({ length: 16_385 }, () => token('')));
    many.add([token('a')]);
    expect(many.take('a')).toEqual([]);
    const large = collected(token('x'.repeat(500_000)));
    large.add([token('a')]);
    expect(large.take('')).toEqual([]);
    large.add([token('b')]);
    expect(large.take('b')).toEqual([]);
  });
});

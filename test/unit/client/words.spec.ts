/* The texts of the playground: each end and each error in words that a person can act on. */

import { describe, expect, it } from '@jest/globals';
import {
  agoWords,
  callWords,
  connectionWords,
  endNote,
  errorNote,
  modelWords,
  numbersLine,
} from '../../../client/playground/words.js';
import { type ResponseObject } from '../../../client/src/api.js';
import { SluiceError } from '../../../client/src/errors.js';

const answered: ResponseObject = {
  id: 'resp_1',
  status: 'completed',
  created_at: 0,
  model: 'gpt-4o',
  output: [],
  output_text: 'Hello',
  error: null,
  incomplete_details: null,
  conversation: null,
  usage: { input_tokens: 12, output_tokens: 3, total_tokens: 15 },
  metadata: {},
  sluice: { prompt: null, provider: 'openai', findings: [], cost_usd: 0.00031, usage_estimated: false, kept: 'all' },
};
const denied = (stage: string) => ({
  ...answered.sluice,
  findings: [{ guardrail: 'banned_words', stage, decision: 'deny', reason: 'banned_word' }],
});

describe('the end of an answer', () => {
  it('shows no text for a normal end', () => {
    expect(endNote(answered)).toBeNull();
  });

  it.each<[string, Partial<ResponseObject>, RegExp]>([
    ['cancelled', { status: 'cancelled' }, /^Stopped/],
    ['length', { status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' } }, /greatest length/],
    [
      'output guardrail',
      { status: 'incomplete', incomplete_details: { reason: 'content_filter' }, sluice: denied('output') },
      /guardrail ended this answer \(banned words\)/,
    ],
    ['input guardrail', { sluice: denied('input') }, /refused this message \(banned words\)\. The model was not asked/],
    ['failed', { status: 'failed', error: { code: 'provider_timeout', message: 'm' } }, /took too long.*stays/],
    [
      'failed, unknown code',
      { status: 'failed', output_text: '', error: { code: 'new', message: 'unable to x' } },
      /^unable to x$/,
    ],
  ])('explains %s', (_name, change, words) => {
    expect(endNote({ ...answered, ...change })?.words).toMatch(words);
  });

  it('reports a lost answer as lost, and keeps its text', () => {
    const gone = new SluiceError('lost', 'response_not_found', 'm');
    expect(errorNote(gone, true).words).toMatch(/lost.*What had arrived stays/);
    expect(errorNote(gone, false).words).not.toMatch(/stays/);
  });

  it("forwards the gateway's message for a refused request", () => {
    expect(errorNote(new SluiceError('refused', 'invalid_value', 'unable to y'), false)).toEqual({
      kind: 'bad',
      words: 'unable to y',
    });
  });
});

describe('the line of numbers', () => {
  it('shows tokens, cost and the time to the first words', () => {
    expect(numbersLine(answered, 240)).toBe('12 tokens in, 3 out · $0.00031 · first words after 240 ms');
    expect(numbersLine(answered, 1240)).toMatch(/after 1\.2 s$/);
    expect(numbersLine(answered, 240, 3_100)).toMatch(/after 240 ms · 3\.1 s in all$/);
  });

  it('omits an unknown price, and marks estimated tokens', () => {
    const sluice = { ...answered.sluice, cost_usd: null, usage_estimated: true };
    expect(numbersLine({ ...answered, sluice }, null)).toBe('about 12 tokens in, 3 out · no price known');
  });
});

it('states that the demo is no language model', () => {
  expect(modelWords({ ...answered, sluice: { ...answered.sluice, provider: 'demo' } })).toMatch(/no language model/);
  expect(modelWords(answered)).toBe('Answered by gpt-4o (openai).');
});

it('names each state of the connection', () => {
  const words = (
    state: Parameters<typeof connectionWords>[0]['state'],
    error: SluiceError | null = null,
    retryInMs: number | null = null,
  ) => connectionWords({ state, error, retryInMs });
  expect(words('open')).toBe('Connected');
  expect(words('closed', new SluiceError('refused', 'missing_api_key', 'm', { status: 401 }))).toBe('A key is needed');
  expect(words('closed', new SluiceError('refused', 'origin_not_allowed', 'not from here', { status: 403 }))).toBe(
    'Refused: not from here',
  );
  expect(words('reconnecting', null, 7_000)).toMatch(/in 7 s/);
  expect(words('reconnecting', new SluiceError('refused', 'draining', 'm', { status: 503 }))).toMatch(/restarting/);
  expect(words('offline')).toMatch(/network/);
  expect(connectionWords({ state: 'open', error: null, retryInMs: null }, 'sse')).toMatch(/by HTTP/);
});

it('formats the age of an item and the arguments of a function call', () => {
  const now = Date.UTC(2026, 0, 2, 12);
  expect(agoWords(now - 20_000, now)).toBe('just now');
  expect(agoWords(now - 5 * 60_000, now)).toBe('5 min. ago');
  expect(agoWords(now - 26 * 3_600_000, now)).toBe('yesterday');
  expect(callWords({ type: 'function_call', name: 'get_weather', arguments: '{"city":"Paris"}' })).toBe(
    'get_weather({"city":"Paris"})',
  );
  expect(callWords({ type: 'function_call_output', output: 'rain' })).toBe('→ rain');
  expect(callWords({ type: 'message' })).toBeNull();
});

/* The list of guardrails as packs and the configuration write it, and what is reported of it. */

import { describe, expect, it } from '@jest/globals';
import { compileGuardrails } from '../../../src/validation/compile-guardrails.js';
import { createInputGuard } from '../../../src/validation/input-guard.js';
import { createOutputGuard } from '../../../src/validation/output-guard.js';
import { guardrailsFrom } from '../../../src/validation/read-guardrails.js';

const mistakesOf = (...list: unknown[]) =>
  guardrailsFrom(list).mistakes.map(({ pointer, what }) => `${pointer}: ${what}`);

/** The findings on an answer, and its text. */
function judge(entry: object, answer: string): { readonly text: string; readonly decisions: readonly string[] } {
  const { guardrails, mistakes } = guardrailsFrom([entry]);
  expect(mistakes).toEqual([]);
  const guard = createOutputGuard(compileGuardrails(guardrails));
  const steps = [guard.push(answer), guard.end()];
  const findings = steps.flatMap(({ stop, notes = [] }) => [...notes, ...(stop === undefined ? [] : [stop.finding])]);
  return {
    text: steps.map(({ release }) => release).join(''),
    decisions: findings.map(({ guardrail, decision, reason }) => `${guardrail} ${decision} ${reason}`),
  };
}

describe('a list of guardrails', () => {
  it('reports each mistake with a pointer and the nearest name', () => {
    expect(mistakesOf({ type: 'banned_word', params: { words: ['x'] } })).toEqual([
      expect.stringMatching(/^\/0\/type: there is no such type; known: .*; did you mean banned_words\?$/u),
    ]);
    expect(
      mistakesOf(
        { type: 'banned_words', params: { words: ['fine', 7] } },
        { type: 'max_length', params: { max: 1 }, directon: 'input' },
        { type: 'regex', params: { pattern: '(' } },
        { type: 'json_schema', params: { schema: { type: 'nothing' } } },
        { type: 'max_length', params: { max: 1 }, mode: 'watch', timeout_ms: 0, buffer: 'yes' },
        'max_length',
        {},
      ),
    ).toEqual([
      '/0/params/words/1: must be text; quote it',
      expect.stringMatching(/^\/1\/directon: is not known; .*did you mean direction\?$/u),
      expect.stringMatching(/^\/2\/params\/pattern: is no usable pattern of RE2's syntax: /u),
      expect.stringMatching(/^\/3\/params\/schema: is no JSON Schema: /u),
      '/4/mode: must be one of enforce, monitor',
      '/4/buffer: must be true or false',
      '/4/timeout_ms: must be a number of milliseconds from 1 to 60000',
      '/5: must be an object with a `type`',
      '/6/type: is missing; name a kind of guardrail',
    ]);
    expect(guardrailsFrom({ type: 'regex' }).mistakes).toEqual([{ pointer: '', what: 'must be a list of guardrails' }]);
  });

  it('reports the mistakes of a disabled guardrail too', () => {
    expect(mistakesOf({ type: 'max_length', enabled: false, params: {} })).toHaveLength(1);
  });

  it.each(['', 'a*', '(?<=a)b', '(?=a)b', '(a)\\1'])(
    'refuses the pattern %s, which it could not hold or match',
    (pattern) => {
      expect(mistakesOf({ type: 'regex', params: { pattern } })).toHaveLength(1);
    },
  );

  it('accepts a longest length in characters and tokens at once, as packs write it', () => {
    const entry = { type: 'max_length', params: { max_characters: 9, max_tokens: 2 } };
    expect(judge(entry, 'abcdefghij').text).toBe('abcdefgh');
    expect(judge(entry, '海海海').text).toBe('海海');
  });

  it('monitors where a pack says that a violation does not fail', () => {
    const entry = { type: 'banned_words', fail_on_violation: false, params: { words: ['hack'] } };
    expect(judge(entry, 'a hack.')).toEqual({ text: 'a hack.', decisions: ['banned_words note banned_word'] });
  });

  it('takes direction and message from the params too', () => {
    const { guardrails } = guardrailsFrom([
      { type: 'banned_words', params: { words: ['hack'], direction: 'input', message: 'No.' } },
    ]);
    const compiled = compileGuardrails(guardrails);
    expect(createInputGuard(compiled).check(['a hack']).deny?.message).toBe('No.');
    expect(createOutputGuard(compiled).push('a hack.').release).toBe('a hack.');
  });

  it.each<[string, object, string, string[]]>([
    ['min_length', { min: 5 }, 'Four', ['min_length deny too_short']],
    ['min_length', { min: 4 }, 'Four', []],
    ['length', { max: 3, min: 2 }, 'Four', ['length deny too_long']],
    ['sentence_count', { min: 2 }, 'One.', ['sentence_count deny too_few_sentences']],
    ['contains', { patterns: ['A', 'b'] }, 'a', ['contains deny missing_text']],
    ['contains_any', { patterns: ['A', 'b'] }, 'a', []],
    ['required_fields', { fields: ['id', 'name'] }, '{"id":1}', ['required_fields deny missing_field']],
    ['required_fields', { required_fields: ['id'] }, '{"id":1}', []],
    ['field_presence', { fields: ['Name'] }, 'name: x', []],
    ['json_valid', {}, '{"a":', ['json_valid deny invalid_json']],
    ['json_valid', {}, ' [1] ', []],
    ['json_schema', { schema: { type: 'object', required: ['a'] } }, '{}', ['json_schema deny schema_mismatch']],
    [
      'json_schema',
      { schema: { properties: { a: { format: 'email' } } } },
      '{"a":"b"}',
      ['json_schema deny schema_mismatch'],
    ],
    ['regex_match', { pattern: '(?i)no' }, 'Yes and NO', ['regex deny pattern_found']],
    ['regex', { pattern: '^Y', expect_match: true }, 'No', ['regex deny pattern_missing']],
    ['pii_detection', {}, 'ann@example.com', ['pii redact email']],
  ])('judges %s with %j', (type, params, answer, decisions) => {
    expect(judge({ type, params }, answer).decisions).toEqual(decisions);
  });
});

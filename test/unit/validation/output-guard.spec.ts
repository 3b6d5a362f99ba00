/* How the output guard holds, releases and stops, step by step. */

import { describe, expect, it } from '@jest/globals';
import { compileGuardrails } from '../../../src/validation/compile-guardrails.js';
import { type OutputGuard, createOutputGuard } from '../../../src/validation/output-guard.js';

const words = (...list: string[]) => ({ type: 'banned_words', enabled: true, params: { words: list } });
const length = (max: number) => ({ type: 'max_length', enabled: true, params: { max } });

/** What each piece releases, then the end. A stop appears as `[reason]`. */
function steps(guard: OutputGuard, ...pieces: string[]): string[] {
  const released: string[] = [];
  for (const piece of [...pieces, null]) {
    const step = piece === null ? guard.end() : guard.push(piece);
    released.push(step.release + (step.stop === undefined ? '' : `[${step.stop.finding.reason}]`));
  }
  return released;
}
const guardOf = (...specs: Parameters<typeof compileGuardrails>[0]) => createOutputGuard(compileGuardrails(specs));

describe('output guard', () => {
  it('releases everything at once without guardrails, also half a pair', () => {
    expect(steps(guardOf(), 'hack', ' me', '\ud83d')).toEqual(['hack', ' me', '\ud83d', '']);
  });

  it('holds a word until it cannot be banned any more', () => {
    expect(steps(guardOf(words('hack')), 'a ha', 'ck', 'ing')).toEqual(['a ', '', 'hacking', '']);
  });

  it('releases no letter of a banned word', () => {
    expect(steps(guardOf(words('hack')), 'do not ha', 'ck', ' it', ' more')).toEqual([
      'do not ',
      '',
      '[banned_word]',
      '',
      '',
    ]);
  });

  it('decides at the end for text that ends within a word', () => {
    expect(steps(guardOf(words('hack')), 'a hack')).toEqual(['a ', '[banned_word]']);
    expect(steps(guardOf(words('hack tool')), 'a hack')).toEqual(['a ', 'hack']);
  });

  it('does not hold text for a banned word inside a longer word', () => {
    expect(steps(guardOf(words('hack')), 'lifeh', 'ack')).toEqual(['lifeh', 'ack', '']);
  });

  it('holds from where a phrase may have begun, with any white space', () => {
    expect(steps(guardOf(words('new york')), 'in new', '  \n ', 'y', 'ork.')).toEqual([
      'in ',
      '',
      '',
      '[banned_word]',
      '',
    ]);
    expect(steps(guardOf(words('new york')), 'in new', '  \n ', 'z')).toEqual(['in ', '', 'new  \n z', '']);
  });

  it('stops at the earlier of two words although the later one is complete first', () => {
    expect(steps(guardOf(words('a b c', 'b')), 'x a b ', 'c.')).toEqual(['x ', '[banned_word]', '']);
    expect(steps(guardOf(words('a b c', 'b')), 'x a b ', 'd')).toEqual(['x ', 'a [banned_word]', '']);
  });

  it('stops at the later of two words once the earlier one cannot be completed', () => {
    expect(steps(guardOf(words('a b c', 'b')), 'x a b')).toEqual(['x ', 'a [banned_word]']);
    expect(steps(guardOf(words('a b c', 'b')), 'x a b ', '\u0301')).toEqual(['x ', 'a [banned_word]', '']);
    expect(steps(guardOf(words('a b c', 'b')), 'x a b ', '\u0903')).toEqual(['x ', 'a [banned_word]', '']);
  });

  it('waits for marks that would change the letter', () => {
    expect(steps(guardOf(words('cafe')), 'cafe', '\u0301')).toEqual(['', 'cafe\u0301', '']);
    expect(steps(guardOf(words('café')), 'cafe', '\u0301', '!')).toEqual(['', '', '[banned_word]', '']);
  });

  it('keeps a surrogate pair together', () => {
    expect(steps(guardOf(words('hack')), 'a\ud83d', '\ude00b')).toEqual(['a', '\u{1f600}b', '']);
    expect(steps(guardOf(length(9)), 'a\ud83d', '\ude00b')).toEqual(['a', '\u{1f600}b', '']);
    expect(steps(guardOf(words('hack')), 'a\ud83d')).toEqual(['a', '\ud83d']);
  });

  it('ends exactly at the limit, in code points', () => {
    expect(steps(guardOf(length(4)), 'ab', 'cd')).toEqual(['ab', 'cd', '']);
    expect(steps(guardOf(length(4)), 'ab', 'cde')).toEqual(['ab', 'cd[too_long]', '']);
    expect(steps(guardOf(length(2)), '😀\ud83d', '\ude00😀')).toEqual(['😀', '😀[too_long]', '']);
  });

  it('stops at a banned word that begins before the limit and ends behind it', () => {
    expect(steps(guardOf(length(4), words('hack')), 'a ha', 'c', 'k', '.')).toEqual([
      'a ',
      '',
      '',
      '[banned_word]',
      '',
    ]);
    expect(steps(guardOf(length(4), words('hack')), 'a ha', 'c', 'e')).toEqual(['a ', '', 'ha[too_long]', '']);
  });

  it('prefers the first guardrail in order at the same place', () => {
    expect(steps(guardOf(length(2), words('hack')), 'a hack.')).toEqual(['a [too_long]', '']);
    expect(steps(guardOf(words('hack'), length(2)), 'a hack.')).toEqual(['a [banned_word]', '']);
    expect(steps(guardOf(words('hack'), length(2)), 'a h', 'ack', '.')).toEqual(['a ', '', '[banned_word]', '']);
  });

  it('returns the guardrail that stopped it, the reason and the message for the user', () => {
    const guard = createOutputGuard(compileGuardrails([{ ...words('hack'), message: 'Not here.' }]));
    expect(guard.push('hack!')).toEqual({
      release: '',
      stop: {
        finding: { guardrail: 'banned_words', stage: 'output', decision: 'deny', reason: 'banned_word', position: 0 },
        message: 'Not here.',
      },
    });
  });

  it('keeps turns apart that share their guardrails', () => {
    const guardrails = compileGuardrails([words('hack'), length(100)]);
    const first = createOutputGuard(guardrails);
    const second = createOutputGuard(guardrails);
    expect(first.push('ha').release).toBe('');
    expect(second.push('ck ').release).toBe('ck ');
    expect(first.push('t').release).toBe('hat');
  });

  it('reports what monitors find once, with the last step, and holds nothing for them', () => {
    const monitor = { ...words('hack', 'seen'), mode: 'monitor' } as const;
    const note = { guardrail: 'banned_words', stage: 'output', decision: 'note', reason: 'banned_word', position: 2 };
    const ended = guardOf(monitor);
    expect(ended.push('a ha')).toEqual({ release: 'a ha' });
    expect(ended.push('ck')).toEqual({ release: 'ck' });
    expect(ended.end()).toEqual({ release: '', notes: [note] });
    expect(ended.end()).toEqual({ release: '' });
  });

  it('reports of a stopped text only what monitors find in the released part', () => {
    const monitor = { ...words('hack', 'seen'), mode: 'monitor' } as const;
    const stopped = guardOf(monitor, length(9));
    expect(stopped.push('was seen hack')).toMatchObject({ release: 'was seen ', stop: {}, notes: [{ position: 4 }] });
    const before = guardOf(monitor, length(6)).push('was seen hack');
    expect(before).toEqual({ release: 'was se', stop: expect.anything() });
  });

  it('holds the whole answer until it is judged where a guardrail buffers', () => {
    const least = { type: 'min_length', enabled: true, params: { min: 9 }, buffer: true };
    expect(steps(guardOf(least), 'Too ', 'short')).toEqual(['', '', 'Too short']);
    expect(steps(guardOf(least), 'Short')).toEqual(['', '[too_short]']);
    expect(steps(guardOf(least, words('hack')), 'A hack ', 'and more')).toEqual(['[banned_word]', '', '']);
  });

  it('judges a whole text at its end, which takes nothing back', () => {
    const must = { type: 'contains', enabled: true, params: { patterns: ['Yes'] } };
    expect(steps(guardOf(must), 'Oh ', 'no')).toEqual(['Oh ', 'no', '[missing_text]']);
    expect(steps(guardOf(must), 'Oh ', 'yes')).toEqual(['Oh ', 'yes', '']);
  });

  it('reports every guardrail that a whole text breaks', () => {
    const must = { type: 'contains', enabled: true, params: { patterns: ['yes'] } };
    const json = { type: 'json_valid', enabled: true, params: {} };
    const { stop, notes } = guardOf(must, json).end();
    expect([stop?.finding, ...(notes ?? [])]).toMatchObject([
      { guardrail: 'contains', decision: 'deny', reason: 'missing_text' },
      { guardrail: 'json_valid', decision: 'deny', reason: 'invalid_json' },
    ]);
  });

  it('judges JSON as its reader decodes it, and releases it as it came', () => {
    const open = (): OutputGuard => createOutputGuard(compileGuardrails([words('hack')]), { json: true });
    expect(steps(open(), '{"a":"\\nha', 'ck"}')).toEqual(['{"a":"\\n', '[banned_word]', '']);
    expect(steps(open(), '{"a":"h\\u00', '61ck"}')).toEqual(['{"a":"', '[banned_word]', '']);
    expect(steps(open(), '{"a":"h\\u00', '61t"}')).toEqual(['{"a":"', 'h\\u0061t"}', '']);
    expect(steps(open(), '{"a":"x\\\\nhack"}')).toEqual(['{"a":"x\\\\nhack"}', '']);
  });
});

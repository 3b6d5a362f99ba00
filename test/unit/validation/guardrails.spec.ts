/* Examples of what each guardrail denies and allows. */

import { describe, expect, it } from '@jest/globals';
import { compileGuardrails } from '../../../src/validation/compile-guardrails.js';
import { GUARDRAIL_TYPES } from '../../../src/validation/kinds.js';
import { type GuardrailSpec } from '../../../src/validation/guardrail.js';
import { createInputGuard } from '../../../src/validation/input-guard.js';

const spec = (type: string, params: Record<string, unknown>, more: Partial<GuardrailSpec> = {}): GuardrailSpec => ({
  type,
  enabled: true,
  params,
  ...more,
});
const banned = (...words: string[]) => spec('banned_words', { words });

function denied(guardrail: GuardrailSpec, ...texts: string[]): string | undefined {
  return createInputGuard(compileGuardrails([guardrail])).check(texts).deny?.message;
}

describe('banned_words', () => {
  it.each([
    ['a whole word', 'hack', 'how to hack a router'],
    ['the whole text', 'hack', 'hack'],
    ['any case', 'hack', 'HaCk!'],
    ['a word in any case', 'HACK', 'hack'],
    ['a word before an apostrophe', 'hack', "the hack's author"],
    ['an elided article', 'attaque', 'l’attaque'],
    ['a word before a hyphen', 'hack', 'hack-tool'],
    ['any apostrophe', "don't", 'don’t'],
    ['any hyphen', 'rock-n-roll', 'rock\u2011n\u2011roll'],
    ['a decomposed letter', 'café', 'cafe\u0301'],
    ['a composed letter', 'cafe\u0301', 'CAFÉ'],
    ['marks in any order', 'ệ', 'e\u0302\u0323'],
    ['full-width letters', 'hack', 'ｈａｃｋ'],
    ['mathematical letters', 'hack', '𝐡𝐚𝐜𝐤'],
    ['circled letters', 'hack', 'ⓗⓐⓒⓚ'],
    ['ligatures', 'office', 'oﬃce'],
    ['ß as ss', 'masse', 'MAßE'],
    ['ss as ß', 'maße', 'MASSE'],
    ['capital ẞ', 'maße', 'MAẞE'],
    ['the long s', 'sin', 'ſin'],
    ['the Kelvin sign', 'kelvin', '\u212aelvin'],
    ['the dotted capital I', 'istanbul', 'İSTANBUL'],
    ['a capital I with a dot of its own', 'istanbul', 'I\u0307stanbul'],
    ['the dotless i', 'hacking', 'HACKıNG'],
    ['either sigma', 'λόγος', 'ΛΌΓΟΣ'],
    ['a zero-width space inside', 'hack', 'ha\u200bck'],
    ['a joiner inside', 'hack', 'h\u200da\u200cck'],
    ['a soft hyphen inside', 'hack', 'ha\u00adck'],
    ['word joiner and byte order mark inside', 'hack', 'ha\u2060c\ufeffk'],
    ['an invisible character after the word', 'hack', 'hack\u200b!'],
    ['a trade mark sign after the word', 'hack', 'hack™'],
    ['a footnote number after the word', 'hack', 'hack² is'],
    ['any white space in a phrase', 'new york', 'New \t\n\u00a0 York'],
    ['a phrase over a line end', 'new york', 'in new\r\nyork now'],
    ['a phrase that begins inside another', 'bar qux', 'foo bar qux'],
    ['a word with symbols', 'c++', 'I like C++ best'],
    ['a word that begins with a symbol', '@admin', 'me@admin'],
    ['an emoji in any variation', '❤', 'I ❤\ufe0f you'],
    ['an emoji of any skin', '🖕', '🖕🏽'],
    ['Han anywhere', '海賊', '大海賊時代'],
    ['Katakana anywhere', 'ハック', 'ライフハック'],
    ['half-width Katakana', 'ガチャ', 'ｶﾞﾁｬ'],
    ['Thai anywhere', 'แฮก', 'การแฮกระบบ'],
    ['Khmer anywhere', 'ចោរ', 'អ្នកចោរកម្ម'],
    ['a Latin word between Han', 'hack', '使用hack工具'],
    ['a word after a mark on a symbol', 'hack', '-\u0903hack'],
    ['a Devanagari word', 'चोर', 'वह चोर है'],
    ['Arabic stretched by tatweel', 'قرصان', 'قرصـــان'],
  ])('catches %s', (_, word, text) => {
    expect(denied(banned(word), text)).toBe('This message contains a word that is not allowed here.');
  });

  it.each([
    ['a longer word', 'hack', 'hacking'],
    ['the end of a longer word', 'hack', 'lifehack'],
    ['a word made longer by a digit', 'hack', 'hack2'],
    ['a word made longer by an underscore', 'hack', 'hack_me'],
    ['a word made longer behind an invisible character', 'hack', 'hack\u200bing'],
    ['another accent', 'ano', 'año'],
    ['a decomposed accent at the end', 'cafe', 'cafe\u0301'],
    ['no accent', 'café', 'cafe'],
    ['a phrase without its space', 'new york', 'newyork'],
    ['a phrase with a word between', 'new york', 'new old york'],
    ['a letter with a voicing mark', 'か', 'か\u3099'],
    ['a Thai letter with a tone mark', 'ไก', 'ไก่'],
    ['a Devanagari word made longer by a vowel sign', 'चोर', 'चोरी'],
    ['nothing', 'hack', ''],
  ])('lets pass %s', (_, word, text) => {
    expect(denied(banned(word), text)).toBeUndefined();
  });

  it('does not search banned words across two messages', () => {
    expect(denied(banned('hack'), 'ha', 'ck')).toBeUndefined();
    expect(denied(banned('hack'), 'fine', 'a hack')).toBeDefined();
  });

  it('finds each of a thousand words', () => {
    const words = Array.from({ length: 1_000 }, (_, i) => `w${i.toString(36)}`);
    const guard = createInputGuard(compileGuardrails([banned(...words)]));
    for (const word of words) expect(guard.check([`x ${word} y`]).deny?.finding.reason).toBe('banned_word');
    expect(guard.check([`x w${'zz'} y`]).deny).toBeUndefined();
  });

  it('denies nothing without words', () => {
    expect(compileGuardrails([spec('banned_words', { words: [] })])).toEqual([]);
  });
});

describe('max_length', () => {
  it('names the limit when input is over it', () => {
    const guardrail = spec('max_length', { max_length: 2_000 });
    expect(denied(guardrail, 'x'.repeat(2_000))).toBeUndefined();
    expect(denied(guardrail, 'x'.repeat(2_001))).toBe('This message is longer than the 2,000 characters allowed here.');
  });

  it('counts code points of each message', () => {
    expect(denied(spec('max_length', { max: 3 }), '😀😀', '😀')).toBeUndefined();
    expect(denied(spec('max_length', { max_characters: 3 }), '😀😀', '😀😀')).toBeUndefined();
    expect(denied(spec('max_length', { max_characters: 3 }), '😀', '😀😀😀😀')).toBeDefined();
  });

  it('does not join half a surrogate pair at the end of one message to the next', () => {
    expect(denied(spec('max_length', { max: 1 }), '\ud83d\ude00\ud83d')).toBeDefined();
  });
});

describe('compileGuardrails', () => {
  it('lists the types of guardrails', () => {
    expect(GUARDRAIL_TYPES).toEqual(expect.arrayContaining(['banned_words', 'max_length', 'json_schema', 'topic']));
  });

  it('omits disabled guardrails', () => {
    expect(compileGuardrails([{ ...banned('x'), enabled: false }, spec('unheard_of', {}, { enabled: false })])).toEqual(
      [],
    );
  });

  it('returns the configured message', () => {
    expect(denied({ ...banned('hack'), message: 'Please be kind.' }, 'hack')).toBe('Please be kind.');
  });

  it.each<[string, string, Record<string, unknown>, string]>([
    [
      'an unknown type',
      'pia',
      {},
      'unable to use the guardrail pia; there is no such type; known: banned_words, content_excludes,',
    ],
    ['missing words', 'banned_words', {}, 'params.words is missing; write a list of words'],
    ['words that are no list', 'banned_words', { words: 'hack' }, 'params.words must be a list of words'],
    ['a word that is no text', 'banned_words', { words: ['a', 7] }, 'params.words[1] must be text; quote it'],
    [
      'an empty word',
      'banned_words',
      { words: ['a', ' \u200b'] },
      'params.words[1] holds nothing that can be seen; write a word or a phrase',
    ],
    [
      'a word that begins with a mark',
      'banned_words',
      { words: ['\u0301a'] },
      'params.words[0] begins with a combining mark; begin with the letter it belongs to',
    ],
    [
      'half a character',
      'banned_words',
      { words: ['a\ud83d'] },
      'params.words[0] holds half a surrogate pair; write the whole character',
    ],
    [
      'a very long phrase',
      'banned_words',
      { words: ['a'.repeat(201)] },
      'params.words[0] is longer than 200 characters; write a shorter phrase',
    ],
    ['an unknown param', 'banned_words', { words: [], regex: 'x' }, 'params.regex is not known; known: words'],
    ['no limit', 'max_length', {}, 'params must hold one of max_length, max, max_characters'],
    [
      'two limits',
      'max_length',
      { max: 1, max_length: 2 },
      'params must hold one of max_length, max, max_characters, not max_length and max',
    ],
    ['a limit of nothing', 'max_length', { max: 0 }, 'params.max must be a whole number of at least 1'],
    ['a limit that is no number', 'max_length', { max: '5' }, 'params.max must be a whole number of at least 1'],
  ])('refuses %s', (_, type, params, message) => {
    expect(() => compileGuardrails([spec(type, params)])).toThrow(message);
  });

  it('reports all mistakes of a guardrail at once', () => {
    expect(() => compileGuardrails([spec('banned_words', { words: [1, ''], case: true })])).toThrow(
      'unable to use the guardrail banned_words; params.case is not known; known: words; params.words[0] must be text; quote it; params.words[1] holds nothing that can be seen; write a word or a phrase',
    );
  });
});

describe('input guard', () => {
  it('reports the first guardrail that denies', () => {
    const { deny } = createInputGuard(compileGuardrails([spec('max_length', { max: 3 }), banned('hack')])).check([
      'hack',
    ]);
    expect(deny?.finding).toEqual({
      guardrail: 'max_length',
      stage: 'input',
      decision: 'deny',
      reason: 'too_long',
      position: 3,
    });
  });

  it('reports notes beside the verdict', () => {
    const [words] = compileGuardrails([banned('hack')]);
    if (words === undefined) throw new Error('not compiled');
    const noting = {
      ...words,
      type: 'mood',
      checkInput: () => ({ decision: 'note', reason: 'angry', position: 1 }) as const,
    };
    const note = { guardrail: 'mood', stage: 'input', decision: 'note', reason: 'angry', position: 1 };
    expect(createInputGuard([noting]).check(['hm'])).toEqual({ notes: [note] });
    expect(createInputGuard([noting, words]).check(['hack'])).toMatchObject({
      notes: [note],
      deny: { finding: { reason: 'banned_word' } },
    });
  });

  it.each([
    ['a word', banned('hack'), 'how to hack', 7],
    ['a pattern', spec('regex', { pattern: 'x+y' }), 'abxxy', 2],
    ['personal data', spec('pii', { action: 'deny' }), 'I am ann@example.com', 5],
    ['the character too many', spec('max_length', { max: 3 }), '\u{1f600}abc', 4],
    ['the sentence too many', spec('max_sentences', { max: 1 }, { direction: 'both' }), 'One. Two. Three.', 5],
    ['the end of a text that is too short', spec('min_length', { min: 9 }, { direction: 'both' }), 'short', 5],
    ['the end of one with too few sentences', spec('sentence_count', { min: 2 }, { direction: 'both' }), 'One.', 4],
    ['the end of one that lacks something', spec('contains', { patterns: ['yes'] }, { direction: 'both' }), 'no', 2],
  ])('reports the position of %s in its own text', (_, guardrail, text, position) => {
    const passes = 'yes fits. It does.'.slice(0, guardrail.params['max'] === 3 ? 3 : undefined);
    const guards = compileGuardrails([guardrail, { ...guardrail, mode: 'monitor' }]);
    const { deny, notes } = createInputGuard(guards).check(
      guardrail.type === 'max_sentences' ? [text] : [passes, text],
    );
    expect([deny?.finding.position, ...notes.map((note) => note.position)]).toEqual([position, position]);
  });

  it('allows everything without guardrails', () => {
    expect(createInputGuard([]).check(['hack'])).toEqual({ notes: [] });
  });
});

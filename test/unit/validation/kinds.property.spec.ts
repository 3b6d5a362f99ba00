/*
 * Every kind that decides while text arrives, for any text and every way to cut it, against what
 * its library says of the whole text.
 */

import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { RE2JS } from 're2js';
import { compileGuardrails } from '../../../src/validation/compile-guardrails.js';
import { type CompiledGuardrail } from '../../../src/validation/guardrail.js';
import { countSentences } from '../../../src/validation/guardrails/sentences.js';
import { findPii, PII_TYPES } from '../../../src/validation/guardrails/pii-patterns.js';
import { createOutputGuard } from '../../../src/validation/output-guard.js';

/** `npm run soak -- guards` sets more. */
const RUNS = Number(process.env['GUARD_RUNS'] ?? 400);
const SEED = Number(process.env['GUARD_SEED'] ?? 20_261_129);

const compiled = (type: string, params: Record<string, unknown>) =>
  compileGuardrails([{ type, enabled: true, params }]);

/** The released text, and whether it was stopped, for a text in these pieces. */
function run(guardrails: readonly CompiledGuardrail[], pieces: readonly string[], json = false): [string, boolean] {
  const guard = createOutputGuard(guardrails, { json });
  let released = '';
  for (const piece of [...pieces, null]) {
    const step = piece === null ? guard.end() : guard.push(piece);
    released += step.release;
    if (step.stop !== undefined) return [released, true];
  }
  return [released, false];
}

function cut(text: string, at: readonly number[]): string[] {
  const cuts = [0, ...[...at].map((n) => n % (text.length + 1)).sort((a, b) => a - b), text.length];
  return cuts.slice(1).map((end, i) => text.slice(cuts[i], end));
}

const textOf = (...pieces: readonly string[]) =>
  fc.array(fc.constantFrom(...pieces), { maxLength: 14 }).map((parts) => parts.join(''));
const cuts = fc.array(fc.nat(), { maxLength: 10 });

/** All texts of up to this many pieces. */
function allTexts(pieces: readonly string[], most: number): readonly string[] {
  const shorter = most === 0 ? [] : allTexts(pieces, most - 1);
  return most === 0
    ? ['']
    : [...new Set([...shorter, ...shorter.flatMap((text) => pieces.map((piece) => text + piece))])];
}

/** Checks a text whole, one code unit at a time, and cut at random. */
function agrees(
  guardrails: readonly CompiledGuardrail[],
  text: string,
  at: readonly number[],
  expected: [string, boolean],
) {
  expect(run(guardrails, [text])).toEqual(expected);
  expect(run(guardrails, text.split(''))).toEqual(expected);
  expect(run(guardrails, cut(text, at))).toEqual(expected);
}

describe('regex, for any text and any cut', () => {
  const PATTERNS = [
    '(?i)ab+c',
    '\\bcat\\b',
    'a.*b',
    '^b|c$',
    '(?m)^ab$',
    '(?s)a.c',
    'a{2,4}b?c',
    '[^abc ]x',
    'ab|abc|bcd',
    '\\Bb\\B',
    '(?:ab)+',
    'a\\nb',
    '\u{1f600}+a',
    'é',
    '(?i)k',
  ];
  const text = textOf('a', 'b', 'c', 'x', 'A', 'B', ' ', '\n', 'cat', 'abc', '\u{1f600}', '\ud83d', 'é', '\u212a', '_');

  it.each(PATTERNS)('ends the text where the library finds %s first [GUARD-1]', (pattern) => {
    const guardrails = compiled('regex', { pattern });
    const library = RE2JS.compile(pattern);
    fc.assert(
      fc.property(text, cuts, (whole, at) => {
        const matcher = library.matcher(whole);
        const found = matcher.find() ? matcher.start() : -1;
        agrees(guardrails, whole, at, found === -1 ? [whole, false] : [whole.slice(0, found), true]);
      }),
      { seed: SEED, numRuns: RUNS },
    );
  });

  const CONTINUATIONS = allTexts(['a', 'b', 'c', ' ', '\n'], 4);

  // Each can be completed by four characters, or not at all: `a` before a boundary before `b`.
  it.each([
    'ab?c',
    '\\bab\\b',
    'a\\bb|ca',
    'a$b|bb',
    '(?m)a$b|bb',
    '(?m)a$\\nb',
    'a^b',
    '(?m)a\\n^b',
    'b[^\\x{0}-\\x{10ffff}]|abc',
    '\\Bb\\Ba',
    'a(?:\\b \\Bb| a)',
    'aab|c\\b\\B',
  ])('holds of %s exactly what some continuation completes', (pattern) => {
    const guardrails = compiled('regex', { pattern });
    const library = RE2JS.compile(pattern);
    const start = (whole: string): number => {
      const matcher = library.matcher(whole);
      return matcher.find() ? matcher.start() : Infinity;
    };
    fc.assert(
      fc.property(textOf('a', 'b', 'c', ' ', '\n'), (whole) => {
        const guard = createOutputGuard(guardrails);
        let released = '';
        for (const piece of whole.split('')) {
          const { release, stop } = guard.push(piece);
          released += release;
          if (stop !== undefined) return;
        }
        const safe = Math.min(whole.length, ...CONTINUATIONS.map((more) => start(whole + more)));
        expect(released).toBe(whole.slice(0, safe));
      }),
      { seed: SEED, numRuns: Math.min(RUNS, 60) },
    );
  });

  it('holds nothing that no continuation could complete', () => {
    const guard = createOutputGuard(compiled('regex', { pattern: 'secret-[0-9]{3}' }));
    const released = ['a secre', 'tary of ', 'secret-', '12', 'x'].map((piece) => guard.push(piece).release);
    expect(released).toEqual(['a ', 'secretary of ', '', '', 'secret-12x']);
    expect(guard.push('secret-123')).toMatchObject({ release: '', stop: { finding: { reason: 'pattern_found' } } });
  });

  it('takes time linear in the text for a pattern that makes others backtrack', () => {
    const guard = createOutputGuard(compiled('regex', { pattern: '(a+)+$x|(a|aa)+b' }));
    const before = performance.now();
    guard.push('a'.repeat(30_000));
    guard.end();
    expect(performance.now() - before).toBeLessThan(5_000);
  });
});

describe('max_sentences, for any text and any cut', () => {
  const text = textOf(
    'He',
    'she ',
    'Mr. ',
    'e.g. ',
    'No',
    '! ',
    '. ',
    '.',
    '? ',
    '"',
    ') ',
    '\n',
    '5',
    ' a',
    '海。',
    '…',
    '\u{1f600}',
    ', ',
  );

  it('ends the text where the first sentence too many begins [GUARD-1]', () => {
    fc.assert(
      fc.property(text, fc.integer({ min: 1, max: 3 }), cuts, (whole, max, at) => {
        agrees(compiled('max_sentences', { max }), whole, at, sentences(whole, max));
      }),
      { seed: SEED, numRuns: RUNS * 3 },
    );
  });

  it('takes time linear in the text for a sentence without an end', () => {
    const guard = createOutputGuard(compiled('max_sentences', { max: 1 }));
    const before = performance.now();
    let released = '';
    for (let i = 0; i < 20_000; i += 1) released += guard.push('a.b, 1 ').release;
    released += guard.push('end. New').release;
    expect(performance.now() - before).toBeLessThan(10_000);
    expect(released.endsWith('end. ')).toBe(true);
  });

  function sentences(whole: string, max: number): [string, boolean] {
    if (countSentences(whole) <= max) return [whole, false];
    let count = 0;
    for (const { segment, index } of new Intl.Segmenter('und', { granularity: 'sentence' }).segment(whole)) {
      if (/\S/u.test(segment) && ++count > max) return [whole.slice(0, index), true];
    }
    return [whole, false];
  }
});

describe('content_excludes and length, for any text and any cut', () => {
  const text = textOf('a', 'b', 'hack', 'HA', 'ck', ' ', 'é', '\u{1f600}');

  it('finds a text inside words too [GUARD-1]', () => {
    const guardrails = compiled('content_excludes', { patterns: ['hack', 'ab'] });
    fc.assert(
      fc.property(text, cuts, (whole, at) => {
        const found = whole.toLowerCase().search(/hack|ab/u);
        agrees(guardrails, whole, at, found === -1 ? [whole, false] : [whole.slice(0, found), true]);
      }),
      { seed: SEED, numRuns: RUNS },
    );
  });

  it('counts four UTF-8 bytes as a token', () => {
    fc.assert(
      fc.property(text, cuts, (whole, at) => {
        let [fits, bytes] = ['', 0];
        for (const character of whole) {
          bytes += Buffer.byteLength(character);
          if (bytes > 12) break;
          fits += character;
        }
        agrees(compiled('length', { max_tokens: 3 }), whole, at, [fits, fits.length < whole.length]);
      }),
      { seed: SEED, numRuns: RUNS },
    );
  });
});

describe('pii, for any text and any cut', () => {
  const DATA = [
    'ann@example.com',
    'a.b+c@mail.example.co.uk',
    '+49 30 1234567',
    '(212) 555-0123',
    '4111 1111 1111 1111',
    '4111111111111111',
    '4111111111111112',
    'DE89 3704 0044 0532 0130 00',
    'GB82WEST12345698765432',
    'sk-abcdefghijklmnopqrst',
    'AKIAIOSFODNN7EXAMPLE',
  ];
  const text = textOf(...DATA, ' ', 'a', '1', '.', '@', '+', '-', 'x.y', '12', ' 2024 ', '\n', '\u{1f600}', 'DE', '(');

  it('replaces what it finds in the whole text, whatever the cut [GUARD-1]', () => {
    const guardrails = compiled('pii', {});
    fc.assert(
      fc.property(text, cuts, (whole, at) => {
        let [expected, end] = ['', 0];
        for (const { type, from, to } of findPii(whole, PII_TYPES)) {
          expected += `${whole.slice(end, from)}[${type.replace('_', ' ')}]`;
          end = to;
        }
        agrees(guardrails, whole, at, [expected + whole.slice(end), false]);
      }),
      { seed: SEED, numRuns: RUNS * 5 },
    );
  });

  it('ends the text before the first find where it denies [GUARD-1]', () => {
    const guardrails = compiled('pii', { action: 'deny' });
    fc.assert(
      fc.property(text, cuts, (whole, at) => {
        const [first] = findPii(whole, PII_TYPES);
        agrees(guardrails, whole, at, first === undefined ? [whole, false] : [whole.slice(0, first.from), true]);
      }),
      { seed: SEED, numRuns: RUNS * 3 },
    );
  });

  it.each(DATA.filter((value) => value !== '4111111111111112'))('finds %s', (value) => {
    expect(findPii(`It is ${value}, yes`, PII_TYPES).map(({ from, to }) => [from, to])).toEqual([
      [6, 6 + value.length],
    ]);
  });

  it.each([
    ['+49 4111 1111 1111 1111', 'phone'],
    ['sk-abcdefghijklmnopqrst@example.com', 'email'],
    ['4111 1111 1111 1111@example.com', 'card'],
  ])('leaves nothing of %s where two kinds overlap', (value, type) => {
    expect(findPii(`It is ${value}, yes`, PII_TYPES)).toEqual([{ type, from: 6, to: 6 + value.length }]);
  });

  it.each(['order 4111111111111112', 'in 2024-2025', 'v1.2.3.4', 'a@b', 'room 212', '12,345,678', 'sk-short'])(
    'leaves %s alone',
    (value) => {
      expect(findPii(value, PII_TYPES)).toEqual([]);
    },
  );
});

describe('JSON text, for any cut', () => {
  const text = textOf(
    'ha',
    'ck',
    '\\u0061',
    '\\n',
    '\\\\',
    '\\"',
    'h\\u0061ck',
    ' ',
    '"',
    '{',
    '\\ud83d\\ude00',
    '\\u00',
    '\\',
  );

  it('judges JSON text in decoded form and releases it unchanged, for any cut [GUARD-1]', () => {
    const guardrails = compiled('content_excludes', { patterns: ['hack'] });
    fc.assert(
      fc.property(text, cuts, (whole, at) => {
        const expected = run(guardrails, [whole], true);
        expect(whole.startsWith(expected[0])).toBe(true);
        expect(decoded(expected[0])).not.toContain('hack');
        expect(expected[1]).toBe(decoded(whole).includes('hack'));
        expect(run(guardrails, whole.split(''), true)).toEqual(expected);
        expect(run(guardrails, cut(whole, at), true)).toEqual(expected);
      }),
      { seed: SEED, numRuns: RUNS * 2 },
    );
  });

  function decoded(source: string): string {
    return source.replace(
      /\\(?:u([0-9a-fA-F]{4})|([^u]))/gu,
      (_, hex: string | undefined, short: string | undefined) =>
        hex === undefined ? (short === 'n' ? '\n' : (short ?? '')) : String.fromCharCode(Number.parseInt(hex, 16)),
    );
  }
});

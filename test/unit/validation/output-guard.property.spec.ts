/* The guarantee of the output guard, for any text, any words and every way to cut the text. */

import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { compileGuardrails } from '../../../src/validation/compile-guardrails.js';
import { type CompiledGuardrail } from '../../../src/validation/guardrail.js';
import { createInputGuard } from '../../../src/validation/input-guard.js';
import { createOutputGuard } from '../../../src/validation/output-guard.js';
import {
  ALPHABET,
  INVISIBLE,
  type Outcome,
  type Rules,
  isUsable,
  outcomeOf,
  overLength,
  firstBannedWord,
  safeLength,
} from './oracle.js';

const NO_LIMIT = 1_000_000;

function guardrailsOf({ words, limit }: Rules): CompiledGuardrail[] {
  return compileGuardrails([
    { type: 'banned_words', enabled: true, params: { words } },
    { type: 'max_length', enabled: true, params: { max_length: limit } },
  ]);
}

/**
 * Runs a text in these pieces through a guard and checks that released text is never taken back.
 */
function run(guardrails: readonly CompiledGuardrail[], pieces: readonly string[], expected: Outcome): Outcome {
  const guard = createOutputGuard(guardrails);
  let released = '';
  for (const piece of [...pieces, null]) {
    const step = piece === null ? guard.end() : guard.push(piece);
    released += step.release;
    if (!expected.released.startsWith(released)) return { reason: null, released: `taken back: ${released}` };
    if (step.stop !== undefined) {
      return { reason: step.stop.finding.reason as Outcome['reason'], released }; // the caller compares it with the oracle's
    }
  }
  return { reason: null, released };
}

function cut(text: string, at: readonly number[]): string[] {
  const cuts = [0, ...[...at].map((n) => n % (text.length + 1)).sort((a, b) => a - b), text.length];
  return cuts.slice(1).map((end, i) => text.slice(cuts[i], end));
}

const character = fc.constantFrom(...ALPHABET);
// Few letters and few words, so that near misses and real matches are frequent.
const word = fc
  .oneof(
    fc.array(fc.constantFrom('a', 'b', 's', 'k', ' ', 'i'), { minLength: 2, maxLength: 5 }),
    fc.array(fc.constantFrom('e', 'a', '\u0301', '\u0302', '\u0323', '\u00e9', '\u1ec7'), {
      minLength: 1,
      maxLength: 4,
    }),
    fc.array(fc.constantFrom('\u304b', '\u304c', '\u6d77', '\u8cca', '\u0e01', 'a'), { minLength: 1, maxLength: 3 }),
    fc.array(character, { minLength: 2, maxLength: 4 }),
  )
  .map((characters) => characters.join(''))
  .filter(isUsable);

const disguised = (plain: string) =>
  fc
    .array(fc.tuple(fc.nat(8), fc.constantFrom(...INVISIBLE)), { maxLength: 2 })
    .map((hidden) => hidden.reduce((text, [at, mark]) => text.slice(0, at) + mark + text.slice(at), plain))
    .filter((text) => text.isWellFormed());

const cases = fc.array(word, { minLength: 1, maxLength: 3 }).chain((words) => {
  const planted = fc.constantFrom(...words);
  const piece = fc.oneof(
    { weight: 10, arbitrary: character },
    { weight: 3, arbitrary: planted.map((word) => ` ${word} `) },
    { weight: 1, arbitrary: planted.map((inside) => `a${inside}`) },
    { weight: 1, arbitrary: planted.chain(disguised) },
    { weight: 1, arbitrary: fc.tuple(planted, fc.nat(4)).map(([w, n]) => [...w].slice(0, n).join('')) },
    { weight: 1, arbitrary: fc.constantFrom(' ', '.', 'a') },
  );
  return fc.record({
    words: fc.constant(words),
    text: fc
      .oneof(fc.array(piece, { maxLength: 9 }), fc.array(character, { maxLength: 14 }))
      .map((pieces) => pieces.join('').slice(0, 24)),
    limit: fc.oneof(fc.constant(NO_LIMIT), fc.integer({ min: 1, max: 12 })),
  });
});

describe('output guard, for any text and any cut', () => {
  it('agrees with the oracle on the whole text for every cut in two places', () => {
    fc.assert(
      fc.property(cases, ({ text, ...rules }) => {
        const expected = outcomeOf(text, rules);
        const guardrails = guardrailsOf(rules);
        for (let i = 0; i <= text.length; i++) {
          for (let j = i; j <= text.length; j++) {
            const pieces = [text.slice(0, i), text.slice(i, j), text.slice(j)];
            expect(run(guardrails, pieces, expected)).toEqual(expected);
          }
        }
      }),
      { seed: 20_260_801, numRuns: 300 },
    );
  });

  it('agrees with the oracle one code unit at a time and for many random cuts', () => {
    const withCuts = fc.tuple(cases, fc.array(fc.array(fc.nat(), { maxLength: 12 }), { minLength: 4, maxLength: 4 }));
    fc.assert(
      fc.property(withCuts, ([{ text, ...rules }, cuts]) => {
        const expected = outcomeOf(text, rules);
        const guardrails = guardrailsOf(rules);
        expect(run(guardrails, text.split(''), expected)).toEqual(expected);
        for (const at of cuts) expect(run(guardrails, cut(text, at), expected)).toEqual(expected);
      }),
      { seed: 20_260_802, numRuns: 1_500 },
    );
  });

  it('holds no text that no continuation could complete to a match', () => {
    fc.assert(
      fc.property(cases, ({ text, ...rules }) => {
        const guard = createOutputGuard(guardrailsOf(rules));
        let released = '';
        for (let end = 1; end <= text.length; end++) {
          const step = guard.push(text.slice(end - 1, end));
          released += step.release;
          if (step.stop !== undefined) break;
          expect(released).toBe(text.slice(0, safeLength(text.slice(0, end), rules)));
        }
      }),
      { seed: 20_260_803, numRuns: 1_000 },
    );
  });

  it('makes the input guard refuse exactly the texts that break a rule', () => {
    fc.assert(
      fc.property(cases, ({ text, words, limit }) => {
        const { deny } = createInputGuard(guardrailsOf({ words, limit })).check([text]);
        const banned = firstBannedWord(text, words) !== -1;
        const long = overLength(text, limit) !== -1;
        expect(deny?.finding.reason ?? null).toBe(banned ? 'banned_word' : long ? 'too_long' : null);
      }),
      { seed: 20_260_804, numRuns: 1_000 },
    );
  });

  it('generates matches of both kinds and texts that pass', () => {
    const seen = new Map<string | null, number>();
    for (const { text, ...rules } of fc.sample(cases, { seed: 20_260_801, numRuns: 150 })) {
      const { reason } = outcomeOf(text, rules);
      seen.set(reason, (seen.get(reason) ?? 0) + 1);
    }
    for (const reason of ['banned_word', 'too_long', null]) expect(seen.get(reason) ?? 0).toBeGreaterThan(15);
  });
});

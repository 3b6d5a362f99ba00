/*
 * Text with planted markers, cut at random into a provider's deltas, through guards of every kind
 * that decides while text arrives. A leak is a character of a marker, or one that the guard of the
 * uncut text does not show. `npm run soak -- cuts` makes ten million cuts with a new seed.
 */

import { expect, it } from '@jest/globals';
import { compileGuardrails } from '../../../src/validation/compile-guardrails.js';
import { type CompiledGuardrail } from '../../../src/validation/guardrail.js';
import { createOutputGuard } from '../../../src/validation/output-guard.js';

const CUTS = Number(process.env['CUTS'] ?? 60_000);
const SEED = Number(process.env['CUTS_SEED'] ?? 20_261_129);
/** How often each text is cut again. */
const TIMES = 20;

/** Repeatable random numbers below `n` (mulberry32). */
let state = SEED;
function random(n: number): number {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) % n;
}
const oneOf = <T>(list: readonly T[]): T => list[random(list.length)] as T; // no list is empty
const digits = (n: number): string => Array.from({ length: n }, () => random(10)).join('');

/** Text that nearly matches, or matches with what comes next. */
const FREE = [
  ...['the ', 'a ', 'ship', 'and ', 'quote ', 'pro', 'ject ', 'quor', 'vex ', 'sk-', '4111 ', '+49', '\u{1f600}'],
  ...['Quorv', 'e', '. ', '\n', ', ', ' - ', 'v\u0301ex ', 'black ', 'x@', '@example', 'DE89 ', '2024 ', '\u200b'],
];
/** What the guardrails below find wherever it is between spaces. */
const MARKERS: readonly (() => string)[] = [
  () => oneOf(['quorvex', 'QUORVEX', 'quo\u200brvex', 'black flag', 'Black  Flag']),
  () => oneOf(['zqzqb', 'ZqZq']),
  () => `Project-${digits(4)}`,
  () => `zq${digits(4)}@leak.example`,
  () => '4111 1111 1111 1111',
  () => 'GB82WEST12345698765432',
  () => `sk-zq${digits(18)}`,
  () => `+49 30 ${1 + random(9)}${digits(6)}`,
];

const RULES = [
  { type: 'banned_words', params: { words: ['quorvex', 'black flag'] } },
  { type: 'content_excludes', params: { patterns: ['zqzq'] } },
  { type: 'regex', params: { pattern: '(?i)\\bproject-[0-9]{4}\\b' } },
];
const compiled = (...rules: readonly { readonly type: string; readonly params: Record<string, unknown> }[]) =>
  compileGuardrails(rules.map((rule) => ({ ...rule, enabled: true })));

interface Case {
  readonly guardrails: readonly CompiledGuardrail[];
  readonly json?: boolean;
}
const CASES: Readonly<Record<string, Case>> = {
  'end the text': { guardrails: compiled(...RULES, { type: 'pii', params: { action: 'deny' } }) },
  'replace personal data beside others that end it': { guardrails: compiled(...RULES, { type: 'pii', params: {} }) },
  'judge JSON as it is decoded': {
    guardrails: compiled(...RULES, { type: 'pii', params: { action: 'deny' } }),
    json: true,
  },
};

interface Text {
  readonly whole: string;
  /** The planted markers, and where the first begins. */
  readonly markers: readonly string[];
  readonly first: number;
}

function textFor({ json = false }: Case): Text {
  let [whole, first] = ['', Infinity];
  const markers: string[] = [];
  const written = (text: string): string => (json ? escaped(text) : text);
  for (let parts = 4 + random(14); parts > 0; parts -= 1) {
    if (random(8) > 0) {
      whole += written(oneOf(FREE));
      continue;
    }
    const marker = oneOf(MARKERS)();
    markers.push(marker);
    first = Math.min(first, whole.length + 1);
    whole += ` ${written(marker)} `;
  }
  return { whole, markers, first };
}

/** JSON of a text, in which some characters are escaped though they need not be. */
function escaped(text: string): string {
  return [
    ...JSON.stringify(text)
      .slice(1, -1)
      .matchAll(/\\.|[\s\S]/gu),
  ]
    .map(([c]) => (c.length === 1 && random(4) === 0 ? `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}` : c))
    .join('');
}

let cuts = 0;
function cutAtRandom(text: string): string[] {
  const pieces: string[] = [];
  const longest = 1 + random(random(2) === 0 ? 4 : 20);
  for (let at = 0; at < text.length;) {
    const length = 1 + random(longest);
    pieces.push(text.slice(at, at + length));
    at += length;
  }
  cuts += Math.max(0, pieces.length - 1);
  return pieces;
}

function shown({ guardrails, json = false }: Case, pieces: readonly string[]): string {
  const guard = createOutputGuard(guardrails, { json });
  let released = '';
  for (const piece of pieces) {
    const step = guard.push(piece);
    released += step.release;
    if (step.stop !== undefined) return released;
  }
  return released + guard.end().release;
}

function samePrefix(a: string, b: string): number {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length += 1;
  return length;
}

it.each(Object.entries(CASES))(
  'leaks no character at random cuts with guardrails that %s [GUARD-1, GUARD-9]',
  (_, one) => {
    const until = cuts + CUTS / Object.keys(CASES).length;
    let [leaked, missing, planted, streams] = [0, 0, 0, 0];
    while (cuts < until) {
      const { whole, markers, first } = textFor(one);
      const uncut = shown(one, [whole]);
      // A rule that ends the text does it before its marker; one that replaces shows no marker.
      const denies = one.guardrails.every(({ mask }) => mask === undefined);
      if (denies) leaked += Math.max(0, uncut.length - first);
      else for (const marker of markers) leaked += uncut.includes(marker) ? marker.length : 0;
      planted += markers.length;
      for (let i = 0; i < TIMES; i += 1) {
        const released = shown(one, cutAtRandom(whole));
        const same = samePrefix(released, uncut);
        leaked += released.length - same;
        missing += uncut.length - same;
        streams += 1;
      }
    }
    if (process.env['CUTS'] !== undefined)
      process.stdout.write(`${JSON.stringify({ seed: SEED, cuts, streams, planted, leaked, missing })}\n`);
    expect({ leaked, missing }).toEqual({ leaked: 0, missing: 0 });
    expect(planted).toBeGreaterThan(streams / TIMES / 2);
  },
  24 * 3_600_000,
);

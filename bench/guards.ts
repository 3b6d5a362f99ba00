/*
 * `npm run bench -- guards`: what an output guard costs a delta, and how much text it holds. Runs
 * in one process, without a gateway: the rest of a delta's way is in the other scenarios.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import process from 'node:process';
import { compileGuardrails } from '../src/validation/compile-guardrails.js';
import { type GuardrailSpec } from '../src/validation/guardrail.js';
import { createOutputGuard } from '../src/validation/output-guard.js';
import { describe, hardware } from './lib/hardware.js';
import { bannedWords, wordAt } from './lib/words.js';

const PAGE = 'docs/performance.md';
const DELTAS = 250;
/** Answers of a window, and windows: the median counts. */
const ANSWERS = 400;
const WINDOWS = 9;

const spec = (type: string, params: GuardrailSpec['params']): GuardrailSpec => ({ type, enabled: true, params });
const words = (count: number): GuardrailSpec => spec('banned_words', { words: bannedWords(count) });
const pattern = spec('regex', { pattern: '(?i)\\bproject-[0-9]{4}\\b' });

const CASES: readonly (readonly [label: string, guardrails: readonly GuardrailSpec[]])[] = [
  ['no guardrail', []],
  ['10 words', [words(10)]],
  ['10,000 words', [words(10_000)]],
  ['one pattern', [pattern]],
  ['personal data', [spec('pii', {})]],
  ['at most 200 sentences', [spec('max_sentences', { max: 200 })]],
  ['10,000 words, one pattern, personal data', [words(10_000), pattern, spec('pii', {})]],
];

/** English prose with its punctuation: the project's own pages, cut like a model's tokens. */
const PROSE = ['README.md', 'docs/clients.md', 'docs/guardrails.md']
  .map((file) => readFileSync(file, 'utf8').replaceAll(/```[\s\S]*?```|[|`*#<>]/gu, ' '))
  .join(' ')
  .replaceAll(/\s+/gu, ' ');
const TOKENS = PROSE.match(/ ?[A-Za-z]{1,7}| ?[^A-Za-z ]{1,3}| /gu) ?? [];

interface Row {
  readonly label: string;
  readonly microseconds: number;
  readonly heldMean: number;
  readonly heldP99: number;
}

function measure([label, specs]: (typeof CASES)[number]): Row {
  const guardrails = compileGuardrails(specs);
  const times = Array.from({ length: WINDOWS }, () => {
    const since = performance.now();
    for (let answer = 0; answer < ANSWERS; answer += 1) {
      const guard = createOutputGuard(guardrails);
      for (let i = 0; i < DELTAS; i += 1) guard.push(wordAt(answer + i));
      guard.end();
    }
    return ((performance.now() - since) * 1_000) / (ANSWERS * DELTAS);
  });
  const held: number[] = [];
  let guard = createOutputGuard(guardrails);
  for (const [i, token] of TOKENS.entries()) {
    if (i % DELTAS === 0) guard = createOutputGuard(guardrails);
    const { stop } = guard.push(token);
    if (stop !== undefined) throw new Error(`unable to measure ${label}; the text breaks its rule`);
    held.push(guard.held ?? 0);
  }
  held.sort((a, b) => a - b);
  return {
    label,
    microseconds: times.toSorted((a, b) => a - b)[Math.floor(WINDOWS / 2)] ?? 0,
    heldMean: held.reduce((sum, count) => sum + count, 0) / held.length,
    heldP99: held[Math.floor(held.length * 0.99)] ?? 0,
  };
}

CASES.forEach(measure);
const rows = CASES.map(measure);
const table = [
  '| guardrails | µs a delta | held characters, mean | held characters, p99 |',
  '| --- | --: | --: | --: |',
  ...rows.map(
    (row) => `| ${row.label} | ${row.microseconds.toFixed(2)} | ${row.heldMean.toFixed(2)} | ${row.heldP99} |`,
  ),
].join('\n');
const about = `A delta is one English word. Median of ${WINDOWS} windows of ${(ANSWERS * DELTAS).toLocaleString('en-US')} deltas, ${new Date().toISOString().slice(0, 10)}, on ${describe(hardware())}. Held characters after each of ${TOKENS.length.toLocaleString('en-US')} deltas of English prose.`;
process.stdout.write(`${about}\n\n${table}\n`);
if (process.argv.includes('--write')) {
  const page = readFileSync(PAGE, 'utf8');
  const block = `<!-- bench guards -->\n\n${about}\n\n${table}\n\n<!-- end guards -->`;
  const written = page.replace(/<!-- bench guards -->[\s\S]*<!-- end guards -->/u, block);
  if (!written.includes(table)) throw new Error(`unable to write ${PAGE}; it has no place for this table`);
  writeFileSync(PAGE, written);
}

/* SECURITY.md: each defence names tests that exist, by a rule or by words of their titles. */

import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';

/** One test that a row names: `[name](file) AUTH-1, "words of a title"`. */
const NAMED = /^\[[\w-]+\]\((?<file>test\/[\w./-]+\.spec\.ts)\) (?<what>.+)$/u;

const table = /^\| threat \| defence \| tested by \|\n\|---\|---\|---\|\n(?<rows>(?:\|.*\n)+)/mu;
const rows = (table.exec(readFileSync('SECURITY.md', 'utf8'))?.groups?.['rows'] ?? '')
  .trim()
  .split('\n')
  .map((row) => row.split('|').map((cell) => cell.trim()));

/** Titles of tests, as they are written in a file. */
const titlesOf = (file: string): string =>
  existsSync(file)
    ? [...readFileSync(file, 'utf8').matchAll(/(?:\b(?:it|describe)(?:\.each)?\(|\)\()\s*(['"`])(?<title>.*?)\1,/gu)]
        .map(({ groups }) => groups?.['title'] ?? '')
        .join('\n')
    : '';

/** What a cell names and its files do not have. */
function missingIn(cell: string): string[] {
  return cell.split('; ').flatMap((named) => {
    const { file = '', what = '' } = NAMED.exec(named)?.groups ?? {};
    const words = what.match(/[A-Z]+-\d+|"[^"]+"/gu) ?? [];
    if (words.length === 0) return [named];
    const titles = titlesOf(file);
    const has = (word: string): boolean =>
      word.startsWith('"')
        ? titles.includes(word.slice(1, -1))
        : new RegExp(`\\[[^\\]]*\\b${word}\\b[^\\]]*\\]`, 'u').test(titles);
    return words.filter((word) => !has(word)).map((word) => `${file}: ${word}`);
  });
}

describe('SECURITY.md', () => {
  it('has threats with defences', () => expect(rows.length).toBeGreaterThan(10));

  it.each(rows.map(([, threat = '', defence = '', tests = '']) => [threat, defence, tests] as const))(
    'names existing tests of the defence against %s',
    (_threat, defence, tests) => {
      expect(defence).not.toBe('');
      expect(missingIn(tests)).toEqual([]);
    },
  );

  it('reports a file and a title that do not exist', () => {
    const real = 'test/unit/docs/security.spec.ts';
    expect(missingIn(`[security](${real}) "has threats with defences"`)).toEqual([]);
    expect(
      missingIn(`[security](${real}) AUTH-99, "no such title"; [gone](test/unit/gone.spec.ts) "x"; prose`),
    ).toEqual([`${real}: AUTH-99`, `${real}: "no such title"`, 'test/unit/gone.spec.ts: "x"', 'prose']);
  });

  it.each(['## How to report', '## Assets, actors and boundaries', '## Threats and defences', '**Not defended**'])(
    'has the section %s',
    (heading) => expect(readFileSync('SECURITY.md', 'utf8')).toContain(heading),
  );
});

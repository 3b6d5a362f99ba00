/* The texts of log lines are a contract: docs/operations lists each, as the sources write it. */

import { globSync, readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';

const CALL = /\blogger\.(?:debug|info|warn|error)\(/giu;
const TEXT = /'((?:[^'\\]|\\.)+)'/gu;
const TOKEN = /'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`|[([{)\]},]/gu;

/** The arguments of a call as they are written, from behind its opening parenthesis on. */
function argumentsIn(source: string): string[] {
  const found: string[] = [];
  let [depth, from] = [1, 0];
  for (const { 0: token, index } of source.matchAll(TOKEN)) {
    if ('([{'.includes(token)) depth += 1;
    else if (')]}'.includes(token)) depth -= 1;
    if (depth === 0 || (depth === 1 && token === ',')) {
      found.push(source.slice(from, index).trim());
      from = index + 1;
    }
    if (depth === 0) break;
  }
  return found.filter((argument) => argument !== '');
}

/**
 * The texts in the last argument of each call of a logger. A line whose text is a variable has
 * none.
 */
function textsIn(source: string): string[] {
  return [...source.matchAll(CALL)].flatMap(({ 0: call, index }) => {
    const last = argumentsIn(source.slice(index + call.length)).at(-1) ?? '';
    return [...last.matchAll(TEXT)].map(([, text = '']) => text);
  });
}

const written = new Set(globSync('src/**/*.ts').flatMap((file) => textsIn(readFileSync(file, 'utf8'))));

const page = readFileSync('docs/operations/README.md', 'utf8');
const table = /^\| `msg` \|.*\n\|[-|]+\|\n(?<rows>(?:\|.*\n)+)/mu.exec(page)?.groups?.['rows'] ?? '';
const listed = new Set(
  table
    .trim()
    .split('\n')
    .flatMap((row) => [...(row.split('|')[1] ?? '').matchAll(/`([^`]+)`/gu)].map(([, text = '']) => text)),
);
/** The price list writes this line: `config check` prints it, too. */
const ELSEWHERE = 'price unknown, limits.per_user.cost_per_day_usd does not bound this model';

/** The texts that a page calls a log line: ``the log line `text` `` and ``"msg":"text"``. */
function quotedIn(text: string): string[] {
  const quotes = [/log(?:\s+has|\s+line)\s+`([a-z][^`]+)`/gu, /"msg":"([^"]+)"/gu, /msg="([^"]+)"/gu];
  return quotes.flatMap((quote) => [...text.matchAll(quote)].map(([, found = '']) => found));
}

describe('the table of log lines', () => {
  it('lists every text that the sources log', () => {
    expect(written.size).toBeGreaterThan(30);
    expect([...written].filter((text) => !listed.has(text))).toEqual([]);
  });

  it('lists no text that the sources do not log', () => {
    expect([...listed].filter((text) => !written.has(text) && text !== ELSEWHERE)).toEqual([]);
  });

  it.each(['docs/operations/README.md', 'docs/operations/runbook.md', 'docs/auth.md', 'docs/packs.md'])(
    'has every log line that %s quotes',
    (file) => {
      expect(quotedIn(readFileSync(file, 'utf8')).filter((text) => !listed.has(text))).toEqual([]);
    },
  );

  it('reads the last argument of a call, with both texts of a choice', () => {
    expect(textsIn("logger.warn({ a: 'b', c: [d('e')] }, x ? 'first' : 'second');")).toEqual(['first', 'second']);
    expect(textsIn("this.#logger.info(\n  { a: 'b' },\n  'server started',\n);")).toEqual(['server started']);
    expect(textsIn('logger.warn({}, warning)')).toEqual([]);
  });
});

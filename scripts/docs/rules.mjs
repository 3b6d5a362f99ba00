/*
 * Compares PROTOCOL.md with the tests: every rule (`- **WS-4** …`) is cited by a test that carries
 * its id in its name (`[WS-4]`, `[WS-4, EV-1]`), and every citation names a rule. The table of
 * error codes must be the one of the code. Needs a build. `--write` writes the table; `--list`
 * prints the tests of each rule.
 */

import { globSync, readFileSync, writeFileSync } from 'node:fs';
import { ERROR_CODES } from '../../dist/domain/errors.js';

const ROOT = new URL('../../', import.meta.url);
const PAGE = new URL('PROTOCOL.md', ROOT);
const RULE = /^- \*\*([A-Z]{2,5}-\d+)\*\* \S/;
const CITATION = /\[([A-Z]{2,5}-\d+(?:,? [A-Z]{2,5}-\d+)*)\]/g;
/** A test that does not run proves nothing. */
const NOT_RUN = /\b(?:it|test|describe)\.(?:skip|todo)\b|\bx(?:it|describe)\b/;
const TABLE = /(<!-- errors:[^\n]*-->\n)[^]*?(<!-- \/errors -->)/;

function rulesOf(page) {
  const rules = new Set();
  const mistakes = [];
  for (const line of page.split('\n')) {
    const id = RULE.exec(line)?.[1];
    if (id === undefined) continue;
    if (rules.has(id)) mistakes.push(`PROTOCOL.md gives ${id} to two rules`);
    rules.add(id);
  }
  return { rules, mistakes };
}

function citationsIn(files) {
  const found = [];
  for (const file of files) {
    readFileSync(new URL(file, ROOT), 'utf8')
      .split('\n')
      .forEach((line, index) => {
        if (NOT_RUN.test(line)) return;
        for (const [, ids = ''] of line.matchAll(CITATION)) {
          for (const id of ids.split(/,? /)) found.push({ id, at: `${file}:${index + 1}` });
        }
      });
  }
  return found;
}

function errorTable() {
  const rows = Object.entries(ERROR_CODES).map(
    ([code, { status, type, retryable }]) =>
      `| \`${code}\` | ${status} | \`${type}\` | ${retryable ? 'yes' : 'no'} |\n`,
  );
  return `| code | status | type | worth trying again |\n|---|---|---|---|\n${rows.join('')}`;
}

function main(flag) {
  const page = readFileSync(PAGE, 'utf8');
  const current = page.replace(TABLE, (_all, begin, end) => `${begin}\n${errorTable()}\n${end}`);
  if (flag === '--write') writeFileSync(PAGE, current);

  const { rules, mistakes } = rulesOf(page);
  const citations = citationsIn(globSync('test/**/*.spec.ts', { cwd: ROOT }).sort());
  if (flag === '--list') {
    for (const rule of rules) console.log(rule, ...citations.filter(({ id }) => id === rule).map(({ at }) => at));
  }
  if (flag !== '--write' && current !== page) {
    mistakes.push(
      'the error codes in PROTOCOL.md are not those of src/domain/errors.ts; run: node scripts/docs/rules.mjs --write',
    );
  }
  const cited = new Set(citations.map(({ id }) => id));
  for (const rule of rules) if (!cited.has(rule)) mistakes.push(`no test cites ${rule}`);
  for (const { id, at } of citations)
    if (!rules.has(id)) mistakes.push(`${at} cites ${id}, which is no rule of PROTOCOL.md`);
  for (const mistake of mistakes) console.error(mistake);
  if (mistakes.length === 0) console.log(`${rules.size} rules, ${citations.length} citations`);
  return mistakes.length === 0 ? 0 : 1;
}

process.exitCode = main(process.argv[2]);

/*
 * `npm test`: installs what is needed, builds, checks, runs every suite, and sums it up in its last line. `npm test -- unit`
 * runs one suite, `npm test -- unit test/unit/auth` a part of it. With CI=true nothing may be missing or skipped.
 */

import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { setTimeout } from 'node:timers';
import { NODE, ownEnv, prepare, ROOT } from './lib/prepare.mjs';
import { endWithChildren, run, seconds } from './lib/run.mjs';
import { lastLine, sum, tallyJest } from './lib/tally.mjs';
import { ensureTools } from './lib/tools.mjs';

const MINUTE_MS = 60_000;
/** `alone`: measures time or drives processes, so its files run one after the other. */
const SUITES = [
  { name: 'check', limitMs: 6 * MINUTE_MS },
  { name: 'unit', limitMs: 6 * MINUTE_MS },
  { name: 'contract', limitMs: 5 * MINUTE_MS },
  { name: 'conformance', limitMs: 5 * MINUTE_MS },
  { name: 'official', limitMs: 5 * MINUTE_MS },
  { name: 'browser', limitMs: 5 * MINUTE_MS, alone: true },
  { name: 'operations', limitMs: 6 * MINUTE_MS, alone: true },
  { name: 'system', limitMs: 8 * MINUTE_MS, alone: true },
  { name: 'chaos', limitMs: 4 * MINUTE_MS, alone: true },
];
/** All suites together, so that the last line always comes before somebody else's patience ends. */
const WHOLE_LIMIT_MS = 23 * MINUTE_MS;
/** What jest says when tests are over and something keeps the process alive, and how long it may then go on. */
const HANGING = 'Jest did not exit one second after the test run has completed';
const LEAVE_WITHIN_MS = 10_000;

const inCi = process.env.CI === 'true';
const reports = join(ROOT, '.cache/test');
const startedAt = Date.now();

function parseArguments(words) {
  const names = new Set(SUITES.map(({ name }) => name));
  const chosen = words.filter((word) => names.has(word));
  const rest = words.filter((word) => !names.has(word));
  return { suites: SUITES.filter(({ name }) => chosen.length === 0 || chosen.includes(name)), rest };
}

function readReport(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return undefined;
  }
}

async function runSuite(suite, rest) {
  const limitMs = Math.min(suite.limitMs, WHOLE_LIMIT_MS - (Date.now() - startedAt));
  if (limitMs <= 0) return { passed: 0, failed: 1, notes: ['not run: no time was left'] };
  const report = join(reports, `${suite.name}.json`);
  rmSync(report, { force: true });
  const isCheck = suite.name === 'check';
  let hangs = false;
  const onText = (text, end) => {
    if (hangs || !text.includes(HANGING)) return;
    hangs = true;
    setTimeout(end, LEAVE_WITHIN_MS).unref();
  };
  const args = isCheck ? ['scripts/check.mjs', '--report', report] : jestArguments(suite, rest, report);
  const ended = await run(NODE, args, { cwd: ROOT, env: ownEnv(), limitMs, show: true, onText });
  const read = readReport(report);
  const tally = isCheck ? checkTally(read) : tallyJest(read, { strict: inCi });
  if (hangs) return worse(tally, 'its tests ended but the process did not: something stayed open');
  if (ended.timedOut) return worse(tally, `no end within ${seconds(limitMs)}: a test or something left open hangs`);
  if (ended.code !== 0 && tally.failed === 0) return worse(tally, `the runner ended with ${ended.code}`);
  return tally;
}

function jestArguments({ name, alone }, rest, report) {
  return [
    '--experimental-vm-modules',
    '--disable-warning=ExperimentalWarning',
    'node_modules/jest/bin/jest.js',
    ...rest,
    ...['--selectProjects', name],
    ...['--json', '--outputFile', report, '--passWithNoTests'],
    ...(alone ? ['--runInBand'] : ['--maxWorkers', String(Math.max(2, availableParallelism() - 1))]),
    ...(inCi ? ['--ci'] : []),
  ];
}

const checkTally = (counted) => ({ ...(counted ?? { passed: 0, failed: 1 }), notes: [] });
const worse = (tally, note) => ({ ...tally, failed: tally.failed + 1, notes: [...tally.notes, note] });

async function main() {
  endWithChildren();
  const { suites, rest } = parseArguments(process.argv.slice(2));
  const preparations = [];
  if (!(await ensureTools()) && inCi) preparations.push({ passed: 0, failed: 1 });
  if (!(await prepare())) return (console.log(lastLine({ passed: 0, failed: 1 })), 1);
  mkdirSync(reports, { recursive: true });

  const tallies = [];
  for (const suite of suites) {
    console.log(`\n== ${suite.name}`);
    const suiteStartedAt = Date.now();
    tallies.push({ name: suite.name, ...(await runSuite(suite, rest)), ms: Date.now() - suiteStartedAt });
  }
  console.log('');
  for (const { name, passed, failed, notes, ms } of tallies) {
    console.log(
      `${name.padEnd(12)} ${passed} passed, ${failed} failed, ${seconds(ms)}${notes.map((note) => `; ${note}`).join('')}`,
    );
  }
  const total = sum([...preparations, ...tallies]);
  console.log(lastLine(total));
  return total.failed === 0 ? 0 : 1;
}

process.exitCode = await main();

/*
 * `npm test`: installs what is needed, builds, checks, runs every suite beside that, and prints the
 * sum in its last line. `npm test -- unit` runs one suite, `npm test -- unit test/unit/auth` a part
 * of it. `npm test -- simulation --seed 7` runs one schedule of the simulation and prints it. With
 * CI=true a missing tool or a skipped test is a failure.
 */

import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { setTimeout } from 'node:timers';
import { recordDurations } from '../lib/durations.mjs';
import { buildHelm, helmIsMissing } from '../lib/helm.mjs';
import { NODE, ownEnv, prepare, ROOT } from '../lib/prepare.mjs';
import { endWithChildren, run, seconds } from '../lib/run.mjs';
import { lastLine, Progress, sum } from '../lib/tally.mjs';
import { ensureTools } from '../lib/tools.mjs';

/**
 * Each suite is a project of jest.config.mjs and a folder of test/. All files share the workers of
 * one run.
 */
const SUITES = [
  ...[
    'unit',
    'simulation',
    'contract',
    'conformance',
    'fuzz',
    'official',
    'languages',
    'providers',
    'browser',
    'operations',
  ],
  ...['system', 'chaos'],
];
/**
 * Much of the time is spent waiting for processes, leases and browsers, so there are two workers
 * more than there are cores.
 */
const WORKERS = Math.min(8, availableParallelism() + 2);
/**
 * A run is aborted if no test and no step has ended for this long. A single test has its own limit
 * (jest.config.mjs), so this only catches an endless loop, or a worker that died silently. The
 * whole run has no limit, for slow machines.
 */
const STALL_MS = 30 * 60_000;
/**
 * Jest prints this when tests are over and an open handle keeps the process alive; after the time
 * below it is killed.
 */
const HANGING = 'Jest did not exit one second after the test run has completed';
const LEAVE_WITHIN_MS = 5 * 60_000;
const SLOWEST = 12;

const inCi = process.env.CI === 'true';
const reports = join(ROOT, '.cache/test');

function parseArguments(words) {
  const seedAt = words.findIndex((word) => /^--seed(?:=|$)/.test(word));
  if (seedAt >= 0) {
    const [word, next] = words.splice(seedAt, words[seedAt] === '--seed' ? 2 : 1);
    const seed = next ?? word.slice('--seed='.length);
    if (!/^\d+$/.test(seed)) throw new Error('unable to run a schedule; --seed needs a whole number; give --seed 7');
    process.env.SIMULATION_SEED = seed;
    // One schedule only: no other suite, and not the other files of the simulation.
    return { check: false, suites: ['simulation'], rest: ['test/simulation/schedules-1.spec.ts'] };
  }
  const names = new Set(['check', ...SUITES]);
  const chosen = words.filter((word) => names.has(word));
  const isChosen = (name) => chosen.length === 0 || chosen.includes(name);
  const rest = words.filter((word) => !names.has(word));
  return { check: isChosen('check'), suites: SUITES.filter(isChosen), rest };
}

/**
 * @param beside whether suites run at the same time; they mostly wait, while the check uses the CPU
 */
async function runCheck(beside) {
  console.log('\n== check');
  const report = join(reports, 'check.json');
  rmSync(report, { force: true });
  const args = ['scripts/development/check.mjs', '--report', report, ...(beside ? ['--one-by-one'] : [])];
  const ended = await run(NODE, args, { cwd: ROOT, env: ownEnv(), stallMs: STALL_MS, show: true });
  const tally = { name: 'check', passed: 0, failed: 1, failures: [], ...readReport(report), notes: [], ms: ended.ms };
  return withProblems(tally, problemsOf(ended, tally.failed));
}

function readReport(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return {};
  }
}

/**
 * @param isAwaited returns whether a build runs that the suites may wait for
 * @returns one tally a suite, and one of the run itself where that failed
 */
async function runSuites(suites, rest, isAwaited) {
  console.log(`\n== ${suites.join(' ')}`);
  const progress = new Progress();
  let over = false;
  let hangs = false;
  const onText = (text, end) => {
    if (over || !text.includes(HANGING)) return;
    over = true;
    setTimeout(() => {
      hangs = true;
      end();
    }, LEAVE_WITHIN_MS).unref();
  };
  const ended = await run(NODE, jestArguments(suites, rest), {
    cwd: ROOT,
    env: ownEnv(),
    stallMs: STALL_MS,
    isAwaited,
    show: true,
    onText,
    onMessage: (message) => progress.take(message),
  });
  const tallies = suites.map((name) => ({ name, ...progress.tally(name, { strict: inCi }) }));
  const problems = hangs
    ? ['the tests ended but the process did not: something stayed open']
    : problemsOf(ended, sum(tallies).failed);
  recordDurations(progress.slowest(Infinity));
  if (suites.length > 1) printSlowest(progress);
  if (problems.length === 0) return tallies;
  return [
    ...tallies,
    withProblems({ name: 'the run', passed: 0, failed: 0, failures: [], notes: [], ms: ended.ms }, problems),
  ];
}

function jestArguments(suites, rest) {
  return [
    '--experimental-vm-modules',
    '--disable-warning=ExperimentalWarning',
    'node_modules/jest/bin/jest.js',
    ...rest,
    ...['--selectProjects', ...suites],
    ...['--passWithNoTests', '--maxWorkers', String(WORKERS)],
    ...(inCi ? ['--ci'] : []),
  ];
}

/** Returns failures of the run itself, beside the counted failures. */
function problemsOf({ timedOut, code }, failed) {
  if (timedOut) return [`nothing ended for ${seconds(STALL_MS)}: a test or something left open hangs`];
  return code !== 0 && failed === 0 ? [`the runner ended with ${code}`] : [];
}

const withProblems = (tally, problems) => ({
  ...tally,
  failed: tally.failed + problems.length,
  notes: [...tally.notes, ...problems],
});

function printSlowest(progress) {
  console.log('\nslowest files:');
  for (const { file, ms } of progress.slowest(SLOWEST)) console.log(`  ${seconds(ms).padStart(6)}  ${file}`);
}

function printTallies(tallies) {
  const failures = tallies.flatMap((tally) => tally.failures);
  if (failures.length > 0) console.log(`\nfailed:\n${failures.map((failure) => `  ${failure}`).join('\n')}`);
  console.log('');
  for (const { name, passed, failed, notes, ms } of tallies)
    console.log(
      `${name.padEnd(12)} ${passed} passed, ${failed} failed, ${seconds(ms)}${notes.map((note) => `; ${note}`).join('')}`,
    );
}

async function main() {
  const startedAt = Date.now();
  endWithChildren();
  const { check, suites, rest } = parseArguments(process.argv.slice(2));
  let builds = false;
  const startHelm = () => {
    if (builds || !suites.includes('operations') || !helmIsMissing()) return;
    builds = true;
    void buildHelm().finally(() => (builds = false));
  };
  startHelm();
  const preparations = [];
  if (!(await ensureTools()) && inCi) preparations.push({ passed: 0, failed: 1 });
  // Go may have been among them.
  startHelm();
  if (!(await prepare())) {
    console.log(lastLine({ passed: 0, failed: 1 }));
    // This also ends the build of Helm.
    process.exit(1);
  }
  mkdirSync(reports, { recursive: true });

  const ran = await Promise.all([
    check ? runCheck(suites.length > 0) : [],
    suites.length > 0 ? runSuites(suites, rest, () => builds) : [],
  ]);
  const tallies = ran.flat();
  printTallies(tallies);
  // The suites share workers: the times of their files come to more than the time that passed.
  console.log(`${'together'.padEnd(12)} ${seconds(Date.now() - startedAt)}`);
  const total = sum([...preparations, ...tallies]);
  console.log(lastLine(total));
  return total.failed === 0 ? 0 : 1;
}

process.exitCode = await main();

/*
 * `npm run check`: all static checks of the sources. Two steps at a time. Prints one line for a
 * step that passes, and the whole output of one that fails. `--report FILE` also writes the count
 * there; `--one-by-one` runs one step at a time, beside other work.
 */

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { NODE, ownEnv, prepare, ROOT } from '../lib/prepare.mjs';
import { endWithChildren, run, seconds } from '../lib/run.mjs';

const AT_ONCE = process.argv.includes('--one-by-one') ? 1 : 2;
/** A bound against a hang: no step takes a fifth of it on a quiet machine. */
const STEP_LIMIT_MS = 20 * 60_000;

const PRETTIER_CACHE = ['--cache', '--cache-strategy', 'content', '--cache-location', '.cache/prettier'];

/** The longest first, so that the run does not end waiting for one step. */
const STEPS = [
  program('lint', 'eslint', ['--max-warnings', '0', '.']),
  program('format', 'prettier', ['--check', '--log-level', 'warn', ...PRETTIER_CACHE, '.']),
  program('unused code and dependencies', 'knip', ['--no-progress']),
  program('types', 'tsc', ['--noEmit', '-p', 'tsconfig.json']),
  program('types of the client', 'tsc', ['--noEmit', '-p', 'client/tsconfig.json']),
  program('layers', 'depcruise', ['--config', '.dependency-cruiser.mjs', 'src', 'client']),
  program('lock file complete', 'npm', ['ci', '--dry-run', '--include=dev', '--loglevel=error']),
  { name: 'lock file free of addresses', work: addressesInLockFile },
  script('configuration reference up to date', 'scripts/docs/config-reference.mjs', ['--check']),
  script('metrics reference up to date', 'scripts/docs/metrics-reference.mjs', ['--check']),
  script('licences of what is shipped', 'scripts/release/licences.mjs', []),
  script('alerts, dashboard, deployment and chart up to date', 'monitoring/render/main.ts', ['--check']),
  script('every rule of PROTOCOL.md has a test', 'scripts/docs/rules.mjs', []),
  script('words of the deny list', 'scripts/docs/vocabulary.mjs', []),
].filter((step) => step !== undefined);

function program(name, command, args) {
  return { name, work: () => run(command, args, { cwd: ROOT, env: ownEnv(), limitMs: STEP_LIMIT_MS }) };
}

/** A step that runs a script, or undefined if the script does not exist. */
function script(name, file, args) {
  return existsSync(join(ROOT, file)) ? program(name, NODE, [file, ...args]) : undefined;
}

/** An address in the lock file would bind every install to one registry. */
function addressesInLockFile() {
  const lines = readFileSync(join(ROOT, 'package-lock.json'), 'utf8').split('\n');
  const found = lines.filter(
    (line) => /"resolved": "(?!file:|[\w./-]+")/.test(line) || /https?:\/\/[^"]*\.tgz/.test(line),
  );
  return { code: found.length === 0 ? 0 : 1, output: found.join('\n'), timedOut: false, ms: 0 };
}

async function runStep({ name, work }) {
  const { code, output, timedOut, ms } = await work();
  const ok = code === 0 && !timedOut;
  if (ok) console.log(`ok      ${name} (${seconds(ms)})`);
  else console.log(`FAILED  ${name}${timedOut ? `: no end within ${seconds(STEP_LIMIT_MS)}` : ''}\n${output}`);
  return ok;
}

endWithChildren();
if (!(await prepare())) process.exit(1);
const waiting = STEPS.values();
const results = [];
await Promise.all(
  Array.from({ length: AT_ONCE }, async () => {
    for (const step of waiting) results.push(await runStep(step));
  }),
);
const failed = results.filter((ok) => !ok).length;
const counted = { passed: results.length - failed, failed };
const reportAt = process.argv.indexOf('--report');
if (reportAt > 0) writeFileSync(process.argv[reportAt + 1], JSON.stringify(counted));
console.log(`check: ${counted.passed} passed, ${counted.failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;

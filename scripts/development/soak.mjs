/*
 * `npm run soak`: long runs. First a million schedules of the simulation, with new seeds (`npm run
 * soak -- simulation 5000` for another number). Then the chaos suite with 200 viewers, until
 * 250,000 events were delivered (`npm run soak -- chaos 1000000` for another number). Then planted
 * markers, read through every way there is (`npm run soak -- truth 400`), a million fuzzed inputs
 * (`npm run soak -- fuzz 1000000`), the largest legal requests with every filling in every place
 * (`npm run soak -- largest`), and the guards: random texts and cuts against an oracle (`npm run
 * soak -- guards 100000` for another number of texts a kind). Last, ten million random cuts of text
 * with planted markers (`npm run soak -- cuts 1000000` for another number). SIMULATION_FIRST,
 * CHAOS_SEED, TRUTH_SEED, FUZZ_SEED, CUTS_SEED and GUARD_SEED repeat a run.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import process from 'node:process';
import { NODE, ownEnv, prepare, ROOT } from '../lib/prepare.mjs';

const SOAKS = {
  simulation: (count = '1000000') => ({
    SIMULATION_FIRST: String(Math.floor(Date.now() / 1_000)),
    SIMULATION_SCHEDULES: count,
  }),
  chaos: (count = '250000') => ({ CHAOS_VIEWERS: '200', CHAOS_EVENTS: count }),
  // Each text is cut a dozen times by its test.
  truth: (count = '400') => ({ TRUTH_SEED: String(Math.floor(Date.now() / 1_000)), TRUTH_ROUNDS: count }),
  fuzz: (count = '1000000') => ({ FUZZ_SEED: String(Math.floor(Date.now() / 1_000)), FUZZ_CASES: count }),
  // Every filling in every place of every request.
  largest: () => ({ LARGEST: 'all' }),
  cuts: (count = '10000000') => ({ CUTS_SEED: String(Math.floor(Date.now() / 1_000)), CUTS: count }),
  guards: (count = '20000') => ({ GUARD_SEED: String(Math.floor(Date.now() / 1_000)), GUARD_RUNS: count }),
};
/** The suite of a soak, and the files in it, where its name is not the suite's. */
const SUITES = {
  cuts: ['unit', '--', 'test/unit/validation/random-cuts'],
  truth: ['conformance', '--', 'one-guarded-truth'],
  guards: ['unit', '--', 'test/unit/validation'],
  largest: ['unit', '--', 'largest'],
};

async function soak(name, count) {
  const env = { ...SOAKS[name](count), ...ownEnv() };
  const jest = ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning', 'node_modules/jest/bin/jest.js'];
  const child = spawn(NODE, [...jest, '--selectProjects', ...(SUITES[name] ?? [name])], {
    cwd: ROOT,
    env,
    stdio: 'inherit',
  });
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
  const [code, signal] = await once(child, 'exit');
  return code ?? (signal === 'SIGINT' ? 130 : 143);
}

if (!(await prepare())) process.exit(1);
const [chosen, count] = process.argv.slice(2);
for (const name of chosen === undefined ? Object.keys(SOAKS) : [chosen]) {
  const code = await soak(name, count);
  if (code !== 0) process.exit(code);
}

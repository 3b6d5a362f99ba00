/*
 * `npm run soak`: the chaos suite, wide and long: 200 viewers, until 250,000 events were delivered (`npm run soak -- 1000000`: so many).
 * CHAOS_SEED repeats an order of faults.
 */

import { spawn } from 'node:child_process';
import process from 'node:process';
import { NODE, ownEnv, prepare, ROOT } from './lib/prepare.mjs';

if (!(await prepare())) process.exit(1);
const env = { CHAOS_VIEWERS: '200', CHAOS_EVENTS: process.argv[2] ?? '250000', ...ownEnv() };
const jest = ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning', 'node_modules/jest/bin/jest.js'];
const child = spawn(NODE, [...jest, '--selectProjects', 'chaos'], { cwd: ROOT, env, stdio: 'inherit' });
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
child.on('exit', (code, signal) => process.exit(code ?? (signal === 'SIGINT' ? 130 : 143)));

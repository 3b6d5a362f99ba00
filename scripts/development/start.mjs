/*
 * `npm start`: from a fresh checkout to a running gateway. Installs and builds if needed, then runs
 * the app under the project's own Node. The app prints everything about ports, keys and
 * configuration.
 */

import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { performance } from 'node:perf_hooks';
import process from 'node:process';
import { clearInterval, setInterval } from 'node:timers';
import { NODE, prepare, ROOT } from '../lib/prepare.mjs';
import { endWithChildren } from '../lib/run.mjs';

// A Ctrl-C arrives twice here, from the terminal and from npm; the app aborts its turns on a second
// signal.
const SAME_SIGNAL_MS = 500;
const PARENT_CHECK_MS = 500;

const stopPreparing = endWithChildren();
const ready = await prepare();
stopPreparing();
if (!ready) process.exit(1);

// A group of its own, so that the terminal's Ctrl-C reaches the app through here only.
const app = spawn(NODE, ['dist/main.js', ...process.argv.slice(2)], {
  cwd: ROOT,
  detached: true,
  stdio: ['ignore', 'inherit', 'inherit'],
});

let passedOnAt = -Infinity;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    const now = performance.now();
    if (now - passedOnAt < SAME_SIGNAL_MS) return;
    passedOnAt = now;
    app.kill(signal === 'SIGHUP' ? 'SIGTERM' : signal);
  });
}

// npm may end without passing the signal on, or may be killed: treat the loss of the parent as the
// signal.
if (process.env.npm_lifecycle_event === 'start') {
  const parent = process.ppid;
  const watch = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(watch);
    app.kill('SIGTERM');
  }, PARENT_CHECK_MS);
}

app.on('error', (error) => {
  console.error(`unable to start; ${error.message}`);
  process.exit(1);
});
app.on('exit', (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 0)));

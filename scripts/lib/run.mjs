/*
 * Runs a program in a process group of its own, so that it can be ended with everything it started.
 * Runs under Node 18 and newer, without packages, because it also runs before the project's own
 * Node is installed.
 */

import { spawn } from 'node:child_process';
import process from 'node:process';
import { clearTimeout, setTimeout } from 'node:timers';

const KILL_AFTER_MS = 5_000;
/** A program that has ended may leave children that keep its output open. */
const LATE_OUTPUT_MS = 5_000;
const groups = new Set();

function signalGroup(pid, signal) {
  try {
    process.kill(-pid, signal);
  } catch {
    // It has ended by itself.
  }
}

process.on('exit', () => groups.forEach((pid) => signalGroup(pid, 'SIGKILL')));

const ENDS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 };

/** Ends every started program when this script is ended. @returns a function that undoes this */
export function endWithChildren() {
  const listeners = Object.entries(ENDS).map(([signal, code]) => [signal, () => process.exit(code)]);
  for (const [signal, listener] of listeners) process.on(signal, listener);
  return () => {
    for (const [signal, listener] of listeners) process.off(signal, listener);
  };
}

/**
 * Resolves when the program has ended: `code` (127: it could not be started, 128+n: a signal),
 * `output` (both streams, in order of arrival), `timedOut`, `ms`. `show`: also prints while it
 * runs. `onText` sees each piece and a function that ends the program. `onMessage` sees what the
 * program sends with `process.send`, and the same function. `limitMs`: the program is ended when so
 * much time has passed; `stallMs`: when so much time has passed since it last wrote or sent
 * anything (`onMessage` given: since it last sent anything). `isAwaited` is called before a program
 * is ended for a stall; if it returns true, the program gets `stallMs` once more.
 */
export function run(command, args, options = {}) {
  const { cwd, env = process.env, limitMs, stallMs, isAwaited, show = false, onText, onMessage } = options;
  return new Promise((resolve) => {
    const startedAt = Date.now();
    const pieces = [];
    let timedOut = false;
    const stdio = ['ignore', 'pipe', 'pipe', ...(onMessage === undefined ? [] : ['ipc'])];
    const child = spawn(command, args, { cwd, env, detached: true, stdio });
    const timers = [];
    const end = () => {
      if (timedOut) return;
      timedOut = true;
      signalGroup(child.pid, 'SIGTERM');
      timers.push(setTimeout(() => signalGroup(child.pid, 'SIGKILL'), KILL_AFTER_MS));
    };
    if (limitMs !== undefined) timers.push(setTimeout(end, limitMs));
    const stalled = () => (isAwaited?.() === true ? stall.refresh() : end());
    const stall = stallMs === undefined ? undefined : setTimeout(stalled, stallMs);
    if (stall !== undefined) timers.push(stall);
    if (onMessage !== undefined)
      child.on('message', (message) => {
        stall?.refresh();
        onMessage(message, end);
      });

    const take = (stream) => (text) => {
      pieces.push(text);
      if (onMessage === undefined) stall?.refresh();
      if (show) stream.write(text);
      onText?.(text, end);
    };
    child.stdout.setEncoding('utf8').on('data', take(process.stdout));
    child.stderr.setEncoding('utf8').on('data', take(process.stderr));

    const done = (code) => {
      timers.forEach(clearTimeout);
      if (child.pid !== undefined) {
        // Children that outlive the program would keep its output and its ports open.
        signalGroup(child.pid, 'SIGKILL');
        groups.delete(child.pid);
      }
      resolve({ code, output: pieces.join(''), timedOut, ms: Date.now() - startedAt });
    };
    child.on('error', (error) => {
      pieces.push(`unable to run ${command}; ${error.message}\n`);
      done(127);
    });
    child.on('exit', (code, signal) => {
      const settled = code ?? 128 + (signal === 'SIGKILL' ? 9 : 15);
      const late = setTimeout(() => done(settled), LATE_OUTPUT_MS);
      child.on('close', () => {
        clearTimeout(late);
        done(settled);
      });
    });
    if (child.pid !== undefined) groups.add(child.pid);
  });
}

/** `94 s`, or `3.1 s` for short times. */
export function seconds(ms) {
  return `${ms < 10_000 ? (ms / 1000).toFixed(1) : Math.round(ms / 1000)} s`;
}

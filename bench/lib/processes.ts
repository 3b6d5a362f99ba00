/*
 * Starts and ends the processes of a bench, each with the same Node flags and the same probe, on
 * free ports of its own.
 */

import { type ChildProcess, fork, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ENGINE_FLAGS } from '../../src/lifecycle/engine.js';

const BUILT = import.meta.dirname;
const READY_WITHIN_MS = 20_000;
const END_WITHIN_MS = 3_000;

const children = new Set<ChildProcess>();
process.on('exit', () => children.forEach((child) => child.kill('SIGKILL')));

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  // A TCP listener's address is always this.
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** As the image starts the gateway: every process of a bench has the same. */
const NODE_OPTIONS = /^ENV [^"]*NODE_OPTIONS="([^"]*)"/mu.exec(
  readFileSync('Dockerfile', 'utf8').replaceAll(/\\\n\s*/gu, ''),
)?.[1];

/** A Node process with the probe in it; `file` is absolute, or an entry of the bench. */
export function startNode(file: string, env: Readonly<Record<string, string>> = {}): ChildProcess {
  const path = file.startsWith('/') ? file : join(BUILT, `${file}.mjs`);
  return keep(
    fork(path, [], {
      execArgv: [
        ...(process.env['BENCH_NODE_FLAGS'] ?? '').split(' ').filter((flag) => flag !== ''),
        // A gateway sets them itself.
        ...(file.startsWith('/') ? [] : ENGINE_FLAGS),
        '--expose-gc',
        '--import',
        join(BUILT, 'probe.mjs'),
      ],
      env: { ...process.env, NODE_ENV: 'production', NODE_OPTIONS, ...env },
      stdio: ['ignore', process.env['BENCH_OUT'] === undefined ? 'ignore' : 'inherit', 'inherit', 'ipc'],
    }),
  );
}

/** Undefined: there is no Redis server on this machine. */
export async function startRedis(port: number): Promise<ChildProcess | undefined> {
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'];
  const child = spawn('redis-server', args, { stdio: 'ignore' });
  const failed = new Promise<undefined>((resolve) => child.once('error', () => resolve(undefined)));
  return Promise.race([failed, listening(child, port).then(() => keep(child))]);
}

/** Ends the process with the bench. */
export function keep(child: ChildProcess): ChildProcess {
  children.add(child);
  // The next request to it reports what its exit means.
  child.on('error', () => undefined);
  child.once('exit', () => children.delete(child));
  return child;
}

/** Resolves when `child` takes connections. */
export async function listening(child: ChildProcess, port: number, withinMs = READY_WITHIN_MS): Promise<void> {
  for (const giveUpAt = Date.now() + withinMs; Date.now() < giveUpAt; await sleep(25)) {
    if (child.exitCode !== null) break;
    const socket = connect(port, '127.0.0.1');
    const taken = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true));
      socket.once('error', () => resolve(false));
    });
    socket.destroy();
    if (taken) return;
  }
  throw new Error(
    `unable to continue; a process of the bench did not listen (its exit code: ${child.exitCode ?? 'none'})`,
  );
}

export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), END_WITHIN_MS);
  await ended;
  clearTimeout(timer);
}

/** CPU that a process without a probe has used, in microseconds; exact to 10 ms. */
export function cpuMicrosOf(child: ChildProcess): number {
  const stat = readFileSync(`/proc/${child.pid}/stat`, 'utf8');
  const [utime, stime] = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11, 13);
  return (Number(utime) + Number(stime)) * 10_000;
}

/*
 * `npm run cluster`: everything is up by one command, the page's client survives a killed replica,
 * and nothing is left behind.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, describe, expect, it } from '@jest/globals';
import { OwnViewer } from '../chaos/own-viewer.js';
import { Truth } from '../chaos/truth.js';

/** `pid 123` and the addresses of what it started, by name. */
interface Started {
  readonly url: string;
  readonly replicas: readonly { readonly name: string; readonly pid: number }[];
}

let child: ChildProcess | undefined;
afterAll(() => void child?.kill('SIGTERM'));

async function start(): Promise<Started> {
  const node = resolve('node_modules/.bin/node');
  child = spawn(node, ['scripts/development/local-cluster.mjs', '--no-build', '--port', '0'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const replicas: { name: string; pid: number }[] = [];
  let url = '';
  if (child.stdout === null) throw new Error('its output is piped');
  for await (const line of createInterface({ input: child.stdout })) {
    url = /^playground +(\S+)\/$/u.exec(line)?.[1] ?? url;
    const [, name, pid] = /^(replica-\d) +pid (\d+)/u.exec(line) ?? [];
    if (name !== undefined) replicas.push({ name, pid: Number(pid) });
    if (line.includes('Ctrl-C')) break;
  }
  return { url, replicas };
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

describe('the local cluster', () => {
  it('starts by one command, survives the death of a replica without a loss for viewers, and leaves nothing behind', async () => {
    const { url, replicas } = await start();
    expect(replicas.map(({ name }) => name)).toEqual(['replica-1', 'replica-2', 'replica-3']);
    expect(await (await fetch(`${url}/`)).text()).toContain('<html');

    const truth = new Truth();
    const viewers = Array.from({ length: 6 }, () => new OwnViewer(truth, url));
    const before = viewers.map((viewer) => viewer.ask({ deltas: 100, intervalMs: 20 }));
    while (before.some(({ last }) => last < 20)) await new Promise((done) => setTimeout(done, 20));
    process.kill(replicas[1]?.pid ?? 0, 'SIGKILL');
    await Promise.all(before.map(({ done }) => done));
    const after = viewers.map((viewer) => viewer.ask({ deltas: 20, intervalMs: 5 }));
    await Promise.all(after.map(({ done }) => done));
    for (const viewer of viewers) viewer.close();
    expect(truth.violations).toEqual([]);
    expect(after.map(({ end }) => end)).toEqual(after.map(() => 'completed'));
    const ends = before.map(({ end }) => end);
    // Connections go round, so each replica had two of the turns.
    expect(ends.filter((end) => end === 'completed')).toHaveLength(4);
    expect(ends.filter((end) => end === 'replica_lost')).toHaveLength(2);

    const ended = child === undefined ? undefined : once(child, 'exit');
    child?.kill('SIGTERM');
    expect(await ended).toEqual([0, null]);
    expect(replicas.filter(({ pid }) => isAlive(pid))).toEqual([]);
  });
});

/* A gateway of its own with one pack and the demo provider, for evaluations that need no model. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

/** The program beside this one, after the build. */
const MAIN = fileURLToPath(new URL('../../main.js', import.meta.url));

interface DemoGateway {
  readonly url: string;
  readonly stop: () => Promise<void>;
}

/** @throws Error if the gateway does not start */
export async function startDemo(packFile: string): Promise<DemoGateway> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-evals-'));
  const [port, opsPort] = [await freePort(), await freePort()];
  const config = {
    app: { name: 'evals', host: '127.0.0.1', port },
    provider: { type: 'demo' },
    state: { type: 'memory' },
    auth: { mode: 'none' },
    middleware: { template: { source: packFile } },
    monitoring: { logging: { level: 'error' }, metrics: { port: opsPort } },
  };
  const path = join(folder, 'config.json');
  await writeFile(path, JSON.stringify(config));
  const child = spawn(process.execPath, [MAIN], {
    env: { PATH: process.env['PATH'], CONFIG_PATH: path },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const remove = (): Promise<void> => rm(folder, { recursive: true, force: true });
  while (!(await isReady(opsPort))) {
    if (child.exitCode !== null) {
      await remove();
      throw new Error('the gateway for the evaluation did not start');
    }
    await sleep(50);
  }
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM');
    if (child.exitCode === null) await once(child, 'exit');
    await remove();
  };
  return { url: `http://127.0.0.1:${port}`, stop };
}

async function isReady(port: number): Promise<boolean> {
  return fetch(`http://127.0.0.1:${port}/ready`)
    .then(({ ok }) => ok)
    .catch(() => false);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

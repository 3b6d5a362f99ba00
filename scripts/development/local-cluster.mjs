/*
 * `npm run cluster`: three replicas, Redis and a load balancer on this machine, without Docker.
 * Needs `redis-server`; everything else is part of the project. `npm run cluster -- --replicas 5
 * --port 8080`.
 */

import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import process from 'node:process';
import { NODE, ownEnv, prepare, ROOT } from '../lib/prepare.mjs';

if (spawnSync('redis-server', ['--version']).status !== 0) {
  console.error('unable to start the cluster; there is no redis-server here; install Redis 7 or newer');
  process.exit(1);
}
// `--no-build` runs dist/ without a build.
if (!process.argv.includes('--no-build') && !(await prepare())) process.exit(1);

const { build } = await import('esbuild');
const main = join(ROOT, '.cache/cluster/main.mjs');
await build({
  entryPoints: [join(import.meta.dirname, 'cluster/main.ts')],
  outfile: main,
  bundle: true,
  packages: 'external',
  platform: 'node',
  format: 'esm',
  target: 'node24',
  logLevel: 'warning',
});

const args = process.argv.slice(2).filter((arg) => arg !== '--no-build');
const child = spawn(NODE, [main, ...args], { cwd: ROOT, env: ownEnv(), stdio: 'inherit' });
// The terminal sends Ctrl-C to the child, too; the child ignores all but the first.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill('SIGTERM'));
child.on('exit', (code, signal) => process.exit(code ?? (signal === 'SIGINT' ? 130 : 143)));

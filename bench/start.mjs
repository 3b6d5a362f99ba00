/*
 * `npm run bench`: builds the gateway where needed and the bench itself, then hands over to
 * bench/main.ts under the project's own Node. What it can do: `npm run bench -- --help`.
 */

import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { ownEnv, NODE, prepare, ROOT } from '../scripts/lib/prepare.mjs';

// `--no-build` measures dist/ as it is: for comparing two builds.
const noBuild = process.argv.includes('--no-build');
if (!noBuild && !(await prepare())) process.exit(1);

const { build } = await import('esbuild');
const out = join(ROOT, '.cache/bench');
await build({
  entryPoints: readdirSync(import.meta.dirname)
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(import.meta.dirname, name)),
  outdir: out,
  outExtension: { '.js': '.mjs' },
  bundle: true,
  packages: 'external',
  platform: 'node',
  format: 'esm',
  target: 'node24',
  sourcemap: 'inline',
  logLevel: 'warning',
});

const args = process.argv.slice(2).filter((arg) => arg !== '--no-build');
// These are no comparison of systems, and have a program of their own.
const entry = ['guards', 'long'].includes(args[0]) ? `${args[0]}.mjs` : 'main.mjs';
const child = spawn(NODE, [join(out, entry), ...args], { cwd: ROOT, env: ownEnv(), stdio: 'inherit' });
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
child.on('exit', (code, signal) => process.exit(code ?? (signal === 'SIGINT' ? 130 : 143)));

/*
 * The audit log of a running process: rotated with SIGHUP, complete after SIGTERM, checked at the
 * start.
 */

import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants, existsSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GatewayProcess } from '../support/gateway-process.js';

let folder: string;
let gateway: GatewayProcess | undefined;
let child: ChildProcess | undefined;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-audit-'));
});
afterEach(async () => {
  await gateway?.stop();
  gateway = undefined;
  child?.kill('SIGKILL');
  rmSync(folder, { recursive: true });
});

const operationsIn = (file: string): unknown[] =>
  readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => (JSON.parse(line) as { readonly operation: unknown }).operation);
const get = async (path: string): Promise<void> => {
  await (await fetch(`${gateway?.url ?? ''}${path}`)).text();
};
const until = async (holds: () => boolean): Promise<void> => {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5));
};

it('continues in a new file after a rotation with SIGHUP, and has every line after SIGTERM', async () => {
  const file = join(folder, 'audit.jsonl');
  gateway = await GatewayProcess.start({ monitoring: { audit: { output: file } } });
  await get('/v1/models');
  await until(() => operationsIn(file).length === 1);
  renameSync(file, `${file}.1`);
  gateway.signal('SIGHUP');
  await until(() => existsSync(file));
  await get('/v1/prompts');
  await get('/v1/conversations');
  gateway.signal('SIGTERM');
  expect(await gateway.exited).toBe(0);
  expect(operationsIn(`${file}.1`)).toEqual(['GET /v1/models']);
  expect(operationsIn(file)).toEqual(['GET /v1/prompts', 'GET /v1/conversations']);
  expect(gateway.output).not.toContain('audit log not written');
});

it('refuses the start with code 78 if the file of the audit log cannot be opened', async () => {
  const output = join(folder, 'missing', 'audit.jsonl');
  const started = GatewayProcess.start({ monitoring: { audit: { output } } });
  await expect(started).rejects.toThrow(/ended with 78: [^]*monitoring\.audit\.output: unable to open .*ENOENT/u);
});

it('lets its process end while the pipe of the audit log is not read', async () => {
  const pipe = join(folder, 'stdout');
  execFileSync('mkfifo', [pipe]);
  const reader = await open(pipe, constants.O_RDONLY | constants.O_NONBLOCK);
  const script = `
    const { AuditSink } = await import('./dist/observability/audit-sink.js');
    const sink = new AuditSink({ output: 'stdout', onDropped: () => undefined });
    // A gateway has more to wait for.
    setInterval(() => undefined, 60_000);
    for (let i = 0; i < 100; i += 1) sink.write('x'.repeat(4_000) + '\\n');
    await sink.close();
    process.exit(0);`;
  const command = 'exec "$0" --input-type=module --eval "$1" > "$2"';
  child = spawn('sh', ['-c', command, process.execPath, script, pipe], { stdio: 'inherit' });
  expect(await once(child, 'exit')).toEqual([0, null]);
  await reader.close();
});

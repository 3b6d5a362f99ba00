/* docs/auth.md: its backends, run as written, make secrets with which a page gets in. */

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it } from '@jest/globals';
import { freePort } from '../../scripts/development/cluster/free-port.js';
import { GatewayHarness, terminalOf } from '../support/gateway-harness.js';
import { snippetsOf } from '../support/snippets.js';

const SLUICE_API_KEY = 'sk-backend-0000000000000000000000000001';
const backends = snippetsOf('docs/auth.md').filter(({ words }) => words.has('backend'));

let folder: string;
let harness: GatewayHarness;
let running: ChildProcess | undefined;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-auth-guide-'));
  harness = await GatewayHarness.start({
    config: { auth: { mode: 'keys', keys: [{ id: 'backend', key_env: 'SLUICE_API_KEY', tenant: 'shop' }] } },
    env: { SLUICE_API_KEY },
  });
});
afterEach(() => void running?.kill('SIGKILL'));
afterAll(async () => {
  await harness.close();
  rmSync(folder, { recursive: true });
});

it('has a backend for Node and one for Python', () => {
  expect(backends.map(({ language }) => language)).toEqual(['js', 'python']);
});

it.each(backends)('lets a page in with a secret of the backend at $place', async ({ language, code }) => {
  const file = join(folder, language === 'js' ? 'backend.mjs' : 'backend.py');
  writeFileSync(file, code);
  const port = await freePort();
  running = spawn(language === 'js' ? process.execPath : 'python3', [file], {
    env: { ...process.env, SLUICE_URL: harness.gateway.url, SLUICE_API_KEY, PORT: String(port) },
    stdio: 'inherit',
  });
  let answer: Response | undefined;
  while (answer === undefined) {
    expect(running.exitCode).toBeNull();
    answer = await fetch(`http://127.0.0.1:${port}/session`).catch(() => undefined);
  }
  const { value, user } = (await answer.json()) as { readonly value: string; readonly user: string };
  expect(user).toBe('ann');
  const page = await harness.connect({ protocols: ['sluice.v1', `sluice.bearer.${value}`] });
  harness.says('Hello Ann');
  expect(terminalOf(await page.run({ input: 'Hi' })).output_text).toBe('Hello Ann');
});

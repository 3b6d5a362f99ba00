/*
 * docs/auth.md: its configuration, its backends and its page, run as written: a person in a browser
 * signs in, stays signed in, and is signed out.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it, jest } from '@jest/globals';
import { type Browser, type Page } from 'playwright-core';
import { parse } from 'yaml';
import { freePort } from '../../scripts/development/cluster/free-port.js';
import { launchChromium } from '../support/chromium.js';
import { startGateway, type TestGateway } from '../support/gateway.js';
import { snippetsOf, withPorts } from '../support/snippets.js';

const SLUICE_API_KEY = 'sk-backend-0000000000000000000000000001';
const blocks = snippetsOf('docs/auth.md');
const codeOf = (word: string): string => blocks.find(({ words }) => words.has(word))?.code ?? '';
const backends = blocks.filter(({ words }) => words.has('backend'));

let folder: string;
let browser: Browser;
let gateway: TestGateway;
/** The ports of the reader's backend: the one that the configuration names, and another one. */
let port: number;
let foreign: number;
let running: ChildProcess | undefined;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-auth-guide-'));
  [port, foreign] = [await freePort(), await freePort()];
  const config = codeOf('config').replaceAll('3000', String(port));
  [browser, gateway] = await Promise.all([
    launchChromium(),
    // The block is a whole configuration file.
    startGateway({ config: parse(config) as Record<string, unknown>, env: { SLUICE_API_KEY } }),
  ]);
  writeFileSync(join(folder, 'page.html'), withPorts(codeOf('page'), { app: gateway.port, ops: 0 }));
  copyFileSync('dist/client/client.js', join(folder, 'client.js'));
});
afterEach(() => {
  jest.restoreAllMocks();
  running?.kill('SIGKILL');
});
afterAll(async () => {
  await browser.close();
  await gateway.close();
  rmSync(folder, { recursive: true });
});

/** Starts a backend of the page, and opens its page in a browser. */
async function open({ language, code }: (typeof backends)[number], on = port): Promise<Page> {
  const file = join(folder, language === 'js' ? 'backend.mjs' : 'backend.py');
  writeFileSync(file, code);
  running = spawn(language === 'js' ? process.execPath : 'python3', [file], {
    env: { ...process.env, SLUICE_URL: gateway.url, SLUICE_API_KEY, PORT: String(on) },
    stdio: 'inherit',
  });
  while ((await fetch(`http://127.0.0.1:${on}/`).catch(() => undefined)) === undefined) {
    expect(running.exitCode).toBeNull();
  }
  const page = await browser.newPage();
  page.setDefaultTimeout(120_000);
  await page.goto(`http://localhost:${on}`);
  return page;
}
const state = (page: Page, words: string | RegExp) => page.locator('#state').getByText(words).waitFor();
async function ask(page: Page, question: string): Promise<void> {
  await page.getByLabel('Question').fill(question);
  await page.getByRole('button', { name: 'Send' }).click();
}

it('has a configuration, a backend for Node and one for Python, and a page', () => {
  expect(backends.map(({ language }) => language)).toEqual(['js', 'python']);
  for (const word of ['config', 'page']) expect(codeOf(word)).not.toBe('');
});

it.each(backends)(
  'lets a person in by the backend at $place, renews the secret, and puts the person out',
  async (backend) => {
    const page = await open(backend);
    await state(page, 'open');
    await ask(page, 'demo: deltas=5 text=numbers');
    await page.locator('#answer').getByText('0 1 2 3 4', { exact: true }).waitFor();

    const revoked = { method: 'POST', headers: { authorization: `Bearer ${SLUICE_API_KEY}` } };
    const { table } = gateway.gateway.parts;
    let sockets = 0;
    page.on('websocket', () => (sockets += 1));
    const renewed = page.waitForResponse(/\/session$/u);
    const later = Date.now() + 580_000;
    jest.spyOn(Date, 'now').mockReturnValue(later);
    table.check();
    expect((await renewed).status()).toBe(200);
    await ask(page, 'demo: deltas=3 text=numbers');
    await page.locator('#answer').getByText('0 1 2', { exact: true }).waitFor();
    // The first secret and its grace are over.
    jest.spyOn(Date, 'now').mockReturnValue(later + 60_000);
    table.check();
    await ask(page, 'demo: deltas=4 text=numbers');
    await page.locator('#answer').getByText('0 1 2 3', { exact: true }).waitFor();
    // The socket of the beginning is still the one in use.
    expect(sockets).toBe(0);

    expect((await fetch(`${gateway.url}/v1/users/ann/revoke`, revoked)).status).toBe(200);
    await state(page, /^closed: .*\(credential revoked\)\.$/u);
    await page.close();
  },
);

it('says what the table of mistakes says when the origin of the page is not allowed', async () => {
  const [backend] = backends;
  if (backend === undefined) throw new Error('no backend');
  const page = await open(backend, foreign);
  await state(page, /The gateway could not be reached\./u);
  await page.close();
});

/*
 * Takes docs/images/playground.png: a real page of the built gateway (`npm run build` first) with
 * its demo provider, in Chromium. `--all DIR` writes every variant (light and dark, wide and phone)
 * to DIR instead.
 */

import { spawn } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import process from 'node:process';
import { setTimeout as delay } from 'node:timers/promises';
import { chromium } from 'playwright-core';

const root = join(import.meta.dirname, '../..');
const at = process.argv.indexOf('--all');
const directory = at > 0 ? process.argv[at + 1] : join(root, 'docs/images');
const SHOTS = [
  { name: 'playground', width: 1440, height: 860, colorScheme: 'light' },
  ...(at > 0
    ? [
        { name: 'dark', width: 1440, height: 860, colorScheme: 'dark' },
        { name: 'phone', width: 390, height: 844, colorScheme: 'light' },
        { name: 'phone-dark', width: 390, height: 844, colorScheme: 'dark' },
      ]
    : []),
];

function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

async function startGateway() {
  const [port, opsPort] = [await freePort(), await freePort()];
  const env = { ...process.env, PORT: String(port), METRICS_PORT: String(opsPort), OPENAI_API_KEY: '' };
  const gateway = spawn(process.execPath, [join(root, 'dist/main.js')], { cwd: root, env, stdio: 'ignore' });
  for (let i = 0; i < 100; i++) {
    const ready = await globalThis.fetch(`http://127.0.0.1:${opsPort}/ready`).catch(() => null);
    if (ready?.ok) return { url: `http://127.0.0.1:${port}`, stop: () => gateway.kill('SIGTERM') };
    await delay(100);
  }
  gateway.kill('SIGKILL');
  throw new Error('unable to take a picture; the gateway did not start; run `npm run build` and look at `npm start`');
}

async function ask(page, question) {
  await page.getByRole('textbox', { name: 'Message' }).fill(question);
  await page.keyboard.press('Enter');
}

async function story(page, name) {
  const ended = page.locator('.turn').last().locator('.answer[aria-busy="false"]');
  for (const question of ['How do I get a refund?', 'Count to 50']) {
    await ask(page, question);
    await ended.waitFor();
    await page.locator('#new-conversation').evaluate((button) => button.click());
  }
  await ask(page, 'Show me some Markdown');
  await ended.waitFor();
  await ask(page, 'Give me a long answer');
  await page.getByText('Every delta that you see').waitFor();
  const inspector = page.getByRole('complementary', { name: 'Protocol inspector' });
  if (name.startsWith('phone')) return;
  await inspector.getByText('output_text.delta').last().click();
  await inspector.getByText('nothing shown is ever taken back').scrollIntoViewIfNeeded();
  await delay(1_500);
}

const gateway = await startGateway();
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM_PATH ?? '/usr/bin/chromium',
  args: [
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-background-networking',
    '--disable-component-update',
  ],
});
try {
  await mkdir(directory, { recursive: true });
  for (const { name, width, height, colorScheme } of SHOTS) {
    const context = await browser.newContext({ viewport: { width, height }, colorScheme, deviceScaleFactor: 2 });
    const page = await context.newPage();
    await page.goto(gateway.url);
    await page.getByText('Connected', { exact: true }).waitFor();
    if (at > 0) await page.screenshot({ path: join(directory, `${name}-welcome.png`) });
    await story(page, name);
    await page.screenshot({ path: join(directory, `${name}.png`) });
    if (at > 0) {
      const narrow = name.startsWith('phone');
      await page.locator('#setup summary').click();
      await page.screenshot({ path: join(directory, `${name}-prompt.png`) });
      await page.locator('#setup summary').click();
      if (narrow) {
        await page.locator('#inspector-toggle').click();
        await page.screenshot({ path: join(directory, `${name}-inspector.png`) });
        await page.locator('#inspector-close').click();
        await page.locator('#history-toggle').click();
        await page.screenshot({ path: join(directory, `${name}-history.png`) });
      }
    }
    await context.close();
    console.log(join(directory, `${name}.png`));
  }
} finally {
  await browser.close();
  gateway.stop();
}

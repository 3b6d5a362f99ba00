/* The playground in real Chromium against the real gateway with its demo provider: what a newcomer sees, and what survives. */

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { type Browser, type BrowserContext, type Page } from 'playwright-core';
import { launchChromium } from '../support/chromium.js';
import { CuttableProxy } from '../support/cuttable-proxy.js';
import { startGateway } from '../support/gateway.js';

type Gateway = Awaited<ReturnType<typeof startGateway>>;

const numbers = (count: number): string => Array.from({ length: count }, (_, i) => String(i)).join(' ');

let browser: Browser;
let gateway: Gateway;
let context: BrowserContext;
let page: Page;
/** What the page complained about; refused sockets are not its fault. */
let complaints: string[];

beforeAll(async () => {
  [browser, gateway] = await Promise.all([launchChromium(), startGateway()]);
});
afterAll(async () => {
  await browser.close();
  await gateway.close();
});

async function open(url: string): Promise<void> {
  await page.goto(url);
  await page.getByText('Connected', { exact: true }).waitFor();
}

async function ask(question: string): Promise<void> {
  await page.getByRole('textbox', { name: 'Message' }).fill(question);
  await page.getByRole('button', { name: 'Send' }).click();
}

const log = () => page.getByRole('log', { name: 'Conversation' });
const turns = () => log().getByRole('article');
const answer = (at = -1) => turns().nth(at).locator('.text');
const ended = () => turns().last().locator('.answer[aria-busy="false"]').waitFor();

describe('the playground', () => {
  beforeEach(async () => {
    context = await browser.newContext({ viewport: { width: 1000, height: 720 } });
    page = await context.newPage();
    complaints = [];
    page.on('pageerror', (error) => complaints.push(error.message));
    page.on('console', (message) => {
      if (message.type() === 'error' && !/WebSocket connection|Failed to load resource/.test(message.text())) {
        complaints.push(message.text());
      }
    });
  });
  afterEach(async () => {
    await context.close();
    expect(complaints).toEqual([]);
  });

  it('answers, word by word, and says who answers, with tokens, cost and time to the first words', async () => {
    await open(gateway.url);
    await ask('demo: deltas=40 interval=10ms text=numbers');
    await answer().getByText('0 1 2').waitFor();
    expect((await answer().textContent())?.length).toBeLessThan(numbers(40).length);
    await ended();
    expect(await answer().textContent()).toBe(numbers(40));
    expect(await turns().last().textContent()).toMatch(/\d+ tokens in, 40 out · no price known · first words after/);
    expect(await page.getByRole('contentinfo').textContent()).toMatch(/demo.*no language model/);
  });

  it('is used by keyboard alone: Enter sends, Escape stops, the text so far stays', async () => {
    await open(gateway.url);
    await page.keyboard.type('demo: deltas=2000 interval=10ms text=numbers');
    await page.keyboard.press('Enter');
    await answer().getByText('0 1 2').waitFor();
    await page.keyboard.press('Escape');
    await log().getByText('Stopped.').waitFor();
    expect(await answer().textContent()).toMatch(/^0 1 2/);
    await page.getByRole('button', { name: 'Stop' }).waitFor({ state: 'hidden' });
    await page.keyboard.type('demo: deltas=3 text=numbers');
    await page.keyboard.press('Enter');
    await turns().nth(1).waitFor();
    await ended();
    expect(await answer().textContent()).toBe(numbers(3));
  });

  it('goes on in the middle of an answer after a reload', async () => {
    await open(gateway.url);
    await ask('demo: deltas=150 interval=10ms text=numbers');
    await answer().getByText('0 1 2').waitFor();
    await page.reload();
    expect(await turns().count()).toBe(1);
    await ended();
    expect(await answer().textContent()).toBe(numbers(150));
  });

  it('loses and doubles nothing when the network is cut in the middle', async () => {
    const proxy = await CuttableProxy.start(gateway.port);
    try {
      await open(proxy.url);
      await ask('demo: deltas=200 interval=10ms text=numbers');
      await answer().getByText('0 1 2').waitFor();
      proxy.cut();
      await page.getByText(/reconnecting|trying again/).waitFor();
      proxy.mend();
      await ended();
      expect(await answer().textContent()).toBe(numbers(200));
    } finally {
      await context.close();
      await proxy.close();
    }
  });

  it('sends what was written while the network was away', async () => {
    const proxy = await CuttableProxy.start(gateway.port);
    try {
      await open(proxy.url);
      proxy.cut();
      await page.getByText(/reconnecting|trying again/).waitFor();
      await ask('demo: deltas=5 text=numbers');
      proxy.mend();
      await ended();
      expect(await answer().textContent()).toBe(numbers(5));
    } finally {
      await context.close();
      await proxy.close();
    }
  });

  it('keeps the text, says that the rest is lost, and goes on after a restart of the server', async () => {
    await open(gateway.url);
    await ask('demo: deltas=10000 interval=10ms text=numbers');
    await answer().getByText('0 1 2').waitFor();
    await gateway.restart();
    await log().getByText('The rest of this answer is lost').waitFor();
    expect(await answer().textContent()).toMatch(/^0 1 2/);
    await ask('demo: deltas=4 text=numbers');
    await turns().nth(1).waitFor();
    await ended();
    expect(await answer().textContent()).toBe(numbers(4));
    expect(await answer(0).textContent()).toMatch(/^0 1 2/);
  });

  it('says in words why an answer failed, and keeps its text', async () => {
    await open(gateway.url);
    await ask('demo: error=provider_timeout after=3 text=numbers');
    await log().getByText('The model provider took too long. What had been written stays.').waitFor();
    expect(await answer().textContent()).toBe(numbers(3));
  });

  it('starts over with New conversation', async () => {
    await open(gateway.url);
    await ask('Hello');
    await ended();
    await page.getByRole('button', { name: 'New conversation' }).click();
    expect(await turns().count()).toBe(0);
    await page.reload();
    expect(await turns().count()).toBe(0);
  });

  it('fits a phone, and is light or dark as the reader has it', async () => {
    await page.setViewportSize({ width: 360, height: 640 });
    await page.emulateMedia({ colorScheme: 'dark' });
    await open(gateway.url);
    await ask(`Hello ${'a-very-long-word'.repeat(20)}`);
    await ended();
    const seen = () =>
      page.evaluate(() => {
        // Runs in the page, where these are the browser's globals.
        const world = globalThis as unknown as {
          document: { documentElement: { scrollWidth: number }; body: object };
          getComputedStyle(element: object): { backgroundColor: string };
        };
        return {
          width: world.document.documentElement.scrollWidth,
          ground: world.getComputedStyle(world.document.body).backgroundColor,
        };
      });
    const dark = await seen();
    await page.emulateMedia({ colorScheme: 'light' });
    const light = await seen();
    expect(dark.width).toBeLessThanOrEqual(360);
    expect(dark.ground).not.toBe(light.ground);
  });
});

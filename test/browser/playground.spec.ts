/*
 * The playground in real Chromium against the real gateway with its demo provider: what a newcomer
 * sees, and what survives.
 */

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { type Browser, type BrowserContext, type Page } from 'playwright-core';
import { FakeOpenAiServer, textAnswer } from '../support/fake-openai-server.js';
import { launchChromium } from '../support/chromium.js';
import { CuttableProxy } from '../support/cuttable-proxy.js';
import { startGateway } from '../support/gateway.js';
import { wallBefore } from '../support/wall.js';

type Gateway = Awaited<ReturnType<typeof startGateway>>;

/**
 * Runs for minutes, so that a slow machine finds it running. Stays within the 2,000 characters that
 * the pack permits.
 */
const LONG = 'demo: deltas=500 interval=400ms text=numbers';

const numbers = (count: number): string => Array.from({ length: count }, (_, i) => String(i)).join(' ');

let browser: Browser;
let gateway: Gateway;
let context: BrowserContext;
let page: Page;
/** What the page complained about; refused sockets are not its fault. */
let complaints: string[];

beforeAll(async () => {
  const template = { enabled: true, source: 'support.pack', default: 'support' };
  [browser, gateway] = await Promise.all([launchChromium(), startGateway({ config: { middleware: { template } } })]);
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

/** What axe finds, by rule and element. */
async function violations(): Promise<string[]> {
  await page.evaluate(AXE);
  return page.evaluate(async () => {
    const { axe } = globalThis as unknown as {
      axe: { run(): Promise<{ violations: { id: string; nodes: { html: string; failureSummary: string }[] }[] }> };
    };
    const found = await axe.run();
    return found.violations.flatMap(({ id, nodes }) =>
      nodes.map((node) => `${id}: ${node.html} ${node.failureSummary}`),
    );
  });
}

const AXE = readFileSync(fileURLToPath(import.meta.resolve('axe-core')), 'utf8');

/** Gives the page an image of random pixels, as a person does by paste or drop. */
async function giveImage({ kind, width, height }: { kind: 'paste' | 'drop'; width: number; height: number }) {
  const page = globalThis as unknown as {
    readonly OffscreenCanvas: new (width: number, height: number) => PageCanvas;
    readonly DataTransfer: new () => { readonly items: { add(file: unknown): void } };
    readonly File: new (parts: readonly unknown[], name: string, options: object) => unknown;
    readonly ClipboardEvent: new (type: string, options: object) => unknown;
    readonly DragEvent: new (type: string, options: object) => unknown;
    readonly document: { getElementById(id: string): { dispatchEvent(event: unknown): void } };
  };
  interface PageCanvas {
    getContext(kind: '2d'): {
      createImageData(width: number, height: number): { readonly data: Uint8ClampedArray };
      putImageData(data: unknown, x: number, y: number): void;
    };
    convertToBlob(options: object): Promise<unknown>;
  }
  const canvas = new page.OffscreenCanvas(width, height);
  const context = canvas.getContext('2d');
  const pixels = context.createImageData(width, height);
  for (let i = 0; i < pixels.data.length; i++) pixels.data[i] = i % 4 === 3 ? 255 : (i * 2_654_435_761) >>> 24;
  context.putImageData(pixels, 0, 0);
  const data = new page.DataTransfer();
  data.items.add(new page.File([await canvas.convertToBlob({ type: 'image/png' })], 'a.png', { type: 'image/png' }));
  const options = { bubbles: true, cancelable: true, clipboardData: data, dataTransfer: data };
  const event = kind === 'paste' ? new page.ClipboardEvent(kind, options) : new page.DragEvent(kind, options);
  page.document.getElementById('message').dispatchEvent(event);
}

/** What a hostile model, or a person who writes through one, could send. */
const HOSTILE = [
  '<img src=x onerror="window.hurt=1">',
  '<script>window.hurt=1</script>',
  '<svg onload="window.hurt=1"><a xlink:href="javascript:window.hurt=1">x</a></svg>',
  '[a](javascript:window.hurt=1) [b](data:text/html,<script>window.hurt=1</script>) [c](  JaVaScRiPt:window.hurt=1)',
  '[d](https://example.com/?a="b "title")',
  '![e"onerror="window.hurt=1](https://x.example/p.png)',
  '<iframe srcdoc="<script>parent.hurt=1</script>"></iframe>',
  '<form action="/x"><input name=a></form> <style>*{display:none}</style>',
  '<b style="position:fixed">x</b> <a href="javascript:window.hurt=1">y</a>',
  '```\n<img src=x onerror="window.hurt=1">\n```',
  'the end',
].join('\n\n');

describe('the playground', () => {
  beforeEach(async () => {
    context = await browser.newContext({ viewport: { width: 1000, height: 720 } });
    context.setDefaultTimeout(60_000);
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

  it('shows an answer word by word, with the model, tokens, cost and time to the first words', async () => {
    await open(gateway.url);
    // Everything that the answer's place has shown: on a slow machine a look from here may come
    // after its end.
    await page.evaluate(() => {
      const { document, MutationObserver } = globalThis as unknown as {
        readonly document: { querySelector(selector: string): { readonly textContent: string } | null };
        readonly MutationObserver: new (heard: () => void) => { observe(node: unknown, options: object): void };
      };
      const shown = new Set<string>();
      Object.assign(globalThis, { shown });
      const look = () => shown.add(document.querySelector('[role="log"] .text')?.textContent ?? '');
      new MutationObserver(look).observe(document, { subtree: true, childList: true, characterData: true });
    });
    await ask('demo: deltas=40 interval=50ms text=numbers');
    await ended();
    expect(await answer().textContent()).toBe(numbers(40));
    const shown = await page.evaluate(() => [...(globalThis as unknown as { readonly shown: Set<string> }).shown]);
    expect(shown.filter((text) => text !== '' && text !== numbers(40)).length).toBeGreaterThan(0);
    for (const text of shown) expect(numbers(40).startsWith(text)).toBe(true);
    expect(await turns().last().textContent()).toMatch(
      /\d+ tokens in, 40 out · no price known · first words after .* in all/,
    );
    expect(await page.getByRole('note', { name: 'Who answers' }).textContent()).toMatch(/demo.*no language model/);
  });

  it('works by keyboard alone: Enter sends, Escape cancels and keeps the text', async () => {
    await open(gateway.url);
    await page.keyboard.type(LONG);
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

  it('resumes in the middle of an answer after a reload', async () => {
    await open(gateway.url);
    await ask('demo: deltas=150 interval=10ms text=numbers');
    await answer().getByText('0 1 2').waitFor();
    await page.reload();
    await turns().first().waitFor();
    await ended();
    expect(await turns().count()).toBe(1);
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

  it('sends a question that was written while the network was down', async () => {
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

  it('keeps the text, reports the rest as lost, and sends the next question after a restart of the server', async () => {
    await open(gateway.url);
    await ask(LONG);
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

  it('explains why an answer failed, and keeps its text', async () => {
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

  it('shows running answers and questions of the first tab in a second one, and cancels from there', async () => {
    await open(gateway.url);
    await ask('demo: deltas=2 text=numbers');
    await ended();
    await ask(LONG);
    await answer().getByText('0 1 2').waitFor();
    const second = await context.newPage();
    await second.goto(page.url());
    const shown = second.getByRole('log', { name: 'Conversation' }).getByRole('article');
    await shown.nth(1).locator('.text').getByText('0 1 2').waitFor();
    expect(await shown.nth(0).locator('.text').textContent()).toBe('0 1');
    await second.getByRole('button', { name: 'Stop' }).click();
    await log().getByText('Stopped.').waitFor();
    await ask('demo: deltas=4 text=numbers');
    await shown.nth(2).locator('.answer[aria-busy="false"]').waitFor();
    expect(await shown.nth(2).locator('.text').textContent()).toBe(numbers(4));
    expect(await shown.nth(1).locator('.text').textContent()).toBe(await answer(1).textContent());
    expect(await shown.count()).toBe(3);
  });

  it('lists conversations, opens one with its history, renames and deletes it', async () => {
    await open(gateway.url);
    await ask('demo: deltas=3 text=numbers');
    await ended();
    await page.getByRole('button', { name: 'New conversation' }).click();
    await ask('A second one');
    await ended();
    const list = page.getByRole('navigation', { name: 'Conversations' });
    await list
      .getByRole('button', { name: /^demo: deltas=3/ })
      .first()
      .click();
    await answer().getByText('0 1 2').waitFor();
    expect(await turns().count()).toBe(1);
    await turns()
      .getByText(/3 out · no price known · first words after/)
      .waitFor();
    await list.getByRole('button', { name: /^Rename/ }).click();
    await page.keyboard.type('Three numbers');
    await page.keyboard.press('Enter');
    await list.getByRole('button', { name: /^Three numbers/ }).waitFor();
    page.once('dialog', (dialog) => void dialog.accept());
    await list.getByRole('button', { name: /^Delete/ }).click();
    await list.getByRole('button', { name: /^Three numbers/ }).waitFor({ state: 'detached' });
    expect(await turns().count()).toBe(0);
    await page.goBack();
    await page.getByText('Connected', { exact: true }).waitFor();
  });

  it('sends the chosen prompt and variables', async () => {
    await open(gateway.url);
    const setup = page.locator('#setup');
    await setup.locator('summary').click();
    await setup.getByLabel('Prompt', { exact: true }).selectOption('support/returns');
    await setup.getByLabel('return days').fill('45');
    await setup.getByLabel('free return shipping').selectOption('yes');
    await setup.getByLabel('tone').selectOption('brief');
    await setup.locator('summary').click();
    await ask('demo: deltas=1');
    await ended();
    const frames = page.getByRole('list', { name: 'Frames' });
    await page.getByRole('button', { name: 'Inspector' }).click();
    await frames.getByText('create', { exact: false }).first().click();
    await frames.getByText('"return_days": 45').waitFor();
    const sent = JSON.parse((await frames.locator('details[open] pre').first().textContent()) ?? '') as {
      prompt: unknown;
    };
    expect(sent.prompt).toEqual({
      id: 'support/returns',
      variables: { return_days: 45, free_return_shipping: true, tone: 'brief' },
    });
  });

  it('draws Markdown, without running any script or markup of the text', async () => {
    await open(gateway.url);
    await ask('Show me some Markdown');
    await ended();
    await answer().getByRole('table').waitFor();
    const link = answer().getByRole('link', { name: 'link' });
    expect(await link.getAttribute('rel')).toContain('noopener');
    // The gateway's own way for an answer with any text: a conversation that holds it.
    const created = await fetch(`${gateway.url}/v1/conversations`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        items: [
          { type: 'message', role: 'user', content: '<img src=x onerror="window.hurt=1">' },
          { type: 'message', role: 'assistant', content: [{ type: 'output_text', text: HOSTILE }] },
        ],
      }),
    });
    const { id } = (await created.json()) as { id: string };
    await page.goto(`${gateway.url}/#${id}`);
    await page.reload();
    await answer().getByText('the end').waitFor();
    const found = await log().evaluate((element) => ({
      dangerous: element.querySelectorAll(
        'img,script,iframe,svg:not([aria-hidden]),style,form,object,[onerror],[onclick],[style]',
      ).length,
      links: [...element.querySelectorAll('a')].map((each) => each.getAttribute('href')),
      hurt: (globalThis as { hurt?: unknown }).hurt,
    }));
    expect(found).toEqual({
      dangerous: 0,
      links: [null, null, null, 'https://example.com/?a=%22b', 'https://x.example/p.png'],
      hurt: undefined,
    });
    expect(await turns().last().locator('.question').textContent()).toBe('<img src=x onerror="window.hurt=1">');
  });

  it('shows the frames with explanations, filters them, and pauses on request', async () => {
    await open(gateway.url);
    await page.getByRole('button', { name: 'Inspector' }).click();
    const inspector = page.getByRole('complementary', { name: 'Protocol inspector' });
    const rows = inspector.getByRole('listitem');
    await ask('demo: deltas=30 interval=2ms text=numbers');
    await ended();
    expect(await rows.filter({ hasText: 'hello' }).count()).toBe(1);
    const deltas = rows.filter({ hasText: 'output_text.delta' });
    expect(await deltas.count()).toBe(1);
    await deltas.locator('summary').click();
    await deltas.getByText('nothing shown is ever taken back', { exact: false }).waitFor();
    await inspector.getByRole('searchbox', { name: 'Filter frames' }).fill('response.completed');
    expect(await rows.filter({ visible: true }).count()).toBe(1);
    await inspector.getByRole('combobox', { name: 'Direction' }).selectOption('out');
    expect(await rows.filter({ visible: true }).count()).toBe(0);
    await inspector.getByRole('combobox', { name: 'Direction' }).selectOption('');
    await inspector.getByRole('searchbox', { name: 'Filter frames' }).fill('');
    await inspector.getByRole('button', { name: 'Pause' }).click();
    const before = await rows.count();
    await ask('demo: deltas=3 text=numbers');
    await ended();
    expect(await rows.count()).toBe(before);
    await inspector.getByText(/waiting/).waitFor();
    await inspector.getByRole('button', { name: 'Resume', exact: true }).click();
    expect(await rows.count()).toBeGreaterThan(before);
  });

  it('copies an answer and sends the question again', async () => {
    await context.grantPermissions(['clipboard-read', 'clipboard-write']);
    await open(gateway.url);
    await ask('demo: deltas=5 text=numbers');
    await ended();
    await turns().last().getByRole('button', { name: 'Copy' }).click();
    await turns().last().getByRole('button', { name: 'Copied' }).waitFor();
    expect(
      await page.evaluate(() => (navigator as unknown as { clipboard: { readText(): string } }).clipboard.readText()),
    ).toBe(numbers(5));
    await turns().last().getByRole('button', { name: 'Retry' }).click();
    await turns().nth(1).waitFor();
    await ended();
    expect(await turns().nth(1).locator('.question').textContent()).toBe('demo: deltas=5 text=numbers');
  });

  it('announces each complete paragraph and the end once to screen readers', async () => {
    await open(gateway.url);
    await ask('Give me a long answer');
    const said = page.locator('#announcement p');
    await said.first().waitFor();
    expect(await answer().locator('p').count()).toBeLessThan(6);
    expect(await said.first().textContent()).toMatch(/^I am Sluice's built-in demo provider, .*while it runs\.$/);
    await page.keyboard.press('Escape');
    await said.getByText('Stopped.').waitFor();
    const words = (await said.allTextContents()).slice(0, -1).join(' ').replace(/\s+/g, ' ');
    expect(words).toBe((await answer().locator('p').allTextContents()).join(' ').replace(/\s+/g, ' ').trim());
  });

  it.each(['light', 'dark'] as const)(
    'passes axe in %s: empty, with answers, with its panes open',
    async (colorScheme) => {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      await open(gateway.url);
      expect(await violations()).toEqual([]);
      await ask('Show me some Markdown');
      await ended();
      await ask('demo: error=provider_timeout after=3');
      await ended();
      await page.locator('#setup summary').click();
      await page.getByRole('button', { name: 'Inspector' }).click();
      await page.getByRole('list', { name: 'Frames' }).locator('summary').last().click();
      expect(await violations()).toEqual([]);
    },
  );

  it('reports the connection by HTTP and answers when WebSockets are blocked', async () => {
    const wall = await wallBefore(gateway.port);
    try {
      await page.goto(wall.url);
      await page.getByText('Connected by HTTP').waitFor();
      await ask('demo: deltas=40 interval=5ms text=numbers');
      await ended();
      expect(await answer().textContent()).toBe(numbers(40));
    } finally {
      await context.close();
      await wall.close();
    }
  });

  it('takes an image by paste and by drop, shows it, sends it, and shows it again after a reload', async () => {
    const provider = await FakeOpenAiServer.start(textAnswer(['Seen']));
    const seeing = await startGateway({
      config: {
        provider: { type: 'openai', model: 'fake-model', input: ['text', 'image'] },
        // A screenshot of a large screen fits after it was scaled down.
        websocket: { max_message_bytes: '1MiB' },
      },
      env: { OPENAI_API_KEY: 'sk-x', OPENAI_BASE_URL: provider.baseUrl },
    });
    try {
      await open(seeing.url);
      const give = (kind: 'paste' | 'drop', width: number, height: number): Promise<void> =>
        page.evaluate(giveImage, { kind, width, height });
      await give('paste', 40, 30);
      await give('drop', 3_000, 2_000);
      const waiting = page.getByRole('list', { name: 'Images to send' });
      await waiting.getByRole('img', { name: 'Image 2' }).waitFor();
      expect(await violations()).toEqual([]);
      await page.getByRole('button', { name: 'Remove image 1' }).click();
      await waiting.getByRole('img', { name: 'Image 2' }).waitFor({ state: 'detached' });
      await give('paste', 40, 30);
      await waiting.getByRole('img', { name: 'Image 2' }).waitFor();
      await ask('What is this?');
      await ended();
      expect(await answer().textContent()).toBe('Seen');
      await waiting.waitFor({ state: 'hidden' });
      const content = provider.requests[0]?.body.messages.at(-1)?.['content'];
      expect(content).toMatchObject([
        { type: 'text', text: 'What is this?' },
        { type: 'image_url', image_url: { url: expect.stringMatching(/^data:image\/jpeg;base64,/u) } },
        { type: 'image_url', image_url: { url: expect.stringMatching(/^data:image\/png;base64,/u) } },
      ]);
      await page.reload();
      await turns().first().getByRole('img', { name: 'Image 2' }).waitFor();
      expect(await turns().count()).toBe(1);
    } finally {
      await seeing.close();
      await provider.close();
    }
  });

  it('explains that the demo provider takes no images', async () => {
    await open(gateway.url);
    await page.evaluate(giveImage, { kind: 'paste', width: 10, height: 10 } as const);
    await page.getByRole('img', { name: 'Image 1' }).waitFor();
    await page.keyboard.press('Enter');
    await log().getByText('the model takes no images').waitFor();
  });

  it('fits a phone, in the light or dark theme of the reader', async () => {
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

/*
 * The AI SDK's own React hook, unmodified, over the packed client's transport, in Chromium before
 * the real gateway.
 */

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { build } from 'esbuild';
import { resolve } from 'node:path';
import { type Browser, type BrowserContext, type Locator, type Page } from 'playwright-core';
import { launchChromium } from '../support/chromium.js';
import { CuttableProxy } from '../support/cuttable-proxy.js';
import {
  deltaChunk,
  DONE,
  type FakeAnswer,
  type FakeRequest,
  finishChunk,
  textAnswer,
  textChunk,
  usageChunk,
} from '../support/fake-openai-server.js';
import { GatewayHarness, ONE_TRY } from '../support/gateway-harness.js';

/** A page that keeps its messages as an application does, at every change. */
const APP = `
import { createRoot } from 'react-dom/client';
import { createElement as h, StrictMode, useEffect } from 'react';
import { lastAssistantMessageIsCompleteWithToolCalls } from 'ai';
import { useChat } from '@ai-sdk/react';
import { SluiceChatTransport } from 'sluice-client/ai-sdk';

const weather = { type: 'function', name: 'get_weather', parameters: { type: 'object', properties: { city: { type: 'string' } } } };
const transport = new SluiceChatTransport({ url: location.origin, reconnect: { firstDelayMs: 10, maxDelayMs: 50 }, defaults: { tools: [weather] } });
const stored = (name) => JSON.parse(sessionStorage.getItem(name) ?? '[]');

function Chat() {
  const { messages, sendMessage, regenerate, status, stop, error, addToolOutput } = useChat({
    id: 'chat', messages: stored('messages'), resume: true, transport,
    sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithToolCalls,
    onToolCall: ({ toolCall }) => {
      sessionStorage.setItem('calls', JSON.stringify([...stored('calls'), toolCall.input]));
      void addToolOutput({ tool: toolCall.toolName, toolCallId: toolCall.toolCallId, output: 'sunny' });
    },
  });
  useEffect(() => sessionStorage.setItem('messages', JSON.stringify(messages)), [messages]);
  window.ask = (text) => void sendMessage({ text });
  window.stop = () => void stop();
  window.regenerate = () => void regenerate();
  return h('main', { 'data-status': status },
    messages.map(({ id, role, parts }) => h('article', { key: id, id, className: role },
      parts.map((part, i) => h('p', { key: i, className: part.type, 'data-state': part.state },
        part.text ?? (part.type.startsWith('tool-') ? JSON.stringify([part.input, part.output]) : ''))))),
    h('output', null, error?.message ?? ''));
}
addEventListener('DOMContentLoaded', () =>
  createRoot(document.body.appendChild(document.createElement('div'))).render(h(StrictMode, null, h(Chat))));
`;

const numbers = (count: number): string => Array.from({ length: count }, (_, i) => String(i)).join(' ');
const words = (count: number): string[] => numbers(count).split(/(?= )/u);

/** `long`, `short` and an output of a tool are answered in numbers, `weather` by a call. */
function answer({ body }: FakeRequest, index: number): FakeAnswer {
  const { role, content } = body.messages.at(-1) ?? {};
  if (role === 'tool' || content === 'long') return textAnswer(words(900), { intervalMs: 2 });
  if (content === 'hang') return { steps: [...words(3).map(textChunk), { hang: true }] };
  if (content === 'fail') return { steps: [textChunk('Half'), { cut: true }] };
  if (content !== 'weather') return textAnswer(words(5));
  const called = { name: 'get_weather', arguments: '{"city":"Paris"}' };
  const call = { index: 0, id: `call_${index}`, type: 'function', function: called };
  return { steps: [deltaChunk({ tool_calls: [call] }), finishChunk('tool_calls'), usageChunk(), DONE] };
}

let browser: Browser;
let harness: GatewayHarness;
let proxy: CuttableProxy;
let script: string;
let context: BrowserContext;
let page: Page;
let complaints: string[];

beforeAll(async () => {
  const [made] = await Promise.all([
    build({
      stdin: { contents: APP, loader: 'js', resolveDir: resolve('.') },
      alias: { 'sluice-client': resolve('dist/client') },
      bundle: true,
      write: false,
      format: 'iife',
      define: { 'process.env.NODE_ENV': '"development"' },
      logLevel: 'silent',
    }),
    launchChromium().then((launched) => (browser = launched)),
    GatewayHarness.start({
      config: { middleware: { validator: { enabled: true, banned_words: ['forbidden'] }, ...ONE_TRY } },
    }).then((started) => (harness = started)),
  ]);
  harness.provider.answerWith(answer);
  script = made.outputFiles[0]?.text ?? '';
});
afterAll(async () => {
  await browser.close();
  await harness.close();
});
beforeEach(async () => {
  complaints = [];
  proxy = await CuttableProxy.start(harness.gateway.port);
  context = await browser.newContext({ bypassCSP: true });
  context.setDefaultTimeout(120_000);
  page = await context.newPage();
  page.on('pageerror', (error) => complaints.push(error.message));
  await page.addInitScript(`if (location.protocol === 'http:') {${script}}`);
  await page.goto(`${proxy.url}/client.d.ts`);
  await page.locator('main').waitFor({ state: 'attached' });
});
afterEach(async () => {
  await context.close();
  await proxy.close();
  expect(complaints).toEqual([]);
});

/** What the application put on the page. */
interface World {
  ask(text: string): void;
  stop(): void;
  regenerate(): void;
}
const ask = (text: string): Promise<void> => page.evaluate((said) => (globalThis as unknown as World).ask(said), text);
const press = (name: 'stop' | 'regenerate'): Promise<void> =>
  page.evaluate((named) => (globalThis as unknown as World)[named](), name);
const ready = (): Promise<void> => page.locator('main[data-status="ready"]').waitFor({ state: 'attached' });
const answers = (): Locator => page.locator('.assistant');
const texts = (): Promise<string[]> => page.locator('.assistant .text').allTextContents();
const shows = (text: string): Promise<void> => answers().last().getByText(text).waitFor();

describe("the AI SDK's useChat", () => {
  it('shows every word once though the network is cut again and again', async () => {
    await ask('long');
    for (const shown of [' 50 ', ' 300 ', ' 600 ']) {
      await shows(shown);
      proxy.cut();
      proxy.mend();
    }
    await ready();
    expect(await texts()).toEqual([numbers(900)]);
  });

  it('continues after a reload in the middle of an answer, and keeps the finished one', async () => {
    await ask('long');
    await shows(' 50 ');
    await page.reload();
    await shows(' 300 ');
    await page.reload();
    await shows(' 899');
    await ready();
    expect(await texts()).toEqual([numbers(900)]);
    await page.reload();
    await ready();
    expect(await texts()).toEqual([numbers(900)]);
    await ask('short');
    await page.locator('main[data-status="ready"] .assistant').nth(1).waitFor();
    expect(await texts()).toEqual([numbers(900), numbers(5)]);
  });

  it('shows an answer whole that ended while the page was away', async () => {
    await ask('long');
    await shows(' 50 ');
    await page.goto('about:blank');
    const { closed } = await harness.provider.request(harness.provider.requests.length - 1);
    await closed;
    await page.goBack();
    await shows(' 899');
    await ready();
    expect(await texts()).toEqual([numbers(900)]);
  });

  it('cancels the turn at the gateway by stop(), before and after a reload, and answers the next question', async () => {
    const cancelled = (): Promise<number> => harness.gateway.metric('sluice_requests_total{status="cancelled"}');
    for (const reloads of [false, true]) {
      const before = await cancelled();
      await ask('hang');
      await shows('0 1 2');
      if (reloads) {
        await page.reload();
        await page.locator('main[data-status="streaming"]').waitFor();
        await shows('0 1 2');
      }
      await press('stop');
      await ready();
      while ((await cancelled()) === before) await new Promise((go) => setTimeout(go, 20));
      await ask('short');
      await shows('0 1 2 3 4');
      await ready();
    }
    expect(await texts()).toEqual(['0 1 2', numbers(5), '0 1 2', numbers(5)]);
  });

  it('runs a tool of the page by addToolOutput, once, and continues the same message over a reload', async () => {
    await ask('weather');
    await page.locator('.tool-get_weather[data-state="output-available"]').waitFor();
    await shows(' 50 ');
    await page.reload();
    await shows(' 899');
    await ready();
    expect(await answers().count()).toBe(1);
    expect(await page.locator('.tool-get_weather').allTextContents()).toEqual(['[{"city":"Paris"},"sunny"]']);
    expect(await texts()).toEqual([numbers(900)]);
    expect(await page.evaluate(() => sessionStorage.getItem('calls'))).toBe('[{"city":"Paris"}]');
  });

  it('shows a refusal as text, reports refused requests and failed turns as errors, and continues', async () => {
    await ask('a forbidden word');
    await ready();
    expect(await texts()).toEqual([expect.stringContaining('not allowed')]);
    await ask('fail');
    await page.locator('main[data-status="error"]').waitFor();
    expect(await page.locator('output').textContent()).toContain('unable to');
    await ask('short');
    await shows('0 1 2 3 4');
    await ready();
    await press('regenerate');
    await page.locator('main[data-status="ready"]').waitFor();
    expect((await texts()).at(-1)).toBe(numbers(5));
  });
});

/*
 * What `npm pack` makes of the built client: it installs, type-checks as a stranger's dependency,
 * and works in React.
 */

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { build } from 'esbuild';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type Browser } from 'playwright-core';
import ts from 'typescript';
import { launchChromium } from '../support/chromium.js';
import { startGateway, type TestGateway } from '../support/gateway.js';

const APP = `
import { createRoot } from 'react-dom/client';
import { createElement as h, StrictMode, useState } from 'react';
import { createClient } from 'sluice-client';
import { useSluice, type ChatMessage } from 'sluice-client/react';

const client = createClient({ url: location.origin });

/** A page of an app that people leave and come back to. */
function App() {
  const [opened, open] = useState<{ readonly times: number; readonly conversation: string | null }>({ times: 0, conversation: null });
  return h(Page, { key: opened.times, conversation: opened.conversation, choose: (conversation) => open({ times: opened.times + 1, conversation }) });
}

function Page({ conversation, choose }: { conversation: string | null; choose: (conversation: string | null) => void }) {
  const { messages, send, cancel, busy, state, conversation: current } = useSluice({ client, conversation });
  return h('main', { 'data-state': state, 'data-conversation': current },
    messages.map(({ key, role, text, status }: ChatMessage) => h('p', { key, className: role, 'data-status': status }, text)),
    h('button', { onClick: () => send('demo: deltas=60 interval=2ms text=numbers') }, 'Ask'),
    h('button', { onClick: () => send('demo: deltas=9000 interval=20ms text=numbers') }, 'Request long'),
    h('button', { onClick: () => choose(current) }, 'Open again'),
    busy ? h('button', { onClick: cancel }, 'Stop') : null);
}
createRoot(document.body.appendChild(document.createElement('div'))).render(h(StrictMode, null, h(App)));
`;

const PLAIN = `
import { createClient, SluiceError, type ConversationEvent, type Sluice, type SluiceResponse } from 'sluice-client';

export async function main(): Promise<void> {
  const sluice: Sluice = createClient({ url: 'http://127.0.0.1:1', token: async () => 'ek_1' });
  const response: SluiceResponse = sluice.send('Hi', { prompt: { id: 'support' } });
  response.on('delta', (delta) => delta.toUpperCase());
  for await (const event of sluice.subscribe('conv_1')) {
    const seen: ConversationEvent = event;
    if (seen.type === 'item') seen.item.sluice.response_id?.length;
  }
  try {
    const { output_text } = await response.final;
    output_text.length;
  } catch (error) {
    if (error instanceof SluiceError) error.retryAfterMs?.toFixed();
  }
  // @ts-expect-error a mistake is found
  sluice.send(42);
}
`;

const TRANSPORT = `
import { type ChatTransport, type UIMessage } from 'ai';
import { createClient } from 'sluice-client';
import { SluiceChatTransport } from 'sluice-client/ai-sdk';

const client = createClient({ url: 'http://127.0.0.1:1' });
export const transports: ChatTransport<UIMessage>[] = [
  new SluiceChatTransport({ url: 'http://127.0.0.1:1', defaults: { prompt: { id: 'support' } } }),
  new SluiceChatTransport({ client, storage: null }),
];
// @ts-expect-error a mistake is found
new SluiceChatTransport({ storage: 42 });
`;

describe('the package of the client', () => {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-package-'));
  let browser: Browser;
  let gateway: TestGateway;

  beforeAll(async () => {
    [browser, gateway] = await Promise.all([launchChromium(), startGateway()]);
    // As npm itself lays it out: packed, then unpacked among a stranger's modules.
    const options = { cwd: directory, encoding: 'utf8' } as const;
    const packed = execFileSync('npm', ['pack', '--silent', resolve('dist/client')], options).trim();
    mkdirSync(join(directory, 'node_modules/sluice-client'), { recursive: true });
    const to = ['-C', join(directory, 'node_modules/sluice-client'), '--strip-components=1'];
    execFileSync('tar', ['-xzf', packed, ...to], options);
    for (const name of ['react', 'react-dom', 'scheduler', '@types', 'ai']) {
      symlinkSync(resolve('node_modules', name), join(directory, 'node_modules', name));
    }
    writeFileSync(join(directory, 'package.json'), '{"type":"module"}');
    writeFileSync(join(directory, 'app.ts'), APP);
    writeFileSync(join(directory, 'plain.ts'), PLAIN);
    writeFileSync(join(directory, 'transport.ts'), TRANSPORT);
  });
  afterAll(async () => {
    await browser.close();
    await gateway.close();
    rmSync(directory, { recursive: true, force: true });
  });

  it('type-checks under every strict option, and finds a mistake', () => {
    const files = ['app.ts', 'plain.ts', 'transport.ts'].map((name) => join(directory, name));
    const program = ts.createProgram(files, {
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.NodeNext,
      moduleResolution: ts.ModuleResolutionKind.NodeNext,
      lib: ['lib.es2022.d.ts', 'lib.dom.d.ts', 'lib.dom.iterable.d.ts'],
      types: [],
      strict: true,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      noEmit: true,
    });
    // The declarations of other packages are not this package's, and most of the work.
    const own = program.getSourceFiles().filter(({ fileName }) => !fileName.startsWith(resolve('.')));
    expect(own.map(({ fileName }) => fileName)).toEqual(expect.arrayContaining(files));
    expect(own.length).toBeGreaterThan(files.length);
    const found = [
      ...program.getOptionsDiagnostics(),
      ...program.getGlobalDiagnostics(),
      ...own.flatMap((file) => [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)]),
    ];
    expect(found.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'))).toEqual([]);
  });

  it('imports in Node, without a page', () => {
    const script =
      "const { createClient } = await import('sluice-client'); console.log(createClient({ url: 'http://127.0.0.1:1' }).state)";
    const printed = execFileSync(process.execPath, ['--input-type=module', '-e', script], {
      cwd: directory,
      encoding: 'utf8',
    });
    expect(printed.trim()).toBe('idle');
  });

  it('streams into React under StrictMode, cancels, and shows a conversation again from its history', async () => {
    const bundle = await build({
      entryPoints: [join(directory, 'app.ts')],
      bundle: true,
      write: false,
      format: 'iife',
      define: { 'process.env.NODE_ENV': '"development"' },
      logLevel: 'silent',
    });
    const context = await browser.newContext({ bypassCSP: true });
    context.setDefaultTimeout(60_000);
    const page = await context.newPage();
    const complaints: string[] = [];
    page.on('pageerror', (error) => complaints.push(error.message));
    page.on('console', (message) => {
      if (message.type() === 'error' && !/Failed to load resource/.test(message.text()))
        complaints.push(message.text());
    });
    // A page of the gateway's that does nothing by itself; its policy would not let a test's script
    // in.
    await page.goto(`${gateway.url}/client.d.ts`);
    await page.addScriptTag({ content: bundle.outputFiles[0]?.text ?? '' });
    const numbers = Array.from({ length: 60 }, (_, i) => String(i)).join(' ');
    await page.getByRole('button', { name: 'Ask', exact: true }).click();
    await page.locator('.assistant[data-status="completed"]').waitFor();
    expect(await page.locator('p').allTextContents()).toEqual(['demo: deltas=60 interval=2ms text=numbers', numbers]);
    await page.getByRole('button', { name: 'Request long' }).click();
    await page.locator('.assistant').nth(1).getByText('0 1 2').waitFor();
    // Left and opened again in the middle of an answer: it is there, after the earlier messages,
    // and continues.
    await page.getByRole('button', { name: 'Open again' }).click();
    await page.locator('.assistant').nth(1).getByText(' 60 61 62').waitFor();
    const [, , question] = await page.locator('p').allTextContents();
    expect(question).toBe('demo: deltas=9000 interval=20ms text=numbers');
    await page.getByRole('button', { name: 'Stop' }).click();
    await page.locator('.assistant[data-status="cancelled"]').waitFor();
    const before = await page.locator('p').allTextContents();
    await page.getByRole('button', { name: 'Open again' }).click();
    await page.locator('.assistant[data-status="cancelled"]').waitFor({ state: 'detached' });
    await page.locator('p').nth(3).waitFor();
    expect(await page.locator('p').allTextContents()).toEqual(before);
    expect(complaints).toEqual([]);
    await context.close();
  });
});

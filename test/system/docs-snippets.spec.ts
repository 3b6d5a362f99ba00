/*
 * What the documents show is what happens: every block of docs/clients.md that says it runs, run
 * against the real gateway.
 */

import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { resolve } from 'node:path';
import { type AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { build } from 'esbuild';
import { type Browser } from 'playwright-core';
import { WebSocket } from 'ws';
import { launchChromium } from '../support/chromium.js';
import { startGateway, type TestGateway } from '../support/gateway.js';
import { readersEnv, runCode, type Snippet, snippetsOf, withPorts } from '../support/snippets.js';

/** Before the time of a whole test is over, so that the page’s complaints are shown. */
const SHOWN_WITHIN_MS = 60_000;
/** Those in other languages are run by test/languages. */
const LANGUAGES = ['html', 'jsx', 'js', 'bash', 'text'];
const blocks = snippetsOf('docs/clients.md').filter(({ language }) => LANGUAGES.includes(language));
const of = (...languages: string[]) => blocks.filter(({ language }) => languages.includes(language));

let gateway: TestGateway;
/** A reader's own page, on an origin of its own. */
let site: Server;
let page = '';
beforeAll(async () => {
  site = createServer((_request, response) => response.setHeader('content-type', 'text/html').end(page));
  site.listen(0, '127.0.0.1');
  await once(site, 'listening');
  gateway = await startGateway({
    config: {
      auth: { allowed_origins: [siteUrl()] },
      middleware: { template: { source: 'support.pack', default: 'support' } },
    },
  });
});
afterAll(async () => {
  await gateway.close();
  site.closeAllConnections();
  site.close();
});

function siteUrl(): string {
  // The cast: it listens on TCP.
  return `http://localhost:${(site.address() as AddressInfo).port}`;
}

const codeOf = (block: Snippet) => withPorts(block.code, { app: gateway.port, ops: 0 });

describe('docs/clients.md', () => {
  it('includes a block for each client that can run here', () => {
    expect(new Set(blocks.map(({ language }) => language))).toEqual(new Set(LANGUAGES));
  });

  it.each(of('js', 'bash').map((block) => [block.place, block] as const))(
    'runs as written: %s',
    async (_place, block) => {
      const { code, output } = await runCode(block.language, codeOf(block), readersEnv());
      for (const part of block.says) expect(output).toContain(part);
      expect(code).toBe(0);
    },
  );

  describe('docs/clients.md in a page', () => {
    let browser: Browser;
    beforeAll(async () => void (browser = await launchChromium()));
    afterAll(() => browser.close());

    it.each(of('html', 'jsx').map((block) => [block.place, block] as const))(
      'runs as written: %s',
      async (_place, block) => {
        page = block.language === 'jsx' ? await bundled(codeOf(block)) : codeOf(block);
        const tab = await browser.newPage();
        const complaints: string[] = [];
        tab.on('pageerror', (error) => complaints.push(error.message));
        tab.on('console', (message) => void (message.type() === 'error' && complaints.push(message.text())));
        await tab.addInitScript(keepAllThatIsShown);
        await tab.goto(siteUrl());
        if (block.language === 'jsx') await tab.getByRole('button', { name: 'Ask' }).click();
        // Not all are shown at the same time: an answer makes room for the next one.
        for (const part of block.says)
          await tab
            .waitForFunction((text) => (globalThis as unknown as Shown).shown.includes(text), part, {
              timeout: SHOWN_WITHIN_MS,
            })
            .catch(() => complaints.push(`"${part}" was not shown`));
        expect(complaints).toEqual([]);
        await tab.close();
      },
    );
  });

  it.each(of('text').map((block) => [block.place, block] as const))(
    'shows frames as they are sent: %s',
    async (_place, block) => {
      await follow(block.code, gateway.socketUrl);
    },
  );
});

/** What a page has shown at any time. */
interface Shown {
  shown: string;
}

/** Runs in the page, before everything else there. */
function keepAllThatIsShown(): void {
  const world = globalThis as unknown as Shown & {
    readonly document: { readonly body: { readonly innerText: string } | null };
  };
  const { MutationObserver } = globalThis as unknown as {
    readonly MutationObserver: new (heard: () => void) => { observe(node: unknown, options: object): void };
  };
  world.shown = '';
  const observer = new MutationObserver(() => (world.shown += `\n${world.document.body?.innerText ?? ''}`));
  observer.observe(world.document, { subtree: true, childList: true, characterData: true });
}

/** A component as a page, with the package of the client as the build made it. */
async function bundled(code: string): Promise<string> {
  const { outputFiles } = await build({
    stdin: { contents: code, loader: 'jsx', resolveDir: resolve('.') },
    alias: { 'sluice-client': resolve('dist/client') },
    nodePaths: [resolve('node_modules')],
    bundle: true,
    format: 'esm',
    jsx: 'automatic',
    define: { 'process.env.NODE_ENV': '"production"' },
    write: false,
  });
  return `<!doctype html><body><script type="module">${outputFiles[0]?.text.replaceAll('</script', '<\\/script')}</script>`;
}

type Frame = Readonly<Record<string, unknown>> & { readonly type: string };

/**
 * Plays a transcript: sends its `>` lines, and holds each `<` line against the next frame; `…`
 * skips deltas.
 */
async function follow(transcript: string, url: string): Promise<void> {
  const frames: Frame[] = [];
  let heard = (): void => undefined;
  const socket = new WebSocket(url);
  await once(socket, 'open');
  socket.on('message', (data: Buffer) => {
    // The gateway sends JSON text; every event has a type.
    frames.push(JSON.parse(data.toString()) as Frame);
    heard();
  });
  const next = async (): Promise<Frame> => {
    while (frames.length === 0) await new Promise<void>((go) => (heard = go));
    return frames.shift() ?? { type: '' };
  };
  let first = '';
  let skip = false;
  for (const line of transcript.trim().split('\n')) {
    if (line === '…') {
      skip = true;
    } else if (line.startsWith('> ')) {
      socket.send(line.slice(2).replaceAll('$1', first));
    } else {
      // A line of the transcript: an object, as the page says.
      const expected = JSON.parse(line.slice(2)) as Frame;
      let frame = await next();
      while (skip && frame.type.endsWith('.delta')) frame = await next();
      skip = false;
      expect(frame).toMatchObject(expected);
      if (frame.type === 'response.created' && first === '') first = (frame['response'] as { id: string }).id;
    }
  }
  const closed = once(socket, 'close');
  socket.close();
  await closed;
}

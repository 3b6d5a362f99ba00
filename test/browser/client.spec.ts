/*
 * The built browser client in real Chromium against the real gateway, on networks that break: its
 * text is exact, whatever happens.
 */

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { type Browser, type BrowserContext, type CDPSession, type Page } from 'playwright-core';
import { type createClient as makeClient, type Sluice, type SluiceResponse } from '../../client/src/client.js';
import { launchChromium } from '../support/chromium.js';
import { CuttableProxy } from '../support/cuttable-proxy.js';
import { DONE, type FakeStep, FakeOpenAiServer, finishChunk, textChunk } from '../support/fake-openai-server.js';
import { startGateway, type TestGateway } from '../support/gateway.js';
import { wallBefore } from '../support/wall.js';

/** What the functions below keep in the page. */
interface World {
  client: Sluice;
  responses: SluiceResponse[];
  shown: string[];
  states: string[];
}

const numbers = (count: number): string => Array.from({ length: count }, (_, i) => String(i)).join(' ');

let browser: Browser;
let gateway: TestGateway;
let context: BrowserContext;
let page: Page;
let devtools: CDPSession;

beforeAll(async () => {
  [browser, gateway] = await Promise.all([launchChromium(), startGateway()]);
});
afterAll(async () => {
  await browser.close();
  await gateway.close();
});

beforeEach(async () => {
  context = await browser.newContext();
  page = await context.newPage();
  devtools = await context.newCDPSession(page);
});
afterEach(() => context.close());

it('serves page and client without a credential, and again only if they have changed [REST-21]', async () => {
  for (const [path, type] of [
    ['/', 'text/html'],
    ['/client.js', 'text/javascript'],
    ['/client.d.ts', 'text/plain'],
  ] as const) {
    const answer = await fetch(gateway.url + path);
    expect([answer.status, answer.headers.get('content-type')]).toEqual([200, `${type}; charset=utf-8`]);
    expect((await answer.text()).length).toBeGreaterThan(100);
    const again = await fetch(gateway.url + path, { headers: { 'if-none-match': answer.headers.get('etag') ?? '' } });
    expect([again.status, await again.text()]).toEqual([304, '']);
  }
});

/** An empty page of that origin with a client in it. */
async function start(url: string, target = page): Promise<void> {
  await target.goto(`${url}/client.d.ts`);
  await target.evaluate(async () => {
    // Not known to this compiler: the page loads it from its own server.
    const path = '/client.js';
    const { createClient } = (await import(path)) as { createClient: typeof makeClient };
    const world = globalThis as unknown as World;
    const client = createClient({ reconnect: { firstDelayMs: 50, maxDelayMs: 300 }, ping: { timeoutMs: 1_000 } });
    Object.assign(world, { client, responses: [], shown: [], states: [] });
    client.on('state', ({ state }) => world.states.push(state));
  });
}

/** Sends in the page; gives the index of the response there. */
function send(question: string): Promise<number> {
  return page.evaluate((input) => {
    const { client, responses } = globalThis as unknown as World;
    return responses.push(client.send(input)) - 1;
  }, question);
}

/** Resolves when the response has said `text`. */
function hasSaid(text: string, index = 0): Promise<void> {
  return page.evaluate(
    async ([wanted, at]) => {
      const response = (globalThis as unknown as World).responses[at];
      let said = '';
      for await (const delta of response ?? []) if ((said += delta).includes(wanted)) return;
      throw new Error(`it ended as ${JSON.stringify(said)}`);
    },
    [text, index] as const,
  );
}

/** The joined deltas, the terminal's text and the numbers of all events of a response. */
function outcome(index = 0): Promise<{ deltas: string; final: string; status: string }> {
  return page.evaluate(async (at) => {
    const response = (globalThis as unknown as World).responses[at];
    if (response === undefined) throw new Error('nothing was sent');
    let deltas = '';
    for await (const delta of response) deltas += delta;
    const { output_text: final, status } = await response.final;
    return { deltas, final, status };
  }, index);
}

const exactly = (count: number) => ({ deltas: numbers(count), final: numbers(count), status: 'completed' });
const transport = () => page.evaluate(() => (globalThis as unknown as World).client.transport);

describe('the browser client in Chromium', () => {
  it('loses and doubles nothing while the network is cut again and again, for several answers at once', async () => {
    const proxy = await CuttableProxy.start(gateway.port);
    try {
      await start(proxy.url);
      for (const count of [150, 180, 210]) await send(`demo: deltas=${count} interval=5ms text=numbers`);
      await hasSaid('0 1 2', 2);
      for (let i = 1; i <= 3; i++) {
        proxy.cut();
        await page.waitForFunction(() => (globalThis as unknown as World).client.state === 'reconnecting');
        proxy.mend();
        await page.waitForFunction(() => (globalThis as unknown as World).client.state === 'open');
      }
      expect(await Promise.all([0, 1, 2].map(outcome))).toEqual([exactly(150), exactly(180), exactly(210)]);
    } finally {
      await context.close();
      await proxy.close();
    }
  });

  it('follows exactly on a slow network', async () => {
    await start(gateway.url);
    await devtools.send('Network.enable');
    const slow = { offline: false, latency: 120, downloadThroughput: 12_000, uploadThroughput: 12_000 };
    await devtools.send('Network.emulateNetworkConditions', slow);
    await send('demo: deltas=120 interval=2ms text=numbers');
    expect(await outcome()).toEqual(exactly(120));
  });

  it('sends a request of an offline page once when the network is back', async () => {
    await start(gateway.url);
    await page.evaluate(() => (globalThis as unknown as World).client.connect());
    await context.setOffline(true);
    // What is open survives being "offline" in an emulation; what a real one does to it is done
    // here.
    gateway.gateway.parts.table.terminateAll();
    await page.waitForFunction(() => (globalThis as unknown as World).client.state === 'offline');
    const before = await gateway.metric('sluice_requests_total{status="success"}');
    await send('demo: deltas=9 text=numbers');
    await context.setOffline(false);
    expect(await outcome()).toEqual(exactly(9));
    const after = await gateway.metric('sluice_requests_total{status="success"}');
    expect(after - before).toBe(1);
  });

  it('resumes after the page was frozen, and after it was left and opened again', async () => {
    await start(gateway.url);
    await send('demo: deltas=200 interval=5ms text=numbers');
    await hasSaid('0 1 2');
    // Headless Chromium freezes no page, so the test dispatches the events of a freeze to the page,
    // in their order.
    const hear = (target: 'window' | 'document', names: string[]): Promise<void> =>
      page.evaluate(
        ([at, all]) => {
          const world = globalThis as unknown as EventTarget & { document: EventTarget };
          for (const name of all) (at === 'window' ? world : world.document).dispatchEvent(new Event(name));
        },
        [target, names] as const,
      );
    const open = () => page.waitForFunction(() => (globalThis as unknown as World).client.state === 'open');
    await hear('document', ['visibilitychange', 'freeze', 'resume']);
    await open();
    await hear('window', ['pagehide', 'pageshow']);
    await open();
    expect(await outcome()).toEqual(exactly(200));
    const states = await page.evaluate(() => (globalThis as unknown as World).states);
    expect(states).toEqual([
      'connecting',
      'open',
      ...['reconnecting', 'reconnecting', 'open'],
      ...['reconnecting', 'reconnecting', 'open'],
    ]);
  });

  it('reports an answer as lost after a restart of a server with state in memory, and sends the next', async () => {
    const own = await startGateway();
    try {
      await start(own.url);
      await send('demo: deltas=1000 interval=200ms text=numbers');
      await hasSaid('0 1 2');
      await own.restart();
      const lost = await page.evaluate(() => {
        const response = (globalThis as unknown as World).responses[0];
        return response?.final.catch((error: { kind: string; code: string }) => ({ ...error, text: response.text }));
      });
      expect(lost).toMatchObject({ kind: 'lost', code: 'response_not_found', text: expect.stringMatching(/^0 1 2/) });
      await send('demo: deltas=7 text=numbers');
      expect(await outcome(1)).toEqual(exactly(7));
    } finally {
      await context.close();
      await own.close();
    }
  });

  it('streams over HTTP where WebSockets are blocked: resumes after a cut, cancels, and follows other devices', async () => {
    const wall = await wallBefore(gateway.port);
    try {
      await start(wall.url);
      await send('demo: deltas=150 interval=5ms text=numbers');
      await hasSaid('0 1 2');
      expect(await transport()).toBe('sse');
      wall.shake();
      expect(await outcome()).toEqual(exactly(150));
      await send('demo: deltas=1000 interval=200ms text=numbers');
      await hasSaid('0 1 2', 1);
      await page.evaluate(() => (globalThis as unknown as World).responses[1]?.cancel());
      const { deltas, final, status } = await outcome(1);
      expect(status).toBe('cancelled');
      expect(deltas).toBe(final);
      expect(wall.stopped).toBeGreaterThanOrEqual(2);

      const conversation = await page.evaluate(async () => {
        const { client, shown } = globalThis as unknown as World;
        const { id } = await client.conversations.create();
        client.subscribe(id).on('event', (event) => {
          if (event.type === 'item') shown.push(String(event.item.content?.[0]?.text));
        });
        return id;
      });
      const asked = { input: 'demo: deltas=4 text=numbers', conversation };
      const headers = { 'content-type': 'application/json' };
      await fetch(`${gateway.url}/v1/responses`, { method: 'POST', headers, body: JSON.stringify(asked) });
      await page.waitForFunction(() => (globalThis as unknown as World).shown.length === 2);
      expect(await page.evaluate(() => (globalThis as unknown as World).shown)).toEqual([asked.input, numbers(4)]);
    } finally {
      await context.close();
      await wall.close();
    }
  });

  it('follows a conversation without a gap or a repetition: stored items, running turns and turns of another tab, over cuts', async () => {
    // A turn that ends before the page has subscribed is an item there, not a turn. So every turn
    // lasts until the page shows it.
    const gate = () => Promise.withResolvers<undefined>();
    const [away, back, queued, late] = [gate(), gate(), gate(), gate()];
    const said = (from: number, to: number): FakeStep[] =>
      numbers(to).match(/ ?\d+/gu)?.slice(from).map(textChunk) ?? [];
    const end = [finishChunk(), DONE];
    const answers: Readonly<Record<string, readonly FakeStep[]>> = {
      short: [...said(0, 2), ...end],
      long: [
        ...said(0, 50),
        { until: away.promise },
        ...said(50, 100),
        { until: back.promise },
        ...said(100, 150),
        ...end,
      ],
      queued: [...said(0, 2), { until: queued.promise }, ...said(2, 3), ...end],
      late: [{ until: late.promise }, ...said(0, 1), ...end],
    };
    const provider = await FakeOpenAiServer.start(({ body }) => ({
      steps: answers[String(body.messages.at(-1)?.['content'])] ?? [],
    }));
    const own = await startGateway({
      config: { provider: { type: 'openai', model: 'm', base_url: provider.baseUrl } },
    });
    const proxy = await CuttableProxy.start(own.port);
    const other = await context.newPage();
    const shows = (lines: number) =>
      page.waitForFunction((wanted) => (globalThis as unknown as World).shown.length >= wanted, lines);
    try {
      await start(own.url, other);
      const conversation = await other.evaluate(async () => {
        const { client } = globalThis as unknown as World;
        const { id } = await client.conversations.create();
        await client.send('short', { conversation: id }).final;
        client.send('long', { conversation: id });
        client.send('queued', { conversation: id });
        return id;
      });
      await start(proxy.url);
      await page.evaluate((id) => {
        const { client, responses, shown } = globalThis as unknown as World;
        client.subscribe(id).on('event', (event) => {
          if (event.type === 'caught_up') shown.push('caught up');
          else if (event.type === 'item') shown.push(`item ${String(event.item.content?.[0]?.text)}`);
          else {
            responses.push(event.response);
            const content = event.input[0]?.['content'] as readonly { text: string }[];
            const at = shown.push(`turn ${content[0]?.text ?? ''} runs`) - 1;
            void event.response.final.then(({ output_text: text }) => {
              if (event.response.text === text) shown[at] = `turn ${content[0]?.text ?? ''}: ${text}`;
            });
          }
        });
      }, conversation);
      await shows(4);
      await hasSaid(' 49');
      proxy.cut();
      await page.waitForFunction(() => (globalThis as unknown as World).client.state === 'reconnecting');
      away.resolve(undefined);
      await other.evaluate((id) => {
        void (globalThis as unknown as World).client.send('late', { conversation: id });
      }, conversation);
      proxy.mend();
      await hasSaid(' 99');
      back.resolve(undefined);
      await shows(5);
      queued.resolve(undefined);
      await shows(6);
      late.resolve(undefined);
      await page.waitForFunction(() => (globalThis as unknown as World).shown.every((line) => !line.endsWith('runs')));
      expect(await page.evaluate(() => (globalThis as unknown as World).shown)).toEqual([
        'item short',
        'item 0 1',
        'caught up',
        `turn long: ${numbers(150)}`,
        'turn queued: 0 1 2',
        'turn late: 0',
      ]);
    } finally {
      await context.close();
      await proxy.close();
      await own.close();
      await provider.close();
    }
  });

  it('manages conversations by REST: titles, order, paging, deletion', async () => {
    await start(gateway.url);
    const result = await page.evaluate(async () => {
      const { client } = globalThis as unknown as World;
      const { conversations } = client;
      const first = await conversations.create({ metadata: { topic: 'a' } });
      await client.send('What is a sluice?', { conversation: first.id }).final;
      const second = await conversations.create();
      await conversations.rename(second.id, 'Named by me');
      await conversations.rename(first.id, 'Also named');
      const list = await conversations.list({ limit: 2 });
      const items = await conversations.items(first.id, { order: 'asc', limit: 1 });
      const { metadata } = await conversations.retrieve(first.id);
      await conversations.delete(second.id);
      const gone = await conversations.retrieve(second.id).catch((error: { code: string }) => error.code);
      return {
        titles: list.data.map(({ sluice }) => sluice.title).sort(),
        item: items.data[0]?.content?.[0]?.text,
        more: items.has_more,
        metadata,
        gone,
      };
    });
    expect(result).toEqual({
      titles: ['Also named', 'Named by me'],
      item: 'What is a sluice?',
      more: true,
      metadata: { topic: 'a', title: 'Also named' },
      gone: 'conversation_not_found',
    });
  });
});

/*
 * Hostile text in every place of the playground that shows text, in real Chromium: with the page's
 * policy, and without it, so that the sanitizing and the policy are each proven alone.
 */

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type Browser, type BrowserContext, type Page } from 'playwright-core';
import { launchChromium } from '../support/chromium.js';
import { DONE, FakeOpenAiServer, finishChunk, textAnswer } from '../support/fake-openai-server.js';
import { startGateway, type TestGateway } from '../support/gateway.js';
import { HOSTILE_IDS, HOSTILE_TEXTS } from '../support/hostile-texts.js';

let browser: Browser;
let provider: FakeOpenAiServer;
let gateway: TestGateway;
beforeAll(async () => {
  [browser, provider] = await Promise.all([launchChromium(), FakeOpenAiServer.start()]);
  gateway = await startGateway({
    config: {
      provider: { type: 'openai', model: 'fake-model' },
      middleware: { provider: { retry: { max_attempts: 1 }, breaker: { failures: 1_000 } } },
    },
    env: { OPENAI_API_KEY: 'sk-x', OPENAI_BASE_URL: provider.baseUrl },
  });
});
afterAll(async () => {
  await browser.close();
  await gateway.close();
  await provider.close();
});

/** The parts of a browser that are used in pages. */
interface Window {
  violations?: string[];
  hurts?: number;
  readonly document: {
    readonly documentElement: { readonly scrollWidth: number; readonly clientWidth: number };
    readonly body: { append(node: unknown): void };
    addEventListener(type: string, listener: (event: { readonly effectiveDirective: string }) => void): void;
    createElement(name: string): PageElement;
    querySelectorAll(selector: string): Iterable<PageElement>;
  };
  readonly WebSocket: new (url: string) => unknown;
  readonly sessionStorage: { clear(): void };
}
interface PageElement {
  innerHTML: string;
  readonly href?: string;
  readonly rel?: string;
  readonly outerHTML: string;
  append(node: unknown): void;
  setAttribute(name: string, value: string): void;
  click(): void;
  submit?(): void;
}

/** A page under observation. */
interface Watched {
  readonly page: Page;
  readonly context: BrowserContext;
  /** Requests to other hosts, navigations, new pages and dialogs, as they happen. */
  readonly escapes: string[];
  /** Paths of the requests to the gateway. */
  readonly paths: string[];
  readonly hurts: () => Promise<number>;
  readonly violations: () => Promise<string[]>;
}

async function watch(options: { readonly bypassCSP: boolean }): Promise<Watched> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  context.setDefaultTimeout(30_000);
  await context.addInitScript(() => {
    const window = globalThis as unknown as Window;
    window.violations = [];
    window.hurts = 0;
    Object.assign(globalThis, { hurt: () => (window.hurts = (window.hurts ?? 0) + 1) });
    window.document.addEventListener('securitypolicyviolation', ({ effectiveDirective }) =>
      window.violations?.push(effectiveDirective),
    );
  });
  const escapes: string[] = [];
  const paths: string[] = [];
  await context.route(
    (url) => url.host !== new URL(gateway.url).host,
    (route) => {
      escapes.push(route.request().url());
      return route.abort();
    },
  );
  const page = await context.newPage();
  page.on('request', (request) => paths.push(new URL(request.url()).pathname));
  page.on('framenavigated', (frame) => {
    if (new URL(frame.url()).origin !== gateway.url || new URL(frame.url()).pathname !== '/') escapes.push(frame.url());
  });
  page.on('dialog', (dialog) => {
    escapes.push(dialog.message());
    void dialog.dismiss();
  });
  context.on('page', (opened) => escapes.push(`page ${opened.url()}`));
  const read = <K extends 'hurts' | 'violations'>(name: K) =>
    page.evaluate((key) => (globalThis as unknown as Window)[key], name) as Promise<NonNullable<Window[K]>>;
  return { page, context, escapes, paths, hurts: () => read('hurts'), violations: () => read('violations') };
}

/**
 * Resolves when `holds` returns true. Playwright's own wait needs `eval`, which the policy forbids.
 */
async function until(holds: () => Promise<boolean>, what: string): Promise<void> {
  for (let i = 0; i < 600; i++) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`no sign of ${what}`);
}

const turnsOf = (page: Page) => page.getByRole('log', { name: 'Conversation' }).getByRole('article');
const ask = async (page: Page, question: string): Promise<void> => {
  await page.getByRole('textbox', { name: 'Message' }).fill(question);
  await page.getByRole('button', { name: 'Send' }).click();
};
const ended = (page: Page) => turnsOf(page).last().locator('.answer[aria-busy="false"]').waitFor();

/** Clicks every link without an address, and returns what the page must not contain. */
const dangersIn = (page: Page): Promise<string[]> =>
  page.evaluate(() => {
    const { document } = globalThis as unknown as Window;
    const elements = [
      ...document.querySelectorAll(
        'body script,iframe,object,embed,form:not(.token,.composer),style,base,body meta,body link,svg:not([aria-hidden]),math,' +
          'article img,article [id],[style],[onerror],[onload],[onclick],[onfocus],[ontoggle],[onmouseover]',
      ),
    ].map(({ outerHTML }) => outerHTML);
    const links: PageElement[] = [...document.querySelectorAll('article a')];
    for (const link of links) if (link.href === '') link.click();
    const bad = links.filter(
      ({ href, rel }) => href !== '' && !(/^(?:https?|mailto):/u.test(href ?? '') && rel?.includes('noopener')),
    );
    return [...elements, ...bad.map(({ outerHTML }) => outerHTML)];
  });
const overflowOf = (page: Page): Promise<number> =>
  page.evaluate(() => {
    const { scrollWidth, clientWidth } = (globalThis as unknown as Window).document.documentElement;
    return scrollWidth - clientWidth;
  });

/** Expects that a page has shown hostile text and nothing came of it. */
async function expectHarmless({ page, escapes, hurts, violations }: Watched): Promise<void> {
  expect(await dangersIn(page)).toEqual([]);
  // Two frames: images and handlers had their chance.
  await page.evaluate(
    () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 50)))),
  );
  expect({ hurts: await hurts(), violations: await violations(), escapes }).toEqual({
    hurts: 0,
    violations: [],
    escapes: [],
  });
  expect(await overflowOf(page)).toBeLessThanOrEqual(0);
}
declare const requestAnimationFrame: (callback: () => void) => void;

const items = HOSTILE_TEXTS.flatMap(({ text }, i) => [
  { type: 'message', role: 'user', content: text },
  { type: 'message', role: 'assistant', content: [{ type: 'output_text', text }] },
  { type: 'function_call', call_id: `call_${i}`, name: 'look_up', arguments: JSON.stringify({ text }) },
  { type: 'function_call_output', call_id: `call_${i}`, output: text },
]);

describe.each([
  ['with its policy', false],
  ['without its policy', true],
])('the playground %s', (_name, bypassCSP) => {
  it('shows every hostile text of a history as text, and runs nothing', async () => {
    const headers = { 'content-type': 'application/json' };
    const made = await fetch(`${gateway.url}/v1/conversations`, { method: 'POST', headers, body: '{}' });
    const { id } = (await made.json()) as { readonly id: string };
    // One text in each conversation would take minutes; the history of one shows all, each in
    // elements of its own.
    for (let i = 0; i < items.length; i += 20) {
      const body = JSON.stringify({ items: items.slice(i, i + 20) });
      const added = await fetch(`${gateway.url}/v1/conversations/${id}/items`, { method: 'POST', headers, body });
      expect([i, added.status]).toEqual([i, 200]);
    }
    const watched = await watch({ bypassCSP });
    const { page, context } = watched;
    await page.goto(`${gateway.url}/#${id}`);
    await turnsOf(page).nth(20).waitFor();
    const questions = page.locator('.question');
    await questions.last().waitFor();
    const shown = await questions.allTextContents();
    const kept = new Set(HOSTILE_TEXTS.map(({ text }) => text));
    expect(shown.length).toBeGreaterThanOrEqual(20);
    for (const text of shown) expect(kept).toContain(text);
    await expectHarmless(watched);
    await context.close();
  });

  it('shows hostile text that streams in small pieces, in the question, the title and the inspector too', async () => {
    const watched = await watch({ bypassCSP });
    const { page, context } = watched;
    await page.goto(gateway.url);
    for (const { name, text } of HOSTILE_TEXTS.filter((_, i) => i % 3 === 0)) {
      provider.answerWith(
        textAnswer([...Array.from({ length: Math.ceil(text.length / 7) }, (_, i) => text.slice(i * 7, i * 7 + 7))]),
      );
      await page.getByRole('button', { name: 'New conversation' }).click();
      await ask(page, text.trim());
      await ended(page);
      expect([name, await page.locator('.question').last().textContent()]).toEqual([name, text.trim()]);
      await expectHarmless(watched);
    }
    await context.close();
  });

  it('shows hostile names of tools, models, prompts and guardrails, titles, and messages of errors as text', async () => {
    const watched = await watch({ bypassCSP });
    const { page, context } = watched;
    const bad = HOSTILE_TEXTS.filter(({ text }) => text.length < 400)
      .map(({ text }) => text)
      .join(' ');
    // What a gateway in front of hostile providers and packs could pass on, in every field that the
    // page reads.
    await page.route('**/v1/prompts', (route) => {
      const variable = {
        name: bad,
        type: 'string',
        required: true,
        default: bad,
        description: bad,
        example: bad,
        enum: null,
      };
      const choice = { ...variable, name: 'tone', enum: [bad, 'x'] };
      const prompt = {
        id: bad,
        version: bad,
        title: bad,
        description: bad,
        default: true,
        variables: [variable, choice],
      };
      return route.fulfill({ json: { data: [prompt], last_id: null, has_more: false } });
    });
    await page.route('**/v1/conversations?*', (route) => {
      const sluice = { title: bad, updated_at: 0 };
      const data = [{ id: `conv_${bad}`, object: 'conversation', created_at: 0, metadata: {}, sluice }];
      return route.fulfill({ json: { data, last_id: null, has_more: false } });
    });
    await page.routeWebSocket(/\/v1\/responses/u, (socket) => {
      const server = socket.connectToServer();
      server.onMessage((message) => {
        const frame = JSON.parse(String(message)) as {
          type: string;
          response?: Record<string, unknown>;
          error?: object;
        };
        if (frame.response !== undefined) {
          frame.response['model'] = bad;
          frame.response['sluice'] = {
            ...(frame.response['sluice'] as object),
            provider: bad,
            findings: [{ guardrail: bad, stage: 'input', decision: 'deny', reason: bad }],
          };
          if (frame.type === 'response.completed') {
            const call = { type: 'function_call', id: 'fc_1', status: 'completed', name: bad, arguments: bad };
            frame.response['output'] = [...(frame.response['output'] as object[]), call];
          }
          if (frame.response['error'] !== null) frame.response['error'] = { code: bad, message: bad };
        }
        if (frame.error !== undefined) frame.error = { ...frame.error, code: 'invalid_api_key', message: bad };
        socket.send(JSON.stringify(frame));
      });
    });
    await page.goto(gateway.url);
    await page.getByText('Connected', { exact: true }).waitFor();
    await page.locator('#setup summary').click();
    await page.locator('#conversations .title').first().waitFor();
    await page.locator('#setup summary').click();
    provider.answerWith(textAnswer(['Hello']));
    // The page sends the hostile prompt, which the gateway refuses with a message that is hostile,
    // too.
    await ask(page, 'Hello');
    await ended(page);
    await page.locator('#prompt').evaluate((select) => ((select as unknown as { value: string }).value = ''));
    await page.locator('#prompt').dispatchEvent('change');
    for (const answer of [textAnswer(['Hello']), { status: 400, body: { error: { message: bad, code: bad } } }]) {
      provider.answerWith(answer);
      await ask(page, 'Hello');
      await ended(page);
    }
    expect((await page.locator('.note').allTextContents()).some((note) => note.includes('hurt()'))).toBe(true);
    expect(await page.locator('.call').last().textContent()).toContain('hurt()');
    expect(await page.locator('#model').textContent()).toContain('hurt()');
    await page.locator('#frames summary').last().click();
    await expectHarmless(watched);
    await context.close();
  });

  it('stays whole when the bytes of a provider are not UTF-8 and its strings are lone surrogates', async () => {
    const watched = await watch({ bypassCSP });
    const { page, context } = watched;
    await page.goto(gateway.url);
    const head = Buffer.from('data: {"choices":[{"index":0,"delta":{"content":"');
    const tail = Buffer.from('<img src=x onerror=hurt()>"}}]}\n\n');
    for (const raw of [
      Buffer.concat([head, Buffer.from([0xff, 0xfe, 0xc0, 0xbc, 0xed, 0xa0, 0x80]), tail]),
      Buffer.concat([head, Buffer.from('\\ud800 \\udc00 \\u0000 \\u202e'), tail]),
    ]) {
      provider.answerWith({ steps: [{ raw }, finishChunk(), DONE] });
      await ask(page, 'Hello');
      await ended(page);
      await expectHarmless(watched);
    }
    provider.answerWith(textAnswer(['Still here']));
    await ask(page, 'Hello');
    await turnsOf(page).last().getByText('Still here').waitFor();
    await context.close();
  });
});

describe('the playground', () => {
  let watched: Watched;
  beforeAll(async () => {
    watched = await watch({ bypassCSP: false });
  });
  afterAll(() => watched.context.close());

  it.each(HOSTILE_IDS.map((id, i) => [id.slice(0, 40), id, i] as const))(
    'requests nothing for the conversation id %j in its address',
    async (_name, id, i) => {
      const { page, paths, escapes } = watched;
      paths.length = 0;
      escapes.length = 0;
      // Another query makes a new document, where another fragment alone would not.
      await page.goto(`${gateway.url}/?${i}#${id}`);
      await page.getByText('Connected', { exact: true }).waitFor();
      await expectHarmless(watched);
      const known = /^\/(?:v1\/(?:conversations|prompts|responses|models)|[\w.-]*)$/u;
      const asked = paths.filter((path) => !known.test(path));
      expect(paths).toContain('/v1/prompts');
      // A long id has the form of one: it is requested as one segment, and unknown.
      expect(asked.filter((path) => !/^\/v1\/conversations\/conv_[\w-]+(?:\/items)?$/u.test(path))).toEqual([]);
      // What this page remembers must not lead the next one away from its own id.
      await page.evaluate(() => (globalThis as unknown as Window).sessionStorage.clear());
    },
  );
});

/** What the policy refuses: its description, the directive, and code that tries it in the page. */
const REFUSED: readonly (readonly [string, string, () => void])[] = [
  [
    'HTML from a string',
    'require-trusted-types-for',
    (): void => {
      const window = globalThis as unknown as Window;
      window.document.createElement('p').innerHTML = '<b>x</b>';
    },
  ],
  [
    'a handler in an attribute',
    'require-trusted-types-for',
    (): void => {
      const window = globalThis as unknown as Window;
      const image = window.document.createElement('img');
      image.setAttribute('onerror', 'hurt()');
      image.setAttribute('src', 'data:,');
      window.document.body.append(image);
    },
  ],
  [
    'a link to javascript:',
    'script-src-elem',
    (): void => {
      const window = globalThis as unknown as Window;
      const link = window.document.createElement('a');
      link.setAttribute('href', 'javascript:hurt()');
      window.document.body.append(link);
      link.click();
    },
  ],
  [
    'a socket to another host',
    'connect-src',
    () => void new (globalThis as unknown as Window).WebSocket('wss://evil.example/'),
  ],
  ['a request to another host', 'connect-src', () => void fetch('https://evil.example/').catch(() => undefined)],
  [
    'an image of another host',
    'img-src',
    (): void => {
      const window = globalThis as unknown as Window;
      const image = window.document.createElement('img');
      image.setAttribute('src', 'https://evil.example/x.png');
      window.document.body.append(image);
    },
  ],
  [
    'a frame',
    'frame-src',
    (): void => {
      const window = globalThis as unknown as Window;
      const frame = window.document.createElement('iframe');
      frame.setAttribute('src', 'https://evil.example/');
      window.document.body.append(frame);
    },
  ],
  [
    'a form',
    'form-action',
    (): void => {
      const window = globalThis as unknown as Window;
      const form = window.document.createElement('form');
      form.setAttribute('action', 'https://evil.example/');
      window.document.body.append(form);
      form.submit?.();
    },
  ],
  [
    'a style in an attribute',
    'style-src-attr',
    (): void => {
      (globalThis as unknown as Window).document.createElement('p').setAttribute('style', 'color:red');
    },
  ],
];

describe('the observation of the playground', () => {
  let watched: Watched;
  beforeAll(async () => {
    watched = await watch({ bypassCSP: false });
  });
  afterAll(() => watched.context.close());

  it('sees hostile text that runs as HTML in a page without a policy', async () => {
    const { page, context, hurts } = await watch({ bypassCSP: true });
    await page.goto(gateway.url);
    for (const { name, text } of HOSTILE_TEXTS.filter(({ runs = false }) => runs)) {
      const before = await hurts();
      await page.evaluate((html) => {
        const { document } = globalThis as unknown as Window;
        const place = document.createElement('div');
        document.body.append(place);
        place.innerHTML = html;
      }, text);
      await until(async () => (await hurts()) > before, name);
    }
    await context.close();
  });

  it.each(REFUSED)('reports %s, which the policy refuses', async (_what, directive, run) => {
    const { page, hurts, violations } = watched;
    await page.goto(gateway.url);
    expect(await violations()).toEqual([]);
    await page.evaluate(run).catch((error: unknown) => expect(String(error)).toMatch(/Trusted|Security|parameter/u));
    await until(async () => (await violations()).length > 0, directive);
    expect(await violations()).toEqual([directive]);
    expect(await hurts()).toBe(0);
  });
});

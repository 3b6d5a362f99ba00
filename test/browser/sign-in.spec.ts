/*
 * Signing in at the playground, in real Chromium: keys and client secrets, their renewal and their
 * end, and where a credential may not show up.
 */

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { type Browser, type BrowserContext, type Page } from 'playwright-core';
import { launchChromium } from '../support/chromium.js';
import { startGateway, type TestGateway } from '../support/gateway.js';

const BACKEND = 'sk-backend-0000000000000000000000000001';
const DAY_S = 86_400;

let browser: Browser;
let gateway: TestGateway;
let context: BrowserContext;
let page: Page;
/** Addresses of all requests and sockets, and all lines of the page's console. */
let seen: string[];
let sockets: number;

beforeAll(async () => {
  [browser, gateway] = await Promise.all([
    launchChromium(),
    startGateway({
      config: {
        auth: { mode: 'keys', keys: [{ id: 'backend', key_env: 'BACKEND', tenant: 'shop' }] },
        monitoring: { logging: { level: 'trace' } },
      },
      env: { BACKEND },
    }),
  ]);
});
afterAll(async () => {
  await browser.close();
  await gateway.close();
});
beforeEach(async () => {
  context = await browser.newContext();
  context.setDefaultTimeout(60_000);
  page = await context.newPage();
  seen = [];
  sockets = 0;
  page.on('console', (message) => seen.push(message.text()));
  page.on('request', (request) => seen.push(request.url()));
  page.on('websocket', (socket) => {
    sockets += 1;
    seen.push(socket.url());
  });
});
afterEach(async () => {
  jest.restoreAllMocks();
  await context.close();
});

interface Secret {
  readonly id: string;
  readonly value: string;
  readonly expires_at: number;
}
async function secretFor(user: string, expires_in = 600): Promise<Secret> {
  const answer = await fetch(`${gateway.url}/v1/client_secrets`, {
    method: 'POST',
    headers: { authorization: `Bearer ${BACKEND}`, 'content-type': 'application/json' },
    body: JSON.stringify({ user, expires_in }),
  });
  return (await answer.json()) as Secret;
}
const paste = async (credential: string): Promise<void> => {
  await page.getByLabel('Key or client secret').fill(credential);
  await page.getByRole('button', { name: 'Connect' }).click();
};
const reason = (text: string | RegExp) => page.locator('#token-reason').getByText(text);
const connected = () => page.getByText('Connected', { exact: true }).waitFor();
const signIn = async (credential: string): Promise<void> => {
  await page.goto(gateway.url);
  await paste(credential);
  await connected();
};
const ask = async (question: string): Promise<void> => {
  await page.getByRole('textbox', { name: 'Message' }).fill(question);
  await page.getByRole('button', { name: 'Send' }).click();
};
const turns = () => page.getByRole('log', { name: 'Conversation' }).getByRole('article');
const ended = () => turns().last().locator('.answer[aria-busy="false"]').waitFor();
/** What the page and the browser have stored, and the page itself. */
const stored = () =>
  page.evaluate(() => {
    const { localStorage, document, location, sessionStorage } = globalThis as unknown as {
      readonly localStorage: object;
      readonly sessionStorage: object;
      readonly location: { readonly href: string };
      readonly document: { readonly cookie: string; readonly documentElement: { readonly outerHTML: string } };
    };
    return {
      session: JSON.stringify(sessionStorage),
      rest: [JSON.stringify(localStorage), document.cookie, location.href, document.documentElement.outerHTML].join(),
    };
  });

describe('the playground of a gateway with keys', () => {
  it('asks for a key, says why one is not accepted, and connects with a valid one', async () => {
    await page.goto(gateway.url);
    await reason('This server requires a key or a client secret.').waitFor();
    await page.getByText('A key is needed').waitFor();
    await paste('sk-wrong-00000000000000000000000000');
    await reason('Not accepted: unable to authenticate; unknown API key; check the key').waitFor();
    await paste('sk-with spaces');
    await reason(/^Not accepted: The credential has characters/u).waitFor();
    await paste(BACKEND);
    await connected();
    await ask('demo: deltas=3 text=numbers');
    await ended();
    expect(await turns().last().locator('.text').textContent()).toBe('0 1 2');
  });

  it.each(['key', 'secret'] as const)(
    'keeps a %s in the session storage of the tab, and in no address, log, console or other store',
    async (kind) => {
      const credential = kind === 'key' ? BACKEND : (await secretFor('ann')).value;
      await signIn(credential);
      await ask('demo: deltas=3 text=numbers');
      await ended();
      const { session, rest } = await stored();
      expect(session).toContain(credential);
      for (const place of [rest, ...seen, ...gateway.lines]) expect(place).not.toContain(credential);
      await page.reload();
      await connected();
      const other = await context.newPage();
      await other.goto(page.url());
      await other.getByText('This server requires a key or a client secret.').waitFor();
    },
  );

  it('forgets the credential and what it has shown with Sign out', async () => {
    const { value } = await secretFor('cid');
    await signIn(value);
    await ask('demo: deltas=3 text=numbers');
    await ended();
    await page.getByRole('button', { name: /^demo: deltas=3/u }).waitFor();
    await page.getByRole('button', { name: 'Signed in' }).click();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await reason('This server requires a key or a client secret.').waitFor();
    expect(await turns().count()).toBe(0);
    const { session, rest } = await stored();
    for (const place of [session, rest]) expect(place).not.toContain(value);
    expect(rest).not.toContain('deltas=3');
  });
});

describe('a client secret that ends', () => {
  const at = (secret: Secret, more: number): void => {
    jest.spyOn(Date, 'now').mockReturnValue(secret.expires_at * 1_000 + more);
    gateway.gateway.parts.table.check();
  };

  it('renews a client secret on the open connection when another one is pasted in time', async () => {
    const [first, fresh] = [await secretFor('ann'), await secretFor('ann', DAY_S)];
    await signIn(first.value);
    const before = sockets;
    at(first, -20_000);
    // `expires_at` is in whole seconds, so up to one second more is left.
    await reason(/^This credential expires in 2[01] s\. Paste a new one to stay connected\.$/u).waitFor();
    await paste(fresh.value);
    await page.locator('#announcement').getByText('The new credential was accepted.').waitFor({ state: 'attached' });
    at(first, 60_000);
    await ask('demo: deltas=3 text=numbers');
    await ended();
    expect(sockets).toBe(before);
    expect(gateway.lines.join()).not.toContain(fresh.value);
  });

  it('says that the secret of another user does not renew the connection', async () => {
    const [first, bobs] = [await secretFor('ann'), await secretFor('bob', DAY_S)];
    await signIn(first.value);
    at(first, -20_000);
    await reason(/^This credential expires/u).waitFor();
    await paste(bobs.value);
    await reason(/^Not accepted: /u).waitFor();
    await paste(bobs.value);
    await connected();
  });

  it('asks for another secret when one has expired, and continues the conversation with it', async () => {
    const [first, fresh] = [await secretFor('ann'), await secretFor('ann', DAY_S)];
    await signIn(first.value);
    await ask('demo: deltas=3 text=numbers');
    await ended();
    at(first, 60_000);
    await reason(/^Not accepted: .*unknown, expired or revoked/u).waitFor();
    await paste(fresh.value);
    await connected();
    await turns().first().getByText('0 1 2').waitFor();
    expect(await turns().count()).toBe(1);
  });

  it('says that a secret was revoked, and asks for another one', async () => {
    const [first, fresh] = [await secretFor('ann'), await secretFor('ann')];
    await signIn(first.value);
    await fetch(`${gateway.url}/v1/client_secrets/${first.id}`, {
      method: 'DELETE',
      headers: { authorization: `Bearer ${BACKEND}` },
    });
    await reason('This credential was revoked. Paste another one.').waitFor();
    await page.getByText('The credential was revoked', { exact: true }).waitFor();
    await paste(fresh.value);
    await connected();
  });
});

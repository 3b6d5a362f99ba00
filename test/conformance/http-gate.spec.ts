/*
 * Decisions from the head of a request: the gateway identifies the caller before it receives a
 * body, and bounds what a sender may occupy.
 */

import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import { type Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import { GatewayHarness, ONE_TRY, upTo } from '../support/gateway-harness.js';
import { exchange, RawHttp } from '../support/raw-http.js';

const KEY = 'sk-test-5c1a7d20e9f3';
const OTHER_KEY = 'sk-test-9b2f4408c1aa';
let harness: GatewayHarness;
beforeAll(async () => {
  harness = await GatewayHarness.start({
    config: {
      provider: { type: 'openai', model: 'fake-model' },
      auth: {
        mode: 'keys',
        keys: [
          { id: 'a', tenant: 'a', key_env: 'KEY_A' },
          { id: 'b', tenant: 'b', key_env: 'KEY_B' },
        ],
      },
      middleware: ONE_TRY,
      limits: { refusals_per_minute: 20 },
      http: { max_receiving_bytes: '1MiB', trusted_proxies: ['127.0.0.0/8'] },
    },
    env: { KEY_A: KEY, KEY_B: OTHER_KEY },
  });
});
const raws: RawHttp[] = [];
afterEach(() => raws.splice(0).forEach((raw) => raw.socket.destroy()));
afterAll(() => harness.close());

const head = (length: number, ...more: string[]): string =>
  [
    'POST /v1/conversations HTTP/1.1',
    'Host: x',
    'Content-Type: application/json',
    `Content-Length: ${length}`,
    ...more,
    '',
    '',
  ].join('\r\n');
const bearer = `Authorization: Bearer ${KEY}`;
const opened = async (): Promise<RawHttp> => {
  const raw = await RawHttp.open(harness.gateway.port);
  raws.push(raw);
  return raw;
};
const receiving = (): Promise<number> => harness.gateway.metric('sluice_http_receiving_bytes');
const until = async (done: () => boolean | Promise<boolean>): Promise<void> => {
  while (!(await done())) await new Promise(setImmediate);
};

describe('a request body', () => {
  it('does not receive a request body without a credential, and closes its connection [REST-22]', async () => {
    const senders = await Promise.all(upTo(100).map(opened));
    for (const raw of senders) raw.send(`${head(1_000_000)}{"metadata":`);
    await until(() => senders.every(({ text }) => /^HTTP\/1\.1 (401|429) /u.test(text)));
    expect(await receiving()).toBe(0);
    await Promise.all(senders.map(({ closed }) => closed));
  });

  it('answers 100 Continue only to a sender that may send its body [REST-22]', async () => {
    const stranger = await opened();
    stranger.send(head(10, 'Expect: 100-continue'));
    await until(() => stranger.text.includes('\r\n\r\n'));
    expect(stranger.text).not.toContain('100 Continue');
    const known = await opened();
    known.send(head(2, bearer, 'Connection: close', 'Expect: 100-continue'));
    await until(() => known.text.includes('100 Continue'));
    known.send('{}');
    await known.closed;
    expect(known.text).toContain('"object":"conversation"');
  });

  it('takes at most a quarter of the body room for one sender, and releases it [REST-23]', async () => {
    const slow = await opened();
    slow.send(`${head(200_000, bearer)}{`);
    await until(async () => (await receiving()) === 200_000);
    const answer = await exchange(harness.gateway.port, head(100_000, bearer));
    expect([answer.status, answer.headers['retry-after']]).toEqual([429, '1']);
    slow.socket.destroy();
    await until(async () => (await receiving()) === 0);
  });

  it('refuses a request body with 503 when other senders have taken the body room [REST-23]', async () => {
    const slow = await opened();
    slow.send(`${head(1_000_000, bearer)}{`);
    await until(async () => (await receiving()) === 1_000_000);
    const other = `Authorization: Bearer ${OTHER_KEY}`;
    const answer = await exchange(harness.gateway.port, head(100_000, other));
    expect([answer.status, answer.headers['retry-after']]).toEqual([503, '1']);
    expect(JSON.parse(answer.body)).toMatchObject({ error: { code: 'overloaded' } });
    slow.socket.destroy();
    await until(async () => (await receiving()) === 0);
    const again = await exchange(harness.gateway.port, `${head(2, other, 'Connection: close')}{}`);
    expect(again.status).toBe(200);
  });

  it('refuses a compressed request body with 415 [REST-2]', async () => {
    const answer = await fetch(`${harness.gateway.url}/v1/conversations`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'content-encoding': 'gzip', authorization: `Bearer ${KEY}` },
      body: gzipSync('{}'),
    });
    expect(answer.status).toBe(415);
    expect(await answer.json()).toMatchObject({ error: { code: 'unsupported_media_type', param: 'content-encoding' } });
  });
});

it('marks answers as private and names the scheme in a 401 [REST-25]', async () => {
  for (const answer of [
    await harness.api('/v1/models', { key: KEY }),
    await harness.api('/v1/models'),
    await harness.api('/nowhere'),
  ]) {
    expect(answer.headers.get('cache-control')).toBe('no-store');
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
    expect(answer.headers.get('www-authenticate')).toBe(answer.status === 401 ? 'Bearer' : null);
  }
});

it('does not count requests for what does not exist as refusals of their sender [REST-24]', async () => {
  const paths = upTo(60).map(
    (i) => `/v1/${['responses/resp_', 'conversations/conv_'][i % 2]}${String(i).padStart(32, '0')}`,
  );
  for (const path of paths) expect([path, (await harness.api(path, { key: KEY })).status]).toEqual([path, 404]);
  expect((await harness.api('/v1/models', { key: KEY })).status).toBe(200);
});

it('refuses a sender with 429 after too many refusals, also for a valid request [REST-24]', async () => {
  const wrong = () => harness.api('/v1/responses', { method: 'POST', key: KEY, body: { nonsense: 1 } });
  const statuses: number[] = [];
  while (!statuses.includes(429) && statuses.length < 100) statuses.push((await wrong()).status);
  expect(new Set(statuses)).toEqual(new Set([400, 429]));
  const refused = await harness.api('/v1/models', { key: KEY });
  expect(refused).toMatchObject({ status: 429, body: { error: { code: 'rate_limit_exceeded' } } });
  expect(refused.headers.get('retry-after')).not.toBeNull();
});

it('leaves no listeners on a connection whose bodies are refused [REST-22]', async () => {
  const opening = once(harness.gateway.gateway.app.getHttpServer(), 'connection');
  const raw = await opened();
  const [mine] = (await opening) as [Socket];
  const wanted = (answers: number) => until(() => raw.text.split('HTTP/1.1 ').length === answers + 1);
  raw.send(`${head(2)}{}`);
  await wanted(1);
  const listeners = mine.listenerCount('close');
  for (const i of upTo(5)) {
    raw.send(`${head(2)}{}`);
    await wanted(i + 2);
  }
  await until(() => mine.listenerCount('close') <= listeners);
});

it('counts refusals by the address that a trusted proxy names, and by no other [REST-24]', async () => {
  const wrong = (client: string) =>
    harness.api('/v1/responses', { method: 'POST', body: {}, headers: { 'x-forwarded-for': client } });
  const statuses: number[] = [];
  while (!statuses.includes(429) && statuses.length < 100) statuses.push((await wrong('198.51.100.7')).status);
  expect(new Set(statuses)).toEqual(new Set([401, 429]));
  // A client cannot choose its bucket: only what the proxy added counts.
  expect((await wrong('203.0.113.9, 198.51.100.7')).status).toBe(429);
  expect((await wrong('198.51.100.8')).status).toBe(401);
});

it('counts refusals by the address of the connection when no proxy is trusted [REST-24]', async () => {
  const direct = await GatewayHarness.start({
    config: {
      auth: { mode: 'keys', keys: [{ id: 'a', tenant: 'a', key_env: 'KEY_A' }] },
      limits: { refusals_per_minute: 5 },
    },
    env: { KEY_A: KEY },
  });
  const statuses: number[] = [];
  while (!statuses.includes(429) && statuses.length < 100) {
    const headers = { 'x-forwarded-for': `198.51.100.${statuses.length}` };
    statuses.push((await direct.api('/v1/models', { headers })).status);
  }
  expect(statuses.at(-1)).toBe(429);
  await direct.close();
});

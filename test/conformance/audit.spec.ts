/*
 * The audit log: one line for each operation that is done or refused, through every route and event
 * of the rules. A route or event without an example here does not compile, or fails.
 */

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EVENT_AUDIT } from '../../src/gateway/event-rules.js';
import { ROUTE_RULES } from '../../src/rest/route-rules.js';
import { DONE, finishChunk, textChunk, usageChunk } from '../support/fake-openai-server.js';
import { frameNaming } from '../support/client-frames.js';
import { type ApiAnswer, GatewayHarness, heldAnswer, ONE_TRY, upTo } from '../support/gateway-harness.js';

const BACKEND = 'sk-backend-0000000000000000000000000001';
/** Addresses that a trusted proxy names. */
const [HERE, THERE] = ['203.0.113.7', '198.51.100.9'];

type Line = Readonly<Record<string, unknown>>;

const directory = mkdtempSync(join(tmpdir(), 'sluice-audit-'));
const file = join(directory, 'audit.jsonl');
/** The lines that are written completely. */
const linesNow = (): Line[] =>
  readFileSync(file, 'utf8')
    .split('\n')
    .slice(0, -1)
    .map((text) => JSON.parse(text) as Line);

let harness: GatewayHarness;
let read = 0;
/** Resolves when `holds`, or after 10 s: then the test fails at what it looks for. */
async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  const from = performance.now();
  while (!(await holds()) && performance.now() - from < 10_000) await new Promise((resolve) => setTimeout(resolve, 2));
}
/** The lines since the last call, once there are `count` of them. */
async function written(count: number): Promise<readonly Line[]> {
  await until(() => linesNow().length >= read + count);
  const fresh = linesNow().slice(read);
  read += fresh.length;
  return fresh;
}
/**
 * Takes the lines of a test's preparations, up to an operation that only this call makes. It makes
 * it twice: the line of a request is written when its answer has ended, so the first may come
 * before the lines of other requests.
 */
async function prepared(): Promise<void> {
  for (let i = 0; i < 2; i++) {
    const before = linesNow().length;
    await harness.api('/v1/prompts', { key: BACKEND });
    await until(() =>
      linesNow()
        .slice(before)
        .some(({ operation }) => operation === 'GET /v1/prompts'),
    );
  }
  read = linesNow().length;
}

beforeAll(async () => {
  harness = await GatewayHarness.start({
    config: {
      http: { trusted_proxies: ['127.0.0.1'] },
      auth: {
        mode: 'keys',
        keys: [{ id: 'backend', key_env: 'BACKEND', tenant: 'shop', scopes: ['chat', 'admin'] }],
      },
      compaction: { key_env: 'SUMMARY_KEY' },
      monitoring: { audit: { output: file } },
      middleware: ONE_TRY,
    },
    env: { BACKEND, SUMMARY_KEY: Buffer.alloc(32, 7).toString('base64') },
  });
});
afterAll(async () => {
  await harness.close();
  rmSync(directory, { recursive: true });
});

const asAnn = { key: BACKEND, headers: { 'sluice-user': 'ann', 'x-forwarded-for': HERE } };
const post = (path: string, body: object): Promise<ApiAnswer> => harness.api(path, { method: 'POST', body, ...asAnn });
const idOf = ({ body }: ApiAnswer): string => String(body['id']);

interface Objects {
  readonly response: string;
  readonly conversation: string;
  readonly item: string;
  readonly secret: string;
}
/** New objects of Ann, so that each route may delete them. */
async function objects(): Promise<Objects> {
  const conversation = idOf(await post('/v1/conversations', {}));
  harness.says('Planted answer');
  const response = idOf(await post('/v1/responses', { input: 'Planted question', conversation }));
  const items = await harness.api(`/v1/conversations/${conversation}/items`, asAnn);
  const [item] = items.body['data'] as readonly { readonly id: string }[];
  const secret = idOf(await post('/v1/client_secrets', { user: 'ann' }));
  return { response, conversation, item: item?.id ?? '', secret };
}

/** @throws Error for a path whose objects this test does not know */
function pathOf(route: string, of: Objects): string {
  const [, path = ''] = route.split(' ');
  const kinds: readonly (readonly [RegExp, string])[] = [
    [/^(\/v1\/responses)\/:id/u, of.response],
    [/^(\/v1\/conversations)\/:id/u, of.conversation],
    [/^(\/v1\/client_secrets)\/:id/u, of.secret],
    [/^(\/v1\/models)\/:id/u, 'fake-model'],
    [/^(\/v1\/users)\/:user/u, 'ann'],
  ];
  const filled = kinds.reduce((text, [form, id]) => text.replace(form, `$1/${id}`), path).replace(':item', of.item);
  if (filled.includes(':')) throw new Error(`unable to test ${route}; add its objects to this test`);
  return filled;
}

function bodyOf(route: string): object | undefined {
  if (!route.startsWith('POST')) return undefined;
  if (route.endsWith('/compact')) return { model: null, input: 'Planted text' };
  if (/\/responses(\/input_tokens)?$/u.test(route)) return { input: 'Planted text' };
  if (route.endsWith('/completions')) {
    return { model: 'fake-model', messages: [{ role: 'user', content: 'Planted text' }] };
  }
  if (route.endsWith('/client_secrets')) return { user: 'ann' };
  if (route.endsWith('/items')) return { items: [{ type: 'message', role: 'user', content: 'Planted text' }] };
  return { metadata: { topic: 'Planted topic' } };
}

/** What a line of a route names: an id, and the user or the conversation. */
function namedIn(route: string, of: Objects): Line {
  const name = (text: string): Line => ({ id: text });
  if (route.includes('/items')) {
    return { conversation: of.conversation, ...(route.includes(':item') ? name(of.item) : {}) };
  }
  if (route.includes('/responses/:id')) return name(of.response);
  if (route.includes('/conversations/:id')) return name(of.conversation);
  if (route.includes('/client_secrets/:id')) return name(of.secret);
  if (route.includes('/models/:id')) return name('fake-model');
  if (route.includes(':user') || route.endsWith('/client_secrets')) return { about_user: 'ann' };
  if (/^POST .*\/(responses|compact|completions)$/u.test(route)) {
    // Jest's matchers have no narrower type.
    return { id: expect.stringMatching(/^resp_/u) as unknown };
  }
  return route === 'POST /v1/conversations' ? { id: expect.stringMatching(/^conv_/u) as unknown } : {};
}

describe.each(Object.entries(ROUTE_RULES))('%s', (route, { audit }) => {
  it('writes one audit line that says who did what, from where and when', async () => {
    const of = await objects();
    await prepared();
    harness.says('Planted summary');
    const [method = 'GET'] = route.split(' ');
    const body = bodyOf(route);
    const before = Date.now();
    const answer = await harness.fetch(pathOf(route, of), {
      method,
      ...asAnn,
      ...(body === undefined ? {} : { body }),
    });
    await answer.text();
    expect([route, answer.status]).toEqual([route, 200]);
    const [line, ...more] = await written(1);
    expect(more).toEqual([]);
    expect(line).toMatchObject({
      stream: 'audit',
      app: 'sluice',
      event: audit.event,
      kind: audit.kind,
      operation: route,
      outcome: 'ok',
      error: null,
      credential_kind: 'key',
      credential: 'backend',
      tenant: 'shop',
      user: 'ann',
      address: HERE,
      request_id: answer.headers.get('x-request-id'),
      ...namedIn(route, of),
    });
    const at = Date.parse(String(line?.['time']));
    expect(at).toBeGreaterThanOrEqual(before - 1);
    expect(at).toBeLessThanOrEqual(Date.now());
  });

  it('writes one audit line for a refused request, without a caller if none was authenticated', async () => {
    const of = await objects();
    await prepared();
    const [method = 'GET'] = route.split(' ');
    await harness.api(pathOf(route, of), { method, headers: { 'x-forwarded-for': THERE } });
    const [line, ...more] = await written(1);
    expect(more).toEqual([]);
    expect(line).toMatchObject({
      event: 'refused',
      kind: audit.kind,
      operation: route,
      outcome: 'refused',
      error: 'missing_api_key',
      credential: null,
      tenant: null,
      user: null,
      about_user: null,
      address: THERE,
    });
  });
});

const open = (key: string) =>
  harness.connect({ headers: { authorization: `Bearer ${key}`, 'x-forwarded-for': HERE, 'sluice-user': 'ann' } });

describe.each(Object.entries(EVENT_AUDIT))('%s', (type, audit) => {
  const frameOf = (of: Objects): object => frameNaming(type, of, { text: 'Planted text', token: BACKEND });

  it('writes one audit line for an accepted event with a rule, and none for others', async () => {
    const of = await objects();
    const client = await open(BACKEND);
    await prepared();
    harness.says('Planted text');
    client.send(frameOf(of));
    if (audit === null) {
      await client.next();
      await prepared();
      expect(linesNow().filter(({ operation }) => operation === type)).toEqual([]);
    } else {
      const [line, ...more] = await written(1);
      expect(more).toEqual([]);
      expect(line).toMatchObject({
        ...audit,
        operation: type,
        outcome: 'ok',
        credential: 'backend',
        tenant: 'shop',
        user: 'ann',
        address: HERE,
        connection_id: expect.stringMatching(/^conn_/u) as unknown,
      });
      if (type === 'response.create') expect(line).toMatchObject({ conversation: of.conversation });
      else if (type !== 'sluice:auth') {
        expect([of.response, of.conversation]).toContain(line?.['id']);
      }
    }
    await harness.hangUp();
  });

  it('writes one audit line for a refused event', async () => {
    if (audit === null) return;
    const of = await objects();
    const client = await open(BACKEND);
    await prepared();
    const other = (id: string): string => `${id.slice(0, -4)}0000`;
    const unknown = { ...of, response: other(of.response), conversation: other(of.conversation) };
    const frame = type === 'sluice:auth' ? { type, token: 'sk-planted-wrong-000000000000' } : frameOf(unknown);
    client.send(frame);
    const [line, ...more] = await written(1);
    expect(more).toEqual([]);
    expect(line).toMatchObject({
      event: 'refused',
      kind: audit.kind,
      operation: type,
      outcome: 'refused',
      user: 'ann',
    });
    expect(line?.['error']).toMatch(/_not_found$|^invalid_api_key$/u);
    await harness.hangUp();
  });
});

describe('the audit log', () => {
  it('writes opened and refused connections to the audit log', async () => {
    await prepared();
    await open(BACKEND);
    expect((await written(1))[0]).toMatchObject({
      event: 'authenticated',
      kind: 'connection',
      operation: 'upgrade',
      outcome: 'ok',
      user: 'ann',
      address: HERE,
    });
    await open('sk-planted-wrong-000000000000').catch(() => undefined);
    expect((await written(1))[0]).toMatchObject({
      event: 'refused',
      kind: 'connection',
      operation: 'upgrade',
      error: 'invalid_api_key',
      credential: null,
      address: HERE,
    });
    await harness.hangUp();
  });

  it('writes the audit line of a stream when the turn begins, and one for any number of deltas', async () => {
    await prepared();
    const { promise, resolve: finish } = Promise.withResolvers<void>();
    const words = upTo(50).map((i) => textChunk(`word ${i} `));
    harness.provider.answerWith({ steps: [...words, { until: promise }, finishChunk(), usageChunk(), DONE] });
    const answer = await harness.fetch('/v1/responses', {
      method: 'POST',
      body: { input: 'Hi', stream: true },
      ...asAnn,
    });
    const [line] = await written(1);
    expect(line).toMatchObject({ event: 'created', outcome: 'ok', id: expect.stringMatching(/^resp_/u) as unknown });
    finish();
    await answer.text();
    await prepared();
    expect(linesNow().filter(({ id }) => id === line?.['id'])).toHaveLength(1);
  });

  it('writes a cancel of a lane to the audit log with the response that it reaches', async () => {
    const client = await open(BACKEND);
    await prepared();
    const held = heldAnswer('First');
    harness.provider.answerWith(held.answer);
    client.send({ type: 'response.create', input: 'Hi', stream_id: 'lane' });
    await client.until('response.output_text.delta');
    const [created] = await written(1);
    client.send({ type: 'response.cancel', stream_id: 'lane' });
    expect((await written(1))[0]).toMatchObject({ event: 'cancelled', id: created?.['id'], outcome: 'ok' });
    held.finish();
    await harness.hangUp();
  });

  it('writes a repeated request to the audit log as read, not as created', async () => {
    harness.says('Once');
    const request = { method: 'POST', body: { input: 'Hi' }, key: BACKEND, headers: { 'idempotency-key': 'audit-1' } };
    await prepared();
    await harness.api('/v1/responses', request);
    await harness.api('/v1/responses', request);
    const [first, second] = await written(2);
    expect([first?.['event'], second?.['event']]).toEqual(['created', 'read']);
    expect(second?.['id']).toBe(first?.['id']);
  });

  it('names the user of `safety_identifier` in the audit log', async () => {
    await prepared();
    harness.says('Yes');
    await harness.api('/v1/responses', {
      method: 'POST',
      body: { input: 'Hi', safety_identifier: 'zoe' },
      key: BACKEND,
    });
    expect((await written(1))[0]).toMatchObject({ event: 'created', user: 'zoe' });
  });

  it('writes the use and the revocation of a client secret to the audit log', async () => {
    const secret = await post('/v1/client_secrets', { user: 'ann' });
    await prepared();
    await harness.api('/v1/models', { key: String(secret.body['value']) });
    expect((await written(1))[0]).toMatchObject({ credential_kind: 'secret', credential: idOf(secret), user: 'ann' });
  });

  it('writes neither text of messages nor a credential to the audit log, also if one is sent as an id', async () => {
    const secret = await post('/v1/client_secrets', { user: 'ann' });
    const value = String(secret.body['value']);
    await harness.api(`/v1/responses/${value}`, asAnn);
    await harness.api(`/v1/responses/planted-text`, asAnn);
    await harness.api(`/v1/users/planted-user/revoke`, { method: 'POST' });
    await prepared();
    const text = readFileSync(file, 'utf8');
    expect(text.length).toBeGreaterThan(10_000);
    expect(text).not.toMatch(/planted/iu);
    for (const credential of [BACKEND, value, value.slice(25)]) expect(text).not.toContain(credential);
  });
});

describe('an audit log that cannot be written', () => {
  it('harms no turn, counts the lines and logs the cause when the disk of the audit log is full', async () => {
    const full = await GatewayHarness.start({ config: { monitoring: { audit: { output: '/dev/full' } } } });
    try {
      full.says('One');
      expect((await full.post({ input: 'Hi' })).status).toBe(200);
      full.says('Two');
      expect((await full.post({ input: 'Hi' })).status).toBe(200);
      await until(() => full.gateway.lines.some((line) => line.includes('audit log not written')));
      const [line = '{}'] = full.gateway.lines.filter((one) => one.includes('audit log not written'));
      expect(JSON.parse(line)).toMatchObject({ level: 'error', output: '/dev/full', reason: 'ENOSPC' });
      // The second line may still wait for its write when the first one has failed.
      const dropped = () => full.gateway.metric('sluice_audit_lines_dropped_total');
      await until(async () => (await dropped()) >= 2);
      expect(await dropped()).toBe(2);
    } finally {
      await full.close();
    }
  });
});

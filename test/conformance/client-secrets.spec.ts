/* Client secrets: what a backend binds in them, and what the browser that holds one can do. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { BACKEND, mintSecret, serverKeys } from '../support/backend.js';
import { GatewayHarness, ONE_TRY, promptOf, responseIn, terminalOf } from '../support/gateway-harness.js';
import { RawClient } from '../support/raw-client.js';

const { auth, env, keys } = serverKeys({ other: { tenant: 'other' }, reader: { scopes: ['read'] } });
const PACK = {
  id: 'shop',
  name: 'Shop',
  version: '1.0.0',
  template_engine: { version: 'v1', syntax: '{{variable}}' },
  prompts: {
    support: {
      id: 'support',
      name: 'Support',
      version: '1.0.0',
      system_template: 'You help {{customer}} of tier {{tier}}.',
      variables: [
        { name: 'customer', type: 'string', required: true },
        { name: 'tier', type: 'string', required: true },
      ],
    },
  },
};

let folder: string;
let harness: GatewayHarness;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-secrets-'));
  const source = join(folder, 'shop.pack.json');
  writeFileSync(source, JSON.stringify(PACK));
  harness = await GatewayHarness.start({
    config: {
      auth,
      limits: { classes: { gold: { requests_per_minute: 50 } } },
      middleware: { ...ONE_TRY, template: { source } },
      monitoring: { logging: { level: 'trace' } },
    },
    env,
  });
});
afterEach(async () => {
  jest.restoreAllMocks();
  await harness.hangUp();
});
afterAll(async () => {
  await harness.close();
  rmSync(folder, { recursive: true });
});

const mint = (body: object, key = BACKEND, headers = {}) => mintSecret(harness, body, key, headers);
async function secretFor(user: string, more: object = {}): Promise<{ readonly id: string; readonly value: string }> {
  const { status, body } = await mint({ user, ...more });
  expect(status).toBe(200);
  return { id: String(body['id']), value: String(body['value']) };
}
const conversationOf = async (user: string): Promise<string> => {
  const { body } = await harness.api('/v1/conversations', {
    method: 'POST',
    body: {},
    key: BACKEND,
    headers: { 'sluice-user': user },
  });
  return String(body['id']);
};
const get = (path: string, key: string) => harness.api(path, { key });
const post = (body: object, key: string) => {
  harness.says('Hello');
  return harness.api('/v1/responses', { method: 'POST', body, key });
};
const page = (value: string) => harness.connect({ protocols: ['sluice.v1', `sluice.bearer.${value}`] });

describe('a client secret', () => {
  it('makes a client secret for a server key, for ten minutes unless the request says otherwise [EK-1]', async () => {
    const before = Math.floor(Date.now() / 1_000);
    const { body } = await mint({ user: 'ann' });
    expect(body).toEqual({
      id: expect.stringMatching(/^cs_[\w-]{22}$/u),
      object: 'client_secret',
      value: expect.stringMatching(/^ek_[\w-]{65}$/u),
      expires_at: expect.any(Number),
      user: 'ann',
      conversation: null,
      scopes: ['chat'],
    });
    expect(Number(body['expires_at']) - before).toBeGreaterThanOrEqual(600);
    const short = await mint({ user: 'ann', expires_in: 10 });
    expect(Number(short.body['expires_at']) - before).toBeLessThan(60);
  });

  it.each([
    [{}, 'missing_required_parameter', 'user'],
    [{ user: '' }, 'invalid_value', 'user'],
    [{ user: 'a\nb' }, 'invalid_value', 'user'],
    [{ user: 'ann', expires_in: 9 }, 'invalid_value', 'expires_in'],
    [{ user: 'ann', expires_in: 86_401 }, 'invalid_value', 'expires_in'],
    [{ user: 'ann', scopes: ['admin'] }, 'invalid_value', 'scopes[0]'],
    [{ user: 'ann', scopes: [] }, 'invalid_value', 'scopes'],
    [{ user: 'ann', class: 'silver' }, 'invalid_value', 'class'],
    [{ user: 'ann', prompt: { id: 'nothing' } }, 'prompt_not_found', 'prompt.id'],
    [
      { user: 'ann', prompt: { id: 'support', variables: { customer: 'Ann' } } },
      'missing_variable',
      'prompt.variables.tier',
    ],
    [{ user: 'ann', conversation: 'conv_unknown' }, 'conversation_not_found', 'conversation'],
    [{ user: 'ann', usr: 1 }, 'unknown_parameter', 'usr'],
  ])('refuses to make a client secret for %j [EK-1]', async (request, code, param) => {
    expect((await mint(request)).body).toMatchObject({ error: { code, param } });
  });

  it('refuses to make a client secret for a user, or with more than its key may do [EK-1]', async () => {
    const { value } = await secretFor('ann');
    expect(await mint({ user: 'ann' }, value)).toMatchObject({
      status: 403,
      body: { error: { code: 'insufficient_scope' } },
    });
    expect((await mint({ user: 'ann' }, keys.reader)).status).toBe(403);
    expect((await mint({ user: 'bob' }, BACKEND, { 'sluice-user': 'ann' })).status).toBe(403);
    expect((await mint({ user: 'ann' }, BACKEND, { 'sluice-user': 'ann' })).status).toBe(200);
  });

  it('lets a client secret act for its user only, over REST and on a socket [EK-2, AUTH-2]', async () => {
    const [ann, bob] = [await secretFor('ann'), await secretFor('bob')];
    const client = await page(ann.value);
    harness.says('Hello');
    const { id } = terminalOf(await client.run({ input: 'Hi' }));
    expect((await get(`/v1/responses/${id}`, ann.value)).status).toBe(200);
    expect((await get(`/v1/responses/${id}`, BACKEND)).status).toBe(200);
    for (const key of [bob.value, keys.other]) expect((await get(`/v1/responses/${id}`, key)).status).toBe(404);
    const mine = await post({ input: 'Hi' }, BACKEND);
    expect((await get(`/v1/responses/${String(mine.body['id'])}`, ann.value)).status).toBe(404);
  });

  it('refuses a client secret with one character changed, and shows it in no log line and no header [EK-2, UP-6, OPS-4]', async () => {
    const { value } = await secretFor('ann');
    const client = await page(value);
    expect(client.socket.protocol).toBe('sluice.v1');
    for (const at of [5, 30, 67]) {
      const wrong = value.slice(0, at) + (value[at] === 'A' ? 'B' : 'A') + value.slice(at + 1);
      expect((await get('/v1/models', wrong)).status).toBe(401);
      const refused = await RawClient.refused(harness.gateway.socketUrl, {
        protocols: ['sluice.v1', `sluice.bearer.${wrong}`],
      });
      expect(refused.status).toBe(401);
      expect(JSON.stringify([refused.headers, refused.body])).not.toContain(wrong);
    }
    for (const wrong of ['ek_', 'ek_x', `${value}x`]) expect((await get('/v1/models', wrong)).status).toBe(401);
    const log = harness.gateway.lines.join('\n');
    expect(log).not.toContain(value);
    expect(log).not.toContain(value.slice(30));
  });

  it('lets a client secret with the scope read follow, but not create, cancel or delete [EK-3, AUTH-8]', async () => {
    const reader = await secretFor('ann', { scopes: ['read'] });
    const writer = await secretFor('ann');
    const { body } = await post({ input: 'Hi' }, writer.value);
    const path = `/v1/responses/${String(body['id'])}`;
    expect((await get(path, reader.value)).status).toBe(200);
    expect((await post({ input: 'Hi' }, reader.value)).status).toBe(403);
    expect((await harness.api(path, { method: 'DELETE', key: reader.value })).status).toBe(403);
    const client = await page(reader.value);
    client.send({ type: 'sluice:resume', response_id: body['id'] });
    expect((await client.until('response.completed')).type).toBe('response.completed');
    for (const frame of [
      { type: 'response.create', input: 'Hi' },
      { type: 'response.cancel', response_id: body['id'] },
    ]) {
      client.send(frame);
      expect(await client.next()).toMatchObject({ type: 'error', status: 403, error: { code: 'insufficient_scope' } });
    }
  });

  it('gives a client secret the limits of its class, or those of the key that made it [AUTH-6]', async () => {
    const gold = await secretFor('gil', { class: 'gold' });
    expect((await post({ input: 'Hi' }, gold.value)).headers.get('x-ratelimit-limit-requests')).toBe('50');
    const plain = await secretFor('gil');
    expect((await post({ input: 'Hi' }, plain.value)).headers.get('x-ratelimit-limit-requests')).toBeNull();
  });
});

describe('a secret that is bound to a conversation', () => {
  it('limits a bound secret to its conversation and the responses in it [EK-4]', async () => {
    const [bound, elsewhere] = [await conversationOf('ann'), await conversationOf('ann')];
    const { value } = await secretFor('ann', { conversation: bound });
    const free = await secretFor('ann');
    const inside = await post({ input: 'Hi' }, value);
    expect(inside).toMatchObject({ status: 200, body: { conversation: { id: bound } } });
    const outside = await post({ input: 'Hi', conversation: elsewhere }, free.value);
    const alone = await post({ input: 'Hi' }, free.value);
    expect((await get(`/v1/responses/${String(inside.body['id'])}`, value)).status).toBe(200);
    expect((await get(`/v1/conversations/${bound}`, value)).status).toBe(200);
    for (const { body } of [outside, alone]) {
      const unknown = await get('/v1/responses/resp_unknown', value);
      expect((await get(`/v1/responses/${String(body['id'])}`, value)).body).toEqual(unknown.body);
    }
    expect((await get(`/v1/conversations/${elsewhere}`, value)).status).toBe(404);
    expect((await post({ input: 'Hi', conversation: elsewhere }, value)).status).toBe(404);
    expect((await get('/v1/conversations', value)).body).toMatchObject({ data: [{ id: bound }], has_more: false });
    const chain = await post({ input: 'Hi', previous_response_id: alone.body['id'] }, value);
    expect(chain.body).toMatchObject({ error: { code: 'parameter_not_allowed', param: 'previous_response_id' } });
    const create = await harness.api('/v1/conversations', { method: 'POST', body: {}, key: value });
    expect(create.status).toBe(403);
    const chat = { model: 'fake-model', messages: [{ role: 'user', content: 'Hi' }] };
    expect((await harness.api('/v1/chat/completions', { method: 'POST', body: chat, key: value })).status).toBe(403);
  });

  it('lets a bound secret resume, cancel and subscribe within its conversation only [EK-4, SUB-4, RES-5]', async () => {
    const [bound, elsewhere] = [await conversationOf('ann'), await conversationOf('ann')];
    const { value } = await secretFor('ann', { conversation: bound });
    const outside = await post({ input: 'Hi', conversation: elsewhere }, (await secretFor('ann')).value);
    const client = await page(value);
    for (const frame of [
      { type: 'sluice:resume', response_id: outside.body['id'] },
      { type: 'response.cancel', response_id: outside.body['id'] },
      { type: 'sluice:subscribe', conversation: elsewhere },
    ]) {
      client.send(frame);
      expect(await client.next()).toMatchObject({ type: 'error', status: 404 });
    }
    client.send({ type: 'sluice:subscribe', conversation: bound });
    expect((await client.next()).type).toBe('sluice:subscribed');
    client.send({ type: 'sluice:auth', token: (await secretFor('ann', { conversation: elsewhere })).value });
    expect(await client.next()).toMatchObject({ type: 'error', error: { code: 'invalid_api_key' } });
    client.send({ type: 'sluice:auth', token: (await secretFor('ann', { conversation: bound })).value });
    expect((await client.next()).type).toBe('sluice:authenticated');
  });

  it('refuses to bind a secret to a conversation of another user, or of no user [EK-4]', async () => {
    const bobs = await mint({ user: 'ann', conversation: await conversationOf('bob') });
    expect(bobs).toMatchObject({ status: 404, body: { error: { code: 'conversation_not_found' } } });
    const ownerless = await mint({ user: 'ann', conversation: await harness.conversation(BACKEND) });
    expect(ownerless).toMatchObject({ status: 400, body: { error: { param: 'conversation' } } });
    expect(String((ownerless.body['error'] as { message: string }).message)).toContain('sluice-user');
  });
});

describe('a secret that fixes the prompt', () => {
  const prompt = { id: 'support', variables: { customer: 'Ann', tier: 'gold' } };

  it('renders a fixed prompt in every turn, with variables that the page neither sends nor sees [EK-5]', async () => {
    const { value } = await secretFor('ann', { prompt });
    const client = await page(value);
    harness.says('Hello');
    const frames = await client.run({ input: 'Hi' });
    expect(promptOf(harness.provider.requests.at(-1) as never)[0]).toBe('system: You help Ann of tier gold.');
    expect(terminalOf(frames).sluice.prompt).toMatchObject({ name: 'support' });
    expect(JSON.stringify(frames)).not.toContain('gold');
    const { body } = await post({ input: 'Hi' }, value);
    expect(responseIn({ type: 'x', response: body } as never).status).toBe('completed');
    expect(promptOf(harness.provider.requests.at(-1) as never)[0]).toBe('system: You help Ann of tier gold.');
  });

  it('refuses a prompt and instructions of a page whose secret fixes the prompt [EK-5]', async () => {
    const { value } = await secretFor('ann', { prompt });
    for (const more of [
      { prompt: { id: 'support', variables: { customer: 'Ann', tier: 'platinum' } } },
      { prompt },
      { instructions: 'Say yes' },
    ]) {
      const refused = await post({ input: 'Hi', ...more }, value);
      expect(refused.body).toMatchObject({ error: { code: 'parameter_not_allowed', param: Object.keys(more)[0] } });
    }
    const chat = { model: 'fake-model', messages: [{ role: 'user', content: 'Hi' }] };
    harness.says('Hello');
    expect((await harness.api('/v1/chat/completions', { method: 'POST', body: chat, key: value })).status).toBe(200);
    expect(promptOf(harness.provider.requests.at(-1) as never)[0]).toBe('system: You help Ann of tier gold.');
  });
});

describe('the end of a secret', () => {
  it('refuses new work at the expiry of a secret, and closes the socket after a grace unless it is renewed [WS-15, WS-16]', async () => {
    const { body } = await mint({ user: 'ann', expires_in: 3_600 });
    const expiresAt = Number(body['expires_at']) * 1_000;
    const [ending, renewed] = [await page(String(body['value'])), await page(String(body['value']))];
    const fresh = await secretFor('ann', { expires_in: 86_400 });
    jest.spyOn(Date, 'now').mockReturnValue(expiresAt + 2_000);
    expect((await get('/v1/models', String(body['value']))).status).toBe(401);
    for (const client of [ending, renewed]) {
      client.send({ type: 'response.create', input: 'Hi' });
      expect(await client.until('error')).toMatchObject({ error: { code: 'invalid_api_key' } });
    }
    renewed.send({ type: 'sluice:auth', token: fresh.value });
    await renewed.until('sluice:authenticated');
    jest.spyOn(Date, 'now').mockReturnValue(expiresAt + 12_000);
    harness.gateway.gateway.parts.table.check();
    expect((await ending.closed).code).toBe(1012);
    harness.says('Hello');
    expect(terminalOf(await renewed.run({ input: 'Hi' })).output_text).toBe('Hello');
  });

  it('closes the sockets of a deleted secret with 1008, and leaves others open [EK-6]', async () => {
    const [one, two] = [await secretFor('ann'), await secretFor('ann')];
    const [first, second] = [await page(one.value), await page(two.value)];
    const remove = (id: string, key: string) => harness.api(`/v1/client_secrets/${id}`, { method: 'DELETE', key });
    for (const [id, key] of [
      [one.id, keys.other],
      ['cs_unknown', BACKEND],
    ] as const) {
      const refused = await remove(id, key);
      expect(refused).toMatchObject({ status: 404, body: { error: { code: 'client_secret_not_found' } } });
    }
    expect((await remove(one.id, two.value)).status).toBe(403);
    expect((await remove(one.id, BACKEND)).body).toEqual({
      id: one.id,
      object: 'client_secret.deleted',
      deleted: true,
    });
    expect((await first.closed).code).toBe(1008);
    expect((await get('/v1/models', one.value)).status).toBe(401);
    expect((await get('/v1/models', two.value)).status).toBe(200);
    expect((await second.settle()).map(({ type }) => type)).toEqual(['sluice:pong']);
    expect((await remove(one.id, BACKEND)).status).toBe(404);
  });

  it('closes all sockets of a revoked user with 1008, not those of the backend [EK-6]', async () => {
    const [one, two, other] = [await secretFor('rex'), await secretFor('rex'), await secretFor('sam')];
    const [first, second, third] = [await page(one.value), await page(two.value), await page(other.value)];
    const backend = await harness.connect({ headers: { authorization: `Bearer ${BACKEND}`, 'sluice-user': 'rex' } });
    expect((await harness.api('/v1/users/rex/revoke', { method: 'POST', key: keys.other })).status).toBe(200);
    expect((await get('/v1/models', one.value)).status).toBe(200);
    expect((await harness.api('/v1/users/sam/revoke', { method: 'POST', key: one.value })).status).toBe(403);
    const revoked = await harness.api('/v1/users/rex/revoke', { method: 'POST', key: BACKEND });
    expect(revoked.body).toEqual({ user: 'rex', object: 'user.revoked', revoked: true });
    expect([(await first.closed).code, (await second.closed).code]).toEqual([1008, 1008]);
    for (const { value } of [one, two]) expect((await get('/v1/models', value)).status).toBe(401);
    expect((await get('/v1/models', (await secretFor('rex')).value)).status).toBe(200);
    for (const open of [third, backend]) expect((await open.settle()).map(({ type }) => type)).toEqual(['sluice:pong']);
  });
});

describe('without authentication', () => {
  it('lets a secret act for its user without authentication too, so that a page can be built against it [EK-2]', async () => {
    const open = await GatewayHarness.start({ config: { middleware: ONE_TRY } });
    try {
      const values = [];
      for (const user of ['ann', 'bob']) {
        const { body } = await open.api('/v1/client_secrets', { method: 'POST', body: { user } });
        values.push(String(body['value']));
      }
      open.says('Hello');
      const { body } = await open.post({ input: 'Hi' }, values[0] ?? '');
      const path = `/v1/responses/${String(body['id'])}`;
      expect((await open.api(path, { key: values[0] ?? '' })).status).toBe(200);
      expect((await open.api(path, { key: values[1] ?? '' })).status).toBe(404);
      expect((await open.api('/v1/models', { key: 'ek_wrong' })).status).toBe(401);
    } finally {
      await open.close();
    }
  });
});

/* A user's data: erased until Redis holds no word of it, and exported whole. */

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { RedisServer } from '../../scripts/development/cluster/redis.js';
import { BACKEND, mintSecret, serverKeys } from '../support/backend.js';
import { GatewayHarness, heldAnswer, ONE_TRY } from '../support/gateway-harness.js';

const scopes = ['chat', 'admin'];
const { auth, env, keys } = serverKeys({ other: { tenant: 'other', scopes } }, { scopes });

let redis: RedisServer;
beforeAll(async () => {
  redis = await RedisServer.start();
});
afterAll(() => redis.close());

/** Everything in Redis, as text. */
async function dump(): Promise<string> {
  const texts: string[] = [];
  for (const key of await redis.admin.keys('*')) {
    const type = await redis.admin.type(key);
    const value =
      type === 'string'
        ? await redis.admin.get(key)
        : type === 'hash'
          ? await redis.admin.hgetall(key)
          : type === 'list'
            ? await redis.admin.lrange(key, 0, -1)
            : type === 'set'
              ? await redis.admin.smembers(key)
              : type === 'zset'
                ? await redis.admin.zrange(key, '0', '-1')
                : await redis.admin.xrange(key, '-', '+');
    texts.push(`${key} ${JSON.stringify(value)}`);
  }
  return texts.join('\n');
}

describe.each(['memory', 'redis'])('with state in %s', (type) => {
  let harness: GatewayHarness;
  beforeAll(async () => {
    harness = await GatewayHarness.start({
      config: {
        state: type === 'redis' ? { type, url: redis.url } : { type },
        auth,
        middleware: ONE_TRY,
      },
      env,
    });
  });
  afterAll(() => harness.close());

  let requests = 0;
  const as = (user: string) => ({ key: BACKEND, headers: { 'sluice-user': user } });
  const post = (body: object, user: string, headers = {}) => {
    harness.says('Planted answer');
    return harness.api('/v1/responses', {
      method: 'POST',
      body,
      key: BACKEND,
      headers: { 'sluice-user': user, ...headers },
    });
  };
  async function planted(user: string): Promise<{ readonly conversation: string; readonly ids: readonly string[] }> {
    const created = await harness.api('/v1/conversations', {
      method: 'POST',
      body: { metadata: { topic: 'Planted topic' }, items: [{ role: 'user', content: 'Planted first' }] },
      ...as(user),
    });
    const conversation = String(created.body['id']);
    const inside = await post({ input: 'Planted question', conversation }, user, {
      'idempotency-key': `planted-${user}-${(requests += 1)}`,
    });
    const alone = await post({ input: 'Planted alone', metadata: { note: 'Planted note' } }, user);
    return { conversation, ids: [String(inside.body['id']), String(alone.body['id'])] };
  }
  const erase = (user: string, key = BACKEND) => harness.api(`/v1/users/${user}`, { method: 'DELETE', key });

  it('exports conversations with items, and responses, of this user only [DATA-2]', async () => {
    const { conversation, ids } = await planted('eve');
    await post({ input: 'Of Bob' }, 'bob');
    const answer = await harness.fetch('/v1/users/eve/export', { key: BACKEND });
    expect(answer.headers.get('content-type')).toContain('application/jsonl');
    const lines = (await answer.text())
      .trim()
      .split('\n')
      .map((text) => JSON.parse(text) as Record<string, unknown>);
    expect(lines.map(({ type: kind }) => kind)).toEqual([
      'conversation',
      'item',
      'item',
      'item',
      'response',
      'response',
    ]);
    expect(lines[0]).toMatchObject({ id: conversation, metadata: { topic: 'Planted topic' } });
    expect(
      lines
        .slice(4)
        .map(({ response }) => (response as { id: string }).id)
        .sort(),
    ).toEqual([...ids].sort());
    // Who speaks, when, and by which version of a prompt.
    const turn = lines.find(({ response: one }) => (one as { id?: string } | undefined)?.id === ids[0]);
    const { created_at } = (turn?.['response'] ?? {}) as { readonly created_at?: number };
    expect(created_at).toBeGreaterThan(1_700_000_000);
    expect(lines.slice(1, 4)).toMatchObject([
      { author: 'user', response_id: null, created_at: null, prompt: null },
      { author: 'user', response_id: ids[0], created_at, prompt: null },
      { author: 'model', response_id: ids[0], created_at, prompt: null },
    ]);
    const text = JSON.stringify(lines);
    for (const word of ['Planted first', 'Planted question', 'Planted answer', 'Planted alone'])
      expect(text).toContain(word);
    expect(text).not.toContain('Of Bob');
    expect(await (await harness.fetch('/v1/users/eve/export', { key: keys.other })).text()).toBe('');
  });

  it('refuses an unknown query parameter before it erases, exports or revokes anything [REST-5]', async () => {
    const { conversation } = await planted('ida');
    for (const [method, path] of [
      ['DELETE', '/v1/users/ida?dry_run=true'],
      ['GET', '/v1/users/ida/export?limit=1'],
      ['POST', '/v1/users/ida/revoke?dry_run=true'],
    ] as const) {
      const answer = await harness.api(path, { method, key: BACKEND });
      expect(answer).toMatchObject({ status: 400, body: { error: { code: 'unknown_parameter' } } });
    }
    expect((await harness.api(`/v1/conversations/${conversation}`, as('ida'))).status).toBe(200);
    expect((await erase('ida')).status).toBe(200);
  });

  it('erases everything of a user, and nothing of another nor of the tenant [DATA-1, DATA-3]', async () => {
    const bobs = await planted('bob');
    const ownerless = await harness.conversation(BACKEND);
    const { conversation, ids } = await planted('ann');
    const { body: secret } = await mintSecret(harness, { user: 'ann' });
    expect((await erase('ann', keys.other)).body).toMatchObject({ conversations: 0, responses: 0 });
    expect((await erase('ann')).body).toEqual({
      user: 'ann',
      object: 'user.deleted',
      deleted: true,
      conversations: 1,
      responses: 2,
    });
    for (const path of [`/v1/conversations/${conversation}`, ...ids.map((id) => `/v1/responses/${id}`)]) {
      expect((await harness.api(path, { key: BACKEND })).status).toBe(404);
    }
    expect((await harness.api('/v1/models', { key: String(secret['value']) })).status).toBe(401);
    expect((await harness.api(`/v1/conversations/${bobs.conversation}`, as('bob'))).status).toBe(200);
    expect((await harness.api(`/v1/conversations/${ownerless}`, { key: BACKEND })).status).toBe(200);
    // The key is free again: another request may use it.
    expect((await post({ input: 'Again' }, 'ann', { 'idempotency-key': `planted-ann-${requests}` })).status).toBe(200);
    expect((await erase('ann')).body).toMatchObject({ responses: 1 });
    for (const user of ['bob', 'eve']) await erase(user);
    expect((await harness.fetch('/v1/users/bob/export', { key: BACKEND })).status).toBe(200);
    if (type === 'redis') {
      const left = await dump();
      expect(left).not.toMatch(/[Pp]lanted/u);
      // Neither objects nor client secrets name them.
      for (const user of ['ann', 'bob', 'eve']) expect(left).not.toContain(`shop/${user}`);
    }
  });

  it('cancels a running turn of the user, and stores nothing of it [DATA-1]', async () => {
    const held = heldAnswer('Planted running');
    harness.provider.answerWith(held.answer);
    const { body } = await harness.api('/v1/responses', {
      method: 'POST',
      body: { input: 'Planted input', background: true },
      ...as('rex'),
    });
    const path = `/v1/responses/${String(body['id'])}`;
    while (!JSON.stringify((await harness.api(path, as('rex'))).body).includes('Planted running'));
    expect((await erase('rex')).body).toMatchObject({ responses: 1 });
    expect((await harness.api(path, as('rex'))).status).toBe(404);
    held.finish();
    await harness.gateway.gateway.parts.turns.whenIdle();
    expect((await harness.api(path, as('rex'))).status).toBe(404);
    if (type === 'redis') expect(await dump()).not.toMatch(/[Pp]lanted/u);
  });

  it('deletes the responses of a deleted conversation, unless the request keeps them [CONV-15]', async () => {
    const [gone, kept] = [await planted('dan'), await planted('dan')];
    const remove = (id: string, query = '') =>
      harness.api(`/v1/conversations/${id}${query}`, { method: 'DELETE', ...as('dan') });
    expect((await remove(gone.conversation, '?responses=all')).status).toBe(400);
    expect((await remove(gone.conversation)).status).toBe(200);
    expect((await harness.api(`/v1/responses/${gone.ids[0] ?? ''}`, as('dan'))).status).toBe(404);
    expect((await harness.api(`/v1/responses/${gone.ids[1] ?? ''}`, as('dan'))).status).toBe(200);
    expect((await remove(kept.conversation, '?responses=keep')).status).toBe(200);
    expect((await harness.api(`/v1/responses/${kept.ids[0] ?? ''}`, as('dan'))).status).toBe(200);
  });
});

/*
 * Server keys that act for users: ownership, limits and logs follow the user that a request names.
 */

import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { BACKEND, serverKeys } from '../support/backend.js';
import { GatewayHarness, ONE_TRY, terminalOf } from '../support/gateway-harness.js';

const { auth, env, keys } = serverKeys({ rotated: {}, gold: { class: 'gold' } });

let harness: GatewayHarness;
beforeAll(async () => {
  harness = await GatewayHarness.start({
    config: {
      auth,
      limits: { per_user: { requests_per_minute: 5 }, classes: { gold: { requests_per_minute: 50 } } },
      middleware: ONE_TRY,
    },
    env,
  });
});
afterEach(() => harness.hangUp());
afterAll(() => harness.close());

const as = (user: string): { 'sluice-user': string } => ({ 'sluice-user': user });
const get = (path: string, user?: string, key = BACKEND) =>
  harness.api(path, { key, headers: user === undefined ? {} : as(user) });
const post = (body: object, user?: string, key = BACKEND) => {
  harness.says('Hello');
  return harness.api('/v1/responses', { method: 'POST', body, key, headers: user === undefined ? {} : as(user) });
};

describe('a server key', () => {
  it('creates resources of the user in the header of a server key, and hides them from other users [AUTH-5]', async () => {
    const created = await harness.api('/v1/conversations', {
      method: 'POST',
      body: {},
      key: BACKEND,
      headers: as('ann'),
    });
    const conversation = String(created.body['id']);
    const { body } = await post({ input: 'Hi', conversation }, 'ann');
    for (const path of [`/v1/conversations/${conversation}`, `/v1/responses/${String(body['id'])}`]) {
      expect((await get(path, 'ann')).status).toBe(200);
      expect((await get(path)).status).toBe(200);
      const [foreign, unknown] = [await get(path, 'bob'), await get(`${path.slice(0, -4)}0000`, 'bob')];
      expect(foreign.status).toBe(404);
      expect(foreign.body).toEqual(unknown.body);
    }
    expect((await post({ input: 'Hi', conversation }, 'bob')).status).toBe(404);
    expect((await get('/v1/conversations', 'ann')).body).toMatchObject({ data: [{ id: conversation }] });
    expect((await get('/v1/conversations', 'bob')).body).toMatchObject({ data: [] });
  });

  it('creates resources of the user in safety_identifier, also in a conversation without a user [AUTH-5]', async () => {
    const conversation = await harness.conversation(BACKEND);
    const { status, body } = await post({ input: 'Hi', conversation, safety_identifier: 'cid' });
    expect(status).toBe(200);
    const path = `/v1/responses/${String(body['id'])}`;
    expect((await get(path, 'cid')).status).toBe(200);
    expect((await get(path, 'bob')).status).toBe(404);
    const next = await post({ input: 'And?', previous_response_id: body['id'], safety_identifier: 'bob' });
    expect(next).toMatchObject({ status: 400, body: { error: { code: 'previous_response_not_found' } } });
    expect((await post({ input: 'And?', previous_response_id: body['id'], safety_identifier: 'cid' })).status).toBe(
      200,
    );
  });

  it('acts for the user of the header rather than that of safety_identifier [AUTH-5]', async () => {
    const { body } = await post({ input: 'Hi', safety_identifier: 'eve' }, 'dan');
    expect((await get(`/v1/responses/${String(body['id'])}`, 'dan')).status).toBe(200);
    expect((await get(`/v1/responses/${String(body['id'])}`, 'eve')).status).toBe(404);
  });

  it('counts and logs a server key under the user that it acts for [AUTH-5, LIMIT-1]', async () => {
    for (let i = 0; i < 5; i++) expect((await post({ input: 'Hi' }, 'fay')).status).toBe(200);
    expect((await post({ input: 'Hi' }, 'fay')).status).toBe(429);
    expect((await post({ input: 'Hi', safety_identifier: 'fay' })).status).toBe(429);
    expect((await post({ input: 'Hi' }, 'fay', keys.rotated)).status).toBe(429);
    expect((await post({ input: 'Hi' }, 'guy')).status).toBe(200);
    const ended = harness.gateway.lines.filter((line) => line.includes('request completed') && line.includes('"fay"'));
    expect(ended).toHaveLength(5);
    expect(JSON.parse(ended[0] ?? '')).toMatchObject({ user_id: 'fay' });
  });

  it('gives a server key the limits of its class [AUTH-6]', async () => {
    const { headers } = await post({ input: 'Hi' }, 'hal', keys.gold);
    expect(headers.get('x-ratelimit-limit-requests')).toBe('50');
    expect((await post({ input: 'Hi' }, 'hal')).headers.get('x-ratelimit-limit-requests')).toBe('5');
  });

  it('acts for the user of the upgrade on a whole socket, also after its credential was renewed [AUTH-5, WS-16]', async () => {
    const client = await harness.connect({ headers: { authorization: `Bearer ${BACKEND}`, ...as('ian') } });
    client.send({ type: 'sluice:auth', token: keys.rotated });
    expect(await client.next()).toEqual({ type: 'sluice:authenticated' });
    harness.says('Hello');
    const { id } = terminalOf(await client.run({ input: 'Hi' }));
    expect((await get(`/v1/responses/${id}`, 'ian')).status).toBe(200);
    expect((await get(`/v1/responses/${id}`, 'bob')).status).toBe(404);
  });

  it.each(['', ' ', 'a'.repeat(257), 'caf\u00e9'])(
    'refuses a server key the user %j with 400 [AUTH-5]',
    async (user) => {
      const refused = await get('/v1/models', user);
      expect(refused).toMatchObject({ status: 400, body: { error: { code: 'invalid_value', param: 'sluice-user' } } });
    },
  );

  it('refuses a malformed safety_identifier with 400 [AUTH-5]', async () => {
    const refused = await post({ input: 'Hi', safety_identifier: 'a\nb' });
    expect(refused).toMatchObject({ status: 400, body: { error: { param: 'safety_identifier' } } });
  });
});

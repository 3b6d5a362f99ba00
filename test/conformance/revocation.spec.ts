/*
 * Revocation over two replicas that share a Redis: every replica closes the sockets of a revoked
 * credential.
 */

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { RedisServer } from '../../scripts/development/cluster/redis.js';
import { BACKEND } from '../support/backend.js';
import { type FakeStep, textChunk } from '../support/fake-openai-server.js';
import { GatewayHarness, heldAnswer, ONE_TRY, sseMessages } from '../support/gateway-harness.js';
import { allowed } from '../support/machine.js';
import { AUDIENCE, ISSUER, signed, TokenIssuer } from '../support/token-issuer.js';

/** The promise of EK-6. */
const WITHIN_MS = 5_000;

let redis: RedisServer;
let issuer: TokenIssuer;
let key: Awaited<ReturnType<TokenIssuer['key']>>;
let replicas: GatewayHarness[];
beforeAll(async () => {
  redis = await RedisServer.start();
  issuer = await TokenIssuer.start();
  key = await issuer.key('one');
  issuer.published = [key.jwk];
  const config = {
    state: { type: 'redis', url: redis.url },
    auth: {
      mode: 'jwt',
      keys: [{ id: 'backend', key_env: 'BACKEND', tenant: 'shop' }],
      jwt: { jwks_url: issuer.jwksUrl, issuer: ISSUER, audience: AUDIENCE, tenant: 'shop' },
    },
    middleware: ONE_TRY,
  };
  replicas = await Promise.all([0, 1].map(() => GatewayHarness.start({ config, env: { BACKEND } })));
});
afterAll(async () => {
  await Promise.all(replicas.map((replica) => replica.close()));
  await issuer.close();
  await redis.close();
});

/** Words without an end, until the reader hangs up. */
function* endless(): Generator<FakeStep> {
  for (;;) yield* [textChunk('word '), { waitMs: 20 }];
}

const at = (i: number): GatewayHarness => {
  const replica = replicas[i];
  if (replica === undefined) throw new Error('no such replica');
  return replica;
};
const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });
async function secretFor(user: string): Promise<{ readonly id: string; readonly value: string }> {
  const { body } = await at(0).api('/v1/client_secrets', { method: 'POST', body: { user }, key: BACKEND });
  return { id: String(body['id']), value: String(body['value']) };
}

describe('a revocation', () => {
  it('revokes a client secret on the other replica within 5 s [EK-6]', async () => {
    const { id, value } = await secretFor('ann');
    const sockets = await Promise.all([at(0).connect(bearer(value)), at(1).connect(bearer(value))]);
    const other = await at(1).connect(bearer((await secretFor('ann')).value));
    const from = performance.now();
    await at(0).api(`/v1/client_secrets/${id}`, { method: 'DELETE', key: BACKEND });
    const codes = await Promise.all(sockets.map(async ({ closed }) => (await closed).code));
    expect(codes).toEqual([1008, 1008]);
    expect(performance.now() - from).toBeLessThan(WITHIN_MS);
    expect((await at(1).api('/v1/models', { key: value })).status).toBe(401);
    expect((await other.settle()).map(({ type }) => type)).toEqual(['sluice:pong']);
  });

  it("revokes a user's secrets and tokens on every replica, and no later ones [EK-6]", async () => {
    const now = Math.floor(Date.now() / 1_000);
    const old = await signed(key, { iat: now - 60 });
    const { value } = await secretFor('ann');
    const gone = await Promise.all(
      [old, value].flatMap((one) => [at(0).connect(bearer(one)), at(1).connect(bearer(one))]),
    );
    const bob = await at(1).connect(bearer((await secretFor('bob')).value));
    const from = performance.now();
    const { status } = await at(0).api('/v1/users/ann/revoke', { method: 'POST', key: BACKEND });
    expect(status).toBe(200);
    const codes = await Promise.all(gone.map(async ({ closed }) => (await closed).code));
    expect(codes).toEqual([1008, 1008, 1008, 1008]);
    expect(performance.now() - from).toBeLessThan(WITHIN_MS);
    for (const credential of [old, value])
      expect((await at(1).api('/v1/models', { key: credential })).status).toBe(401);
    // Issued after the revocation, whose time counts in whole seconds.
    const later = await signed(key, { iat: Math.floor(Date.now() / 1_000) + 2 });
    expect((await at(1).api('/v1/models', { key: later })).status).toBe(200);
    const fresh = await at(1).connect(bearer((await secretFor('ann')).value));
    for (const open of [bob, fresh]) expect((await open.settle()).map(({ type }) => type)).toEqual(['sluice:pong']);
  });

  it('reaches every socket of a user on both replicas within 5 s under load, and none of another user [EK-6]', async () => {
    for (const { provider } of replicas) provider.answerWith(() => ({ steps: endless() }));
    const secrets = { eve: [await secretFor('eve'), await secretFor('eve')], fay: [await secretFor('fay')] };
    const socketsOf = (user: keyof typeof secrets, count: number) =>
      Promise.all(
        Array.from({ length: count }, (_, i) =>
          at(i % 2).connect(bearer(secrets[user][Math.floor(i / 2) % secrets[user].length]?.value ?? '')),
        ),
      );
    const [revoked, others] = [await socketsOf('eve', 20), await socketsOf('fay', 6)];
    const streaming = [...revoked.slice(0, 8), ...others];
    for (const client of streaming) client.create({ input: 'Hi' });
    for (const client of streaming) await client.until('response.output_text.delta');
    // Requests without a pause on both replicas, for as long as the revocation takes.
    let over = false;
    const requests = [0, 1, 0, 1].map(async (i) => {
      while (!over) expect((await at(i).api('/v1/models', { key: BACKEND })).status).toBe(200);
    });
    const from = performance.now();
    await at(0).api('/v1/users/eve/revoke', { method: 'POST', key: BACKEND });
    const codes = await Promise.all(revoked.map(async ({ closed }) => (await closed).code));
    const took = performance.now() - from;
    over = true;
    await Promise.all(requests);
    expect(new Set(codes)).toEqual(new Set([1008]));
    expect(took).toBeLessThan(allowed(WITHIN_MS));
    for (const client of others) {
      const before = client.frames.length;
      while (client.frames.length <= before + 1) await client.until('response.output_text.delta');
    }
  });

  it('leaves neither a secret nor the name of a user in a key of Redis [EK-2]', async () => {
    const { value } = await secretFor('planted-name');
    const keys = await redis.admin.keys('*');
    expect(keys.filter((one) => one.includes('planted'))).toEqual([]);
    const values = await Promise.all(
      keys.map(async (one) => ((await redis.admin.type(one)) === 'string' ? String(await redis.admin.get(one)) : '')),
    );
    expect(values.some((one) => one.includes('planted-name'))).toBe(true);
    for (const one of [...keys, ...values]) {
      expect(one).not.toContain(value);
      expect(one).not.toContain(value.slice(25));
    }
    for (const one of keys) expect([one, await redis.admin.pttl(one)]).not.toEqual([one, -1]);
  });
});

describe('an answer over HTTP that is open when its credential is revoked', () => {
  const revoked = { error: { code: 'invalid_api_key' } };

  it('ends within 5 s on every replica, and its turn continues [EK-6]', async () => {
    const { id, value } = await secretFor('ann');
    const held = heldAnswer('First', ' and last');
    at(0).provider.answerWith(held.answer);
    const body = { input: 'Hi', stream: true };
    const created = await at(0).fetch('/v1/responses', { method: 'POST', body, key: value });
    const reader = created.body?.getReader();
    let text = '';
    const read = async (until: (all: string) => boolean): Promise<void> => {
      while (!until(text)) {
        const step = await reader?.read();
        if (step?.done !== false) return;
        text += Buffer.from(step.value).toString();
      }
    };
    await read((all) => all.includes('First'));
    const response = /"id":"(resp_\w+)"/u.exec(text)?.[1] ?? '';
    const followed = at(1).fetch(`/v1/responses/${response}?stream=true`, { key: value });
    const waiting = heldAnswer('Second');
    at(0).provider.answerWith(waiting.answer);
    const whole = at(0).api('/v1/responses', { method: 'POST', body: { input: 'Hi' }, key: value });
    const chat = heldAnswer('Third');
    at(1).provider.answerWith(chat.answer);
    const completion = at(1).fetch('/v1/chat/completions', {
      method: 'POST',
      body: { model: 'fake-model', stream: true, messages: [{ role: 'user', content: 'Hi' }] },
      key: value,
    });
    const [other, streamed] = [await followed, await completion];
    while (at(0).provider.requests.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));

    const from = performance.now();
    await at(0).api(`/v1/client_secrets/${id}`, { method: 'DELETE', key: BACKEND });
    await read(() => false);
    const ends = await Promise.all([whole, other.text(), streamed.text()]);
    expect(performance.now() - from).toBeLessThan(WITHIN_MS);
    expect(sseMessages(text).at(-1)).toMatchObject({ event: 'error', data: revoked });
    expect(ends[0]).toMatchObject({ status: 401, body: revoked });
    expect(sseMessages(ends[1]).at(-1)).toMatchObject({ event: 'error', data: revoked });
    expect(ends[2]).toContain('invalid_api_key');
    expect(ends[2]).not.toContain('[DONE]');

    for (const one of [held, waiting, chat]) one.finish();
    let status: unknown = 'in_progress';
    while (status === 'in_progress') {
      status = (await at(1).api(`/v1/responses/${response}`, { key: BACKEND })).body['status'];
    }
    expect(status).toBe('completed');
  });

  it('continues if the revocation was of another user, or of a server key that acts for the user [EK-6]', async () => {
    const held = heldAnswer('First', ' and last');
    at(0).provider.answerWith(held.answer);
    const answer = at(0).fetch('/v1/responses', {
      method: 'POST',
      body: { input: 'Hi', stream: true },
      key: BACKEND,
      headers: { 'sluice-user': 'ann' },
    });
    const stream = await answer;
    const socket = await at(0).connect(bearer((await secretFor('ann')).value));
    await at(0).api('/v1/users/bob/revoke', { method: 'POST', key: BACKEND });
    await at(0).api('/v1/users/ann/revoke', { method: 'POST', key: BACKEND });
    // This replica has handled the revocation when it has closed the socket.
    expect((await socket.closed).code).toBe(1008);
    held.finish();
    expect(await stream.text()).toContain('response.completed');
  });
});

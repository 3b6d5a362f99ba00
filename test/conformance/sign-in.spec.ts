/* Users who sign in with tokens of an issuer, beside server keys. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { BACKEND } from '../support/backend.js';
import { GatewayHarness, ONE_TRY, terminalOf } from '../support/gateway-harness.js';
import { RawClient } from '../support/raw-client.js';
import { AUDIENCE, ISSUER, signed, TokenIssuer } from '../support/token-issuer.js';

const auth = (jwt: object): object => ({
  mode: 'jwt',
  keys: [{ id: 'backend', key_env: 'BACKEND', tenant: 'shop' }],
  jwt: { issuer: ISSUER, audience: AUDIENCE, tenant: 'shop', clock_tolerance: '0s', ...jwt },
});
const limits = { classes: { gold: { requests_per_minute: 50 } } };

let issuer: TokenIssuer;
let key: Awaited<ReturnType<TokenIssuer['key']>>;
let harness: GatewayHarness;
beforeAll(async () => {
  issuer = await TokenIssuer.start();
  key = await issuer.key('one');
  issuer.published = [key.jwk];
  harness = await GatewayHarness.start({
    config: {
      auth: auth({ jwks_url: issuer.jwksUrl }),
      limits,
      middleware: ONE_TRY,
      monitoring: { logging: { level: 'debug' } },
    },
    env: { BACKEND },
  });
});
afterEach(async () => {
  jest.restoreAllMocks();
  await harness.hangUp();
});
afterAll(async () => {
  await harness.close();
  await issuer.close();
});

const post = (body: object, token: string) => {
  harness.says('Hello');
  return harness.api('/v1/responses', { method: 'POST', body, key: token });
};
const get = (path: string, token: string) => harness.api(path, { key: token });

describe('a token of a user', () => {
  it('lets a token own what it creates, apart from other users, and the key of its tenant reach it [AUTH-7, AUTH-2]', async () => {
    const [ann, bob] = [await signed(key), await signed(key, { sub: 'bob' })];
    const foreign = await signed(key, { tenant: 'other' });
    const { status, body } = await post({ input: 'Hi' }, ann);
    expect(status).toBe(200);
    const path = `/v1/responses/${String(body['id'])}`;
    expect((await get(path, ann)).status).toBe(200);
    expect((await get(path, await signed(key, { jti: 'another' }))).status).toBe(200);
    expect((await get(path, BACKEND)).status).toBe(200);
    for (const other of [bob, foreign]) expect((await get(path, other)).status).toBe(404);
    const mine = await post({ input: 'Hi' }, BACKEND);
    expect((await get(`/v1/responses/${String(mine.body['id'])}`, ann)).status).toBe(404);
    expect(harness.gateway.lines.filter((line) => line.includes('"user_id":"ann"'))).not.toHaveLength(0);
  });

  it('opens a socket, by header and by subprotocol [AUTH-7, UP-6]', async () => {
    const token = await signed(key);
    const client = await harness.connect({ headers: { authorization: `Bearer ${token}` } });
    harness.says('Hello');
    const { id } = terminalOf(await client.run({ input: 'Hi' }));
    const page = await harness.connect({ protocols: ['sluice.v1', `sluice.bearer.${token}`] });
    expect(page.socket.protocol).toBe('sluice.v1');
    page.send({ type: 'sluice:resume', response_id: id });
    expect((await page.until('response.completed')).type).toBe('response.completed');
    const log = harness.gateway.lines.join('\n');
    for (const part of token.split('.')) expect(log).not.toContain(part);
  });

  it('closes the socket of an expired token with 1012 unless it was renewed [AUTH-7, WS-15, WS-16]', async () => {
    const exp = Math.floor(Date.now() / 1_000) + 3_600;
    const headers = { authorization: `Bearer ${await signed(key, { exp })}` };
    const [ending, renewed] = [await harness.connect({ headers }), await harness.connect({ headers })];
    renewed.send({ type: 'sluice:auth', token: await signed(key, { exp: exp + 60 }) });
    expect((await renewed.next()).type).toBe('sluice:authenticated');
    renewed.send({ type: 'sluice:auth', token: await signed(key, { sub: 'bob' }) });
    expect(await renewed.next()).toMatchObject({ type: 'error', error: { code: 'invalid_api_key' } });
    jest.spyOn(Date, 'now').mockReturnValue(exp * 1_000 + 10_001);
    harness.gateway.gateway.parts.table.check();
    expect((await ending.closed).code).toBe(1012);
    expect((await renewed.settle()).map(({ type }) => type)).not.toContain('error');
  });

  it("gives a user's token the limits of its class [AUTH-6, AUTH-7]", async () => {
    const { headers } = await post({ input: 'Hi' }, await signed(key, { sub: 'cid', class: 'gold' }));
    expect(headers.get('x-ratelimit-limit-requests')).toBe('50');
    const unknown = await post({ input: 'Hi' }, await signed(key, { sub: 'dan', class: 'constructor' }));
    expect(unknown.status).toBe(200);
    expect(unknown.headers.get('x-ratelimit-limit-requests')).toBeNull();
  });

  it("refuses a user's token that acts for another user, or names them to the provider [AUTH-5, AUTH-7]", async () => {
    const token = await signed(key);
    const refused = await harness.api('/v1/models', { key: token, headers: { 'sluice-user': 'bob' } });
    expect(refused).toMatchObject({ status: 403, body: { error: { code: 'insufficient_scope' } } });
    expect((await harness.api('/v1/models', { key: token, headers: { 'sluice-user': 'ann' } })).status).toBe(200);
    const { body } = await post({ input: 'Hi', safety_identifier: 'bob' }, token);
    expect((await get(`/v1/responses/${String(body['id'])}`, token)).status).toBe(200);
    expect(harness.provider.requests.at(-1)?.body).toMatchObject({ user: 'ann' });
  });

  it('refuses an invalid token with 401, over REST and on the upgrade, and counts it by its reason [AUTH-7]', async () => {
    const stranger = await issuer.key('one');
    for (const [token, reason] of [
      [await signed(key, { aud: 'other' }), 'claim'],
      [await signed(key, { exp: 1 }), 'expired'],
      [await signed(stranger), 'signature'],
    ] as const) {
      const before = await harness.gateway.metric(`sluice_tokens_refused_total{reason="${reason}"}`);
      const refused = await get('/v1/models', token);
      expect(refused).toMatchObject({ status: 401, body: { error: { code: 'invalid_api_key' } } });
      expect(refused.headers.get('www-authenticate')).toBe('Bearer');
      const headers = { authorization: `Bearer ${token}` };
      expect((await RawClient.refused(harness.gateway.socketUrl, { headers })).status).toBe(401);
      expect(await harness.gateway.metric(`sluice_tokens_refused_total{reason="${reason}"}`)).toBe(before + 2);
    }
  });
});

describe('an issuer that cannot be reached', () => {
  it('leaves known keys in use; a token with an unknown key is 503, logged and counted [AUTH-7]', async () => {
    const away = await TokenIssuer.start();
    away.published = [key.jwk];
    const gateway = await GatewayHarness.start({
      config: { auth: auth({ jwks_url: away.jwksUrl }) },
      env: { BACKEND },
    });
    try {
      expect((await gateway.api('/v1/models', { key: await signed(key) })).status).toBe(200);
      away.status = null;
      const later = performance.now() + 3_600_000;
      jest.spyOn(performance, 'now').mockReturnValue(later);
      const two = await issuer.key('two');
      const refused = await gateway.api('/v1/models', { key: await signed(two) });
      expect(refused).toMatchObject({ status: 503, body: { error: { code: 'auth_unavailable' } } });
      expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
      expect((await gateway.api('/v1/models', { key: await signed(key) })).status).toBe(200);
      expect((await gateway.api('/v1/models', { key: BACKEND })).status).toBe(200);
      expect(gateway.gateway.lines.filter((line) => line.includes('issuer keys not fetched'))).toHaveLength(1);
      expect(await gateway.gateway.metric('sluice_issuer_key_fetches_total{outcome="failed"}')).toBe(1);
      expect(await gateway.gateway.metric('sluice_tokens_refused_total{reason="keys_unavailable"}')).toBe(1);
    } finally {
      await gateway.close();
      await away.close();
    }
  });
});

describe('a public key in a file', () => {
  it('verifies tokens without a request to the issuer [AUTH-7]', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sluice-key-'));
    const file = join(folder, 'issuer.pem');
    writeFileSync(file, key.pem);
    const gateway = await GatewayHarness.start({ config: { auth: auth({ public_key_file: file }) }, env: { BACKEND } });
    try {
      expect((await gateway.api('/v1/models', { key: await signed(key) })).status).toBe(200);
      expect((await gateway.api('/v1/models', { key: await signed(await issuer.key('one')) })).status).toBe(401);
    } finally {
      await gateway.close();
      rmSync(folder, { recursive: true });
    }
  });
});

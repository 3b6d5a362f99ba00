/* Credentials, origins, upgrades, and what one tenant can learn of another: nothing. */

import { type IncomingMessage, request } from 'node:http';
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import {
  GatewayHarness,
  errorIn,
  heldAnswer,
  ONE_TRY,
  responseIn,
  terminalOf,
  typesOf,
} from '../support/gateway-harness.js';
import { frameOf, OPCODES, RawClient } from '../support/raw-client.js';

const ANN = 'sk-ann-00000000000000000000000000000001';
const BOB = 'sk-bob-00000000000000000000000000000002';
const ADMIN = 'sk-adm-00000000000000000000000000000003';
const EXPIRED = 'sk-old-00000000000000000000000000000004';
const ANN_TOO = 'sk-an2-00000000000000000000000000000005';
const BRIEF = 'sk-brf-00000000000000000000000000000006';
const PAGE = 'https://app.example.com';

const key = (id: string, tenant: string, more: object = {}): object => ({
  id,
  key_env: `KEY_${id.toUpperCase()}`,
  tenant,
  scopes: ['chat'],
  ...more,
});

let harness: GatewayHarness;
/** When the brief key expires. */
const briefUntil = Date.now() + 3_600_000;
beforeAll(async () => {
  harness = await GatewayHarness.start({
    config: {
      auth: {
        mode: 'keys',
        allowed_origins: [PAGE],
        keys: [
          key('ann', 'a'),
          key('ann2', 'a'),
          key('bob', 'b'),
          key('adm', 'c', { scopes: ['admin'] }),
          key('old', 'a', { expires: '2020-01-01T00:00:00Z' }),
          key('brief', 'a', { expires: new Date(briefUntil).toISOString() }),
        ],
      },
      limits: { connections: 6, connections_per_user: 3 },
      middleware: ONE_TRY,
    },
    env: { KEY_ANN: ANN, KEY_ANN2: ANN_TOO, KEY_BOB: BOB, KEY_ADM: ADMIN, KEY_OLD: EXPIRED, KEY_BRIEF: BRIEF },
  });
});
afterEach(async () => {
  jest.restoreAllMocks();
  await harness.hangUp();
  while (harness.gateway.gateway.parts.table.size > 0) await new Promise((resolve) => setImmediate(resolve));
});
afterAll(() => harness.close());

const bearer = (token: string): { authorization: string } => ({ authorization: `Bearer ${token}` });
const as = (token: string) => ({ headers: bearer(token) });
const refused = (options: Parameters<typeof RawClient.refused>[1], url = harness.gateway.socketUrl) =>
  RawClient.refused(url, options);

describe('the upgrade', () => {
  it('needs a known, valid credential with the scope chat [UP-1, UP-5, AUTH-1]', async () => {
    for (const [headers, status, code] of [
      [{}, 401, 'missing_api_key'],
      [bearer('sk-unknown'), 401, 'invalid_api_key'],
      [bearer(EXPIRED), 401, 'invalid_api_key'],
      [{ authorization: `Basic ${ANN}` }, 401, 'missing_api_key'],
      [bearer(ADMIN), 403, 'insufficient_scope'],
    ] as const) {
      const refusal = await refused({ headers });
      expect(refusal).toMatchObject({ status, body: { error: { code, param: null } } });
      expect(refusal.headers).toMatchObject({
        'content-type': 'application/json',
        'x-should-retry': 'false',
        'x-request-id': expect.stringMatching(/^req_/u),
      });
    }
  });

  it('accepts a credential by subprotocol and never echoes it [UP-6]', async () => {
    const ours = await harness.connect({ protocols: ['sluice.v1', `sluice.bearer.${ANN}`] });
    expect(ours.socket.protocol).toBe('sluice.v1');
    const theirs = new RawClient(harness.gateway.socketUrl, {
      protocols: ['sluice.v1', `openai-insecure-api-key.${ANN}`],
    });
    expect((await theirs.next()).type).toBe('sluice:hello');
    await theirs.close();
    const raw = await upgradeHeaders({ 'sec-websocket-protocol': `openai-insecure-api-key.${ANN}` });
    expect(raw.statusCode).toBe(101);
    expect(JSON.stringify(raw.headers)).not.toContain(ANN);
    const refusal = await refused({ protocols: ['sluice.v1', 'sluice.bearer.sk-unknown'] });
    expect(refusal.status).toBe(401);
  });

  it('ignores a credential in the URL [UP-6]', async () => {
    for (const name of ['token', 'key', 'api_key', 'access_token']) {
      expect((await refused({ query: `${name}=${ANN}` })).status).toBe(401);
    }
  });

  it('refuses an upgrade from a forbidden origin with 403 before it reads the credential [UP-2, AUTH-3]', async () => {
    const open = await harness.connect({ headers: { ...bearer(ANN), origin: PAGE } });
    expect(open.socket.readyState).toBe(open.socket.OPEN);
    for (const origin of ['https://evil.example', `${PAGE}.evil.example`, 'null', 'http://app.example.com']) {
      for (const headers of [{ ...bearer(ANN), origin }, { origin }]) {
        expect(await refused({ headers })).toMatchObject({
          status: 403,
          body: { error: { code: 'origin_not_allowed' } },
        });
      }
    }
  });

  it('refuses an upgrade for another path and with a malformed ?resume= [UP-3, UP-5]', async () => {
    const elsewhere = await refused(as(ANN), harness.gateway.socketUrl.replace('responses', 'realtime'));
    expect(elsewhere).toMatchObject({ status: 404, body: { error: { code: 'not_found' } } });
    for (const query of ['resume=resp_1', 'resume=resp_1:x', 'resume=resp_1:1:a%20b', 'resume=resp_1:1,resp_1:2']) {
      expect(await refused({ ...as(ANN), query })).toMatchObject({ status: 400, body: { error: { param: 'resume' } } });
    }
  });

  it('refuses an upgrade with an invalid URL as a mistake of the caller [UP-3]', async () => {
    const answer = await upgradeHeaders(bearer(ANN), '//');
    expect([400, 404]).toContain(answer.statusCode);
  });

  it('refuses an upgrade at the socket limit of the user and of the replica [UP-4]', async () => {
    for (const token of [ANN, ANN, ANN, BOB, BOB]) await harness.connect(as(token));
    const user = await refused(as(ANN));
    expect(user).toMatchObject({ status: 429, body: { error: { code: 'rate_limit_exceeded' } } });
    await harness.connect(as(BOB));
    const replica = await refused(as(BOB));
    expect(replica).toMatchObject({ status: 503, body: { error: { code: 'overloaded' } } });
    for (const { headers } of [user, replica]) {
      expect(Number(headers['retry-after'])).toBeGreaterThan(0);
      expect(headers['x-should-retry']).toBe('true');
    }
  });

  function upgradeHeaders(headers: Record<string, string>, path = '/v1/responses'): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const asked = request({
        port: harness.gateway.port,
        host: '127.0.0.1',
        path,
        headers: {
          connection: 'Upgrade',
          upgrade: 'websocket',
          'sec-websocket-version': '13',
          'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
          ...headers,
        },
      });
      asked.on('upgrade', (answer, socket) => {
        socket.destroy();
        resolve(answer);
      });
      asked.on('response', (answer) => {
        answer.resume();
        resolve(answer);
      });
      asked.on('error', reject);
      asked.end();
    });
  }
});

describe('a credential on an open socket', () => {
  it('lets only a credential of the same owner renew that of an open socket [WS-16]', async () => {
    const client = await harness.connect(as(ANN));
    client.send({ type: 'sluice:auth', token: ANN_TOO });
    expect(await client.next()).toEqual({ type: 'sluice:authenticated' });
    for (const token of [BOB, 'sk-unknown', EXPIRED]) {
      client.send({ type: 'sluice:auth', token });
      expect(await client.next()).toMatchObject({ type: 'error', status: 401, error: { code: 'invalid_api_key' } });
    }
    harness.says('Still Ann');
    const { id } = terminalOf(await client.run({ input: 'Hi' }));
    expect((await harness.api(`/v1/responses/${id}`, { key: ANN })).status).toBe(200);
    expect((await harness.api(`/v1/responses/${id}`, { key: BOB })).status).toBe(404);
  });

  it.each([
    [ANN_TOO, 'ann2'],
    [BOB, 'ann'],
  ])(
    'acts for a new credential in a create that arrives after it in the same packet [WS-16, WS-3]: case %#',
    async (token, credential) => {
      const client = await harness.connect(as(ANN));
      const create = jest.spyOn(harness.gateway.gateway.parts.turns, 'create');
      harness.says('Hello');
      const frames = [
        { type: 'sluice:auth', token },
        { type: 'response.create', input: 'Hi' },
      ].map((frame) => frameOf(OPCODES.text, JSON.stringify(frame)));
      // In one write, so that the create arrives while the credential is being checked.
      client.wire.write(Buffer.concat(frames));
      expect((await client.next()).type).toBe(token === BOB ? 'error' : 'sluice:authenticated');
      expect(terminalOf(await client.turn()).output_text).toBe('Hello');
      expect(create.mock.calls.map(([caller]) => caller.credential)).toEqual([credential]);
    },
  );

  it("announces the expiry of a socket's credential, and closes the socket with 1012 when it has expired [WS-15]", async () => {
    const client = await harness.connect({ ...as(BRIEF), query: 'snapshots=1' });
    const quiet = await harness.connect(as(BRIEF));
    const openedAt = Date.now();
    jest.spyOn(Date, 'now').mockReturnValue(briefUntil - 30_000);
    expect(await client.until('sluice:auth_expiring')).toMatchObject({ expires_in_ms: 30_000 });
    jest.spyOn(Date, 'now').mockReturnValue(briefUntil + 10_001);
    expect((await client.closed).code).toBe(1012);
    expect((await quiet.closed).code).toBe(1012);
    expect(quiet.frames).toEqual([]);
    expect(openedAt).toBeLessThan(briefUntil);
  });

  it('keeps a socket open whose credential was renewed in time [WS-15, WS-16]', async () => {
    const client = await harness.connect(as(BRIEF));
    client.send({ type: 'sluice:auth', token: ANN });
    await client.until('sluice:authenticated');
    jest.spyOn(Date, 'now').mockReturnValue(briefUntil + 1);
    harness.gateway.gateway.parts.table.check();
    expect(typesOf(await client.settle())).toEqual(['sluice:pong']);
  });
});

describe('REST', () => {
  it('needs a credential on every route [AUTH-1]', async () => {
    for (const [method, path] of ROUTES) {
      const at = path.replace(':id', 'resp_1');
      const none = await harness.api(at, { method, ...(method === 'POST' ? { body: {} } : {}) });
      expect([path, none.status, (none.body['error'] as { code: string }).code]).toEqual([
        path,
        401,
        'missing_api_key',
      ]);
      const wrong = await harness.api(at, { method, key: 'sk-unknown', ...(method === 'POST' ? { body: {} } : {}) });
      expect([path, wrong.status, (wrong.body['error'] as { code: string }).code]).toEqual([
        path,
        401,
        'invalid_api_key',
      ]);
      expect(wrong.headers.get('x-should-retry')).toBe('false');
    }
  });

  it('sends CORS headers to pages of an allowed origin and refuses others [AUTH-3, AUTH-4]', async () => {
    const preflight = (origin: string) =>
      harness.fetch('/v1/responses', {
        method: 'OPTIONS',
        headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization' },
      });
    const allowed = await preflight(PAGE);
    expect(allowed.headers.get('access-control-allow-origin')).toBe(PAGE);
    expect((await preflight('https://evil.example')).headers.get('access-control-allow-origin')).toBeNull();

    const mine = await harness.api('/v1/models', { key: ANN, headers: { origin: PAGE } });
    expect(mine.status).toBe(200);
    expect(mine.headers.get('access-control-allow-origin')).toBe(PAGE);
    const evil = await harness.api('/v1/models', { key: ANN, headers: { origin: 'https://evil.example' } });
    expect(evil).toMatchObject({ status: 403, body: { error: { code: 'origin_not_allowed' } } });
    expect(evil.headers.get('access-control-allow-origin')).toBeNull();
  });
});

const ROUTES = [
  ['POST', '/v1/responses'],
  ['GET', '/v1/responses/:id'],
  ['GET', '/v1/responses/:id?stream=true'],
  ['POST', '/v1/responses/:id/cancel'],
  ['DELETE', '/v1/responses/:id'],
  ['GET', '/v1/responses/:id/input_items'],
  ['GET', '/v1/models'],
  ['POST', '/v1/conversations'],
] as const;

describe('a resource of another owner', () => {
  /**
   * Sends Bob's request with Ann's id and with an unknown id.
   * @returns both answers without the ids
   */
  async function sameForBob(method: string, path: (id: string) => string, id: string, body?: (id: string) => object) {
    const answers = [];
    for (const asked of [id, `${id.slice(0, -4)}0000`]) {
      const answer = await harness.api(path(asked), {
        method,
        key: BOB,
        ...(body === undefined ? {} : { body: body(asked) }),
      });
      answers.push({ status: answer.status, body: answer.body, retry: answer.headers.get('x-should-retry') });
    }
    expect(answers[0]).toEqual(answers[1]);
    return answers[0]?.status;
  }

  it.each(['running', 'ended', 'expired'] as const)(
    "answers for another owner's response like for an unknown one: one that is %s, on every route [AUTH-2]",
    async (state) => {
      const held = heldAnswer('Ann’s secret');
      harness.provider.answerWith(held.answer);
      const { body } = await harness.api('/v1/responses', {
        method: 'POST',
        key: ANN,
        body: { input: 'Hi', background: true },
      });
      const id = String(body['id']);
      if (state !== 'running') {
        held.finish();
        await (await harness.fetch(`/v1/responses/${id}?stream=true`, { key: ANN })).text();
      }
      if (state === 'expired') await harness.gateway.gateway.parts.state.events.delete(id);
      const at = (suffix: string) => (asked: string) => `/v1/responses/${asked}${suffix}`;
      for (const [method, suffix] of [
        ['GET', ''],
        ['GET', '?stream=true'],
        ['GET', '?stream=true&starting_after=99'],
        ['GET', '/input_items'],
        ['POST', '/cancel'],
        ['DELETE', ''],
      ] as const) {
        expect([suffix, await sameForBob(method, at(suffix), id)]).toEqual([suffix, 404]);
      }
      const chain = (asked: string): object => ({ input: 'Continue', previous_response_id: asked });
      expect(await sameForBob('POST', () => '/v1/responses', id, chain)).toBe(400);
      held.finish();
      const mine = await harness.api(`/v1/responses/${id}`, { key: ANN_TOO });
      expect(mine.status).toBe(200);
      expect(mine.body['status']).not.toBe('cancelled');
    },
  );

  it("answers for another owner's conversation in a request like for an unknown one [AUTH-2]", async () => {
    const id = await harness.conversation(ANN);
    const inIt = (asked: string): object => ({ input: 'Hi', conversation: asked });
    expect(await sameForBob('POST', () => '/v1/responses', id, inIt)).toBe(404);
    harness.says('Hello');
    expect((await harness.post({ input: 'Hi', conversation: id }, ANN_TOO)).status).toBe(200);
  });

  it("answers for another owner's resource like for an unknown one, to every event of a socket and in ?resume= [AUTH-2, CAN-4, RES-5, SUB-4]", async () => {
    const held = heldAnswer('Ann’s secret');
    harness.provider.answerWith(held.answer);
    const conversation = await harness.conversation(ANN);
    const ann = await harness.connect(as(ANN));
    ann.create({ input: 'Hi', conversation });
    const { id } = responseIn(await ann.until('response.created'));
    await ann.until('response.output_text.delta');

    const bob = await harness.connect(as(BOB));
    const answersTo = async (frame: (id: string) => object, of: string): Promise<unknown> => {
      const answers = [];
      for (const asked of [of, `${of.slice(0, -4)}0000`]) {
        bob.send(frame(asked));
        answers.push(await bob.next());
      }
      expect(answers[0]).toEqual(answers[1]);
      return errorIn(answers[0])['code'];
    };
    const about =
      (type: string, more: object = {}) =>
      (asked: string) => ({ type, response_id: asked, ...more });
    expect(await answersTo(about('response.cancel'), id)).toBe('response_not_found');
    expect(await answersTo(about('sluice:resume'), id)).toBe('response_not_found');
    expect(await answersTo(about('sluice:resume', { starting_after: 99 }), id)).toBe('response_not_found');
    const create = (fields: (asked: string) => object) => (asked: string) => ({
      type: 'response.create',
      input: 'x',
      ...fields(asked),
    });
    expect(
      await answersTo(
        create((asked) => ({ previous_response_id: asked })),
        id,
      ),
    ).toBe('previous_response_not_found');
    expect(
      await answersTo(
        create((asked) => ({ conversation: asked })),
        conversation,
      ),
    ).toBe('conversation_not_found');
    expect(await answersTo((asked) => ({ type: 'sluice:subscribe', conversation: asked }), conversation)).toBe(
      'conversation_not_found',
    );
    expect(typesOf(await bob.settle())).toEqual(['sluice:pong']);
    const byUrl = await harness.connect({ ...as(BOB), query: `resume=${id}:0` });
    expect(errorIn(await byUrl.next())['code']).toBe('response_not_found');

    held.finish();
    expect(terminalOf(await ann.turn())).toMatchObject({ status: 'completed', output_text: 'Ann’s secret' });
    expect(JSON.stringify([bob.frames, byUrl.frames])).not.toContain('secret');
  });

  it("does not return another owner's response for the same idempotency key [AUTH-2, IDEM-1]", async () => {
    harness.says('One');
    const send = (token: string) =>
      harness.api('/v1/responses', {
        method: 'POST',
        key: token,
        body: { input: 'Hi' },
        headers: { 'idempotency-key': 'same' },
      });
    const ann = await send(ANN);
    const bob = await send(BOB);
    expect(bob.status).toBe(200);
    expect(bob.body['id']).not.toBe(ann.body['id']);
  });
});

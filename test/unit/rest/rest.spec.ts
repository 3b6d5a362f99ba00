/*
 * The REST routes over a real HTTP server with a scripted turn behind them, and with the official
 * client where its behaviour matters.
 */

import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { get } from 'node:http';
import OpenAI, { APIError } from 'openai';

import { Authenticator } from '../../../src/auth/authenticator.js';
import { OriginPolicy } from '../../../src/auth/origin.js';
import { SluiceError } from '../../../src/domain/errors.js';
import { type LoggedEvent, serialize } from '../../../src/domain/event.js';
import { type Principal } from '../../../src/domain/principal.js';
import { type ResponseRequest } from '../../../src/domain/request.js';
import { type ResponseObject } from '../../../src/domain/response.js';
import { type Log, type LogFields } from '../../../src/observability/log.js';
import { ConversationsController } from '../../../src/rest/conversations.controller.js';
import { corsOptions } from '../../../src/rest/cors.js';
import { ErrorFilter } from '../../../src/rest/error.filter.js';
import { httpServerOptions, prepareHttp } from '../../../src/rest/http-server.js';
import { OpenAnswers } from '../../../src/rest/open-answers.js';
import { ModelList, ModelsController } from '../../../src/rest/models.controller.js';
import { ResponsesController } from '../../../src/rest/responses.controller.js';
import { RestTimes } from '../../../src/rest/rest-times.js';
import { gateRequests } from '../../../src/rest/request-gate.js';
import { RouteTable } from '../../../src/rest/route-table.js';
import { Conversations } from '../../../src/turn/conversations.js';
import { LimitRefusal, type LimitStates } from '../../../src/turn/turn-limits.js';
import { ConnectionLimits } from '../../../src/turn/connection-limits.js';
import { OperationLimits } from '../../../src/turn/operation-limits.js';
import { type RefusedTurn } from '../../../src/turn/turn-report.js';
import { ResponseReader } from '../../../src/turn/response-reader.js';
import { TurnService } from '../../../src/turn/turn.service.js';
import { testGate } from '../../support/test-gate.js';

const KEY = 'sk-test';
const PAGE = 'https://page.example';
const ORIGINS = new OriginPolicy({ allowedOrigins: [PAGE], loopbackOnly: true });
const caller: Principal = {
  kind: 'key',
  owner: 't',
  tenant: 't',
  user: null,
  credential: 'k',
  scopes: new Set(['chat']),
  limitsClass: null,
  trusted: true,
  binding: null,
  issuedAtMs: null,
  expiresAtMs: null,
};

// Only what the routes forward matters here, so a response needs only these fields.
const response = (status: string): ResponseObject =>
  ({ id: 'resp_1', object: 'response', status, output: [], output_text: '' }) as unknown as ResponseObject;
const notFound = (): SluiceError => new SluiceError('response_not_found', 'unable to find it; no');

/** The requests to the scripted turn, and its behaviour. */
const script = {
  created: [] as { request: ResponseRequest; options: unknown }[],
  refusal: undefined as unknown,
  limits: {} as LimitStates,
  events: [] as readonly (readonly LoggedEvent[])[],
  eventsError: undefined as unknown,
  after: undefined as number | undefined,
  hold: undefined as Promise<void> | undefined,
  settledError: undefined as unknown,
  settledStarted: Promise.withResolvers<AbortSignal>(),
  answers: new OpenAnswers(),
};

const turns: Pick<TurnService, 'create' | 'cancel'> = {
  create: async (_caller, request, _origin, options) => {
    if (script.refusal !== undefined) throw script.refusal;
    script.created.push({ request, options });
    return { responseId: 'resp_1', limits: script.limits, joined: false };
  },
  cancel: async (_caller, id) => {
    if (id === 'resp_none') throw notFound();
    return id === 'resp_ended' ? 'ended' : 'requested';
  },
};
const reader: Pick<ResponseReader, 'retrieve' | 'events' | 'repeat' | 'settled' | 'inputItems' | 'remove'> = {
  retrieve: async (_caller, id) => {
    if (id === 'resp_none') throw notFound();
    return response(id === 'resp_ended' ? 'completed' : 'in_progress');
  },
  repeat(caller, id, signal) {
    return this.events(caller, id, -1, signal);
  },
  async *events(_caller, _id, after) {
    script.after = after;
    if (script.eventsError !== undefined && script.events.length === 0) throw script.eventsError;
    yield* script.events;
    await script.hold;
    if (script.eventsError !== undefined) throw script.eventsError;
  },
  settled: async (_caller, _id, signal, waitMs) => {
    script.settledStarted.resolve(signal);
    await script.hold;
    if (script.settledError !== undefined) throw script.settledError;
    return response(waitMs === undefined ? 'completed' : 'cancelled');
  },
  inputItems: async (_caller, _id, { limit, order, after }) => ({
    data: [{ type: 'message', id: `${limit}-${order}-${after ?? ''}`, role: 'user', status: 'completed', content: [] }],
    hasMore: false,
  }),
  remove: async (_caller, id) => {
    if (id === 'resp_running') throw new SluiceError('response_still_running', 'unable to delete; running');
  },
};
const conversations: Pick<Conversations, 'create'> = {
  create: async (_caller, metadata, items) => ({
    id: `conv_${items.length}`,
    owner: 't',
    createdAt: 7,
    updatedAt: 8,
    metadata,
    title: null,
  }),
};
const authenticator: Authenticator = {
  authenticate: async (credential) => {
    if (credential === undefined) throw new SluiceError('missing_api_key', 'unable to authenticate; no key');
    if (credential !== KEY) throw new SluiceError('invalid_api_key', 'unable to authenticate; wrong key');
    return caller;
  },
};

const logged: LogFields[] = [];
const refused: RefusedTurn[] = [];
const log: Log = {
  debugs: false,
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: (fields) => void logged.push(fields),
  child: () => log,
};

@Module({
  controllers: [ResponsesController, ModelsController, ConversationsController],
  providers: [
    { provide: TurnService, useValue: turns },
    { provide: ResponseReader, useValue: reader },
    { provide: Conversations, useValue: conversations },
    { provide: Authenticator, useValue: authenticator },
    { provide: OriginPolicy, useValue: ORIGINS },
    { provide: OperationLimits, useValue: new OperationLimits({ perMinute: 10_000 }) },
    { provide: ConnectionLimits, useValue: new ConnectionLimits({ perUser: null, perAddress: null }) },
    { provide: ModelList, useValue: new ModelList(['m1', 'org/m2', 'm1'], 5) },
    { provide: RestTimes, useValue: new RestTimes({ firstEventMs: 20, interruptionOf: () => script.answers }) },
  ],
})
class TestModule {}

let app: NestFastifyApplication;
let base: string;
let client: OpenAI;

beforeAll(async () => {
  const adapter = new FastifyAdapter(
    httpServerOptions({ maxBodyBytes: 1_048_576, trustedProxies: [], requestTimeoutMs: 30_000 }),
  );
  const routes = new RouteTable();
  prepareHttp(adapter.getInstance(), routes);
  gateRequests(adapter.getInstance(), testGate(authenticator, routes, ORIGINS));
  app = await NestFactory.create<NestFastifyApplication>(TestModule, adapter, { bodyParser: false, logger: false });
  app.enableCors(corsOptions(app.get(OriginPolicy)));
  app.useGlobalFilters(
    new ErrorFilter({
      logger: log,
      routes,
      refused: (request) => refused.push(request),
      refusedOther: () => undefined,
      mistake: () => undefined,
    }),
  );
  await app.listen(0, '127.0.0.1');
  base = await app.getUrl();
  client = new OpenAI({ apiKey: KEY, baseURL: `${base}/v1`, maxRetries: 0 });
});
afterAll(() => app.close());
beforeEach(() => {
  script.created = [];
  script.refusal = undefined;
  script.limits = {};
  script.events = [];
  script.eventsError = undefined;
  script.after = undefined;
  script.hold = undefined;
  script.settledError = undefined;
  script.settledStarted = Promise.withResolvers();
  script.answers = new OpenAnswers();
  logged.length = 0;
  refused.length = 0;
});

const JSON_HEADERS = { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' };
const post = (body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`${base}/v1/responses`, { method: 'POST', body, headers: { ...JSON_HEADERS, ...headers } });
const call = (method: string, path: string, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`${base}${path}`, { method, headers: { authorization: `Bearer ${KEY}`, ...headers } });
const errorOf = async (answer: Response): Promise<Record<string, unknown>> => {
  const { error } = (await answer.json()) as { error: Record<string, unknown> };
  expect(Object.keys(error).sort()).toEqual(['code', 'message', 'param', 'type']);
  expect(answer.headers.get('x-request-id')).toMatch(/^req_[0-9a-f]{32}$/u);
  return error;
};
const limitHeadersOf = (answer: Response): (string | null)[] =>
  ['requests', 'tokens'].flatMap((kind) =>
    ['limit', 'remaining', 'reset'].map((what) => answer.headers.get(`x-ratelimit-${what}-${kind}`)),
  );
const events = [
  serialize({ type: 'response.created', response: response('in_progress') }, 0),
  serialize({ type: 'response.completed', response: response('completed') }, 1),
];

describe('POST /v1/responses', () => {
  it('answers with the response when its turn has ended', async () => {
    const { data, response: answer } = await client.responses.create({ input: 'hi' }).withResponse();
    expect([answer.status, data.status]).toEqual([200, 'completed']);
    expect(answer.headers.get('x-request-id')).toMatch(/^req_/u);
    expect(script.created[0]?.request.input).toMatchObject([{ role: 'user' }]);
  });

  it('answers at once in the background', async () => {
    script.hold = new Promise(() => undefined);
    expect((await client.responses.create({ input: 'hi', background: true })).status).toBe('in_progress');
  });

  it('streams the logged events', async () => {
    script.events = [events];
    const seen: string[] = [];
    for await (const event of await client.responses.create({ input: 'hi', stream: true })) seen.push(event.type);
    expect(seen).toEqual(['response.created', 'response.completed']);
    expect(script.after).toBe(-1);
  });

  it('reports a broken stream to the official client', async () => {
    script.events = [events.slice(0, 1)];
    script.eventsError = new SluiceError('state_unavailable', 'unable to x; y');
    const stream = await client.responses.create({ input: 'hi', stream: true });
    const reading = (async () => {
      for await (const event of stream) expect(event.type).toBe('response.created');
    })();
    await expect(reading).rejects.toMatchObject({ code: 'state_unavailable' });
  });

  it('forwards the idempotency key', async () => {
    await client.responses.create({ input: 'hi' }, { headers: { 'idempotency-key': 'key-1' } });
    expect(script.created[0]?.options).toEqual({
      idempotency: { key: 'key-1', fingerprint: expect.stringMatching(/^[0-9a-f]{64}$/u) },
    });
    expect(await errorOf(await post('{"input":"x"}', { 'idempotency-key': 'a b' }))).toMatchObject({
      code: 'invalid_value',
      param: 'Idempotency-Key',
    });
  });

  it('stops waiting when its client leaves, and cancels nothing', async () => {
    const held = Promise.withResolvers<void>();
    script.hold = held.promise;
    const abort = new AbortController();
    const answer = fetch(`${base}/v1/responses`, {
      method: 'POST',
      body: '{"input":"x"}',
      headers: JSON_HEADERS,
      signal: abort.signal,
    });
    const gone = await script.settledStarted.promise;
    const aborted = new Promise((resolve) => gone.addEventListener('abort', resolve));
    abort.abort();
    await expect(answer).rejects.toThrow();
    await aborted;
    held.resolve();
  });

  it('counts a turn whose answer cannot be read once: as a turn, not as a refusal [OPS-3]', async () => {
    script.settledError = new SluiceError(
      'state_unavailable',
      'unable to read the answer; the store is away; try again',
    );
    expect((await post('{"input":"x"}')).status).toBe(503);
    script.eventsError = script.settledError;
    expect((await post('{"input":"x","stream":true}')).status).toBe(503);
    expect(script.created).toHaveLength(2);
    expect(refused).toEqual([]);
    expect(logged).toHaveLength(2);
    script.eventsError = undefined;
  });

  it.each(['{"input":"x"}', '{"input":"x","stream":true}'])(
    'names the response of a turn whose answer cannot be given, and lets only keyed requests be sent again: %s [ERR-3, REST-6]',
    async (body) => {
      const away = new SluiceError('state_unavailable', 'unable to x; y');
      script.settledError = away;
      script.eventsError = away;
      const again = async (headers: Record<string, string>) => {
        const answer = await post(body, headers);
        const { error } = (await answer.json()) as { error: Record<string, unknown> };
        return [answer.status, answer.headers.get('x-should-retry'), error['response_id']];
      };
      expect(await again({})).toEqual([503, 'false', 'resp_1']);
      expect(await again({ 'idempotency-key': 'k' })).toEqual([503, 'true', 'resp_1']);
    },
  );

  it('is not sent again by the official client if its turn runs and its answer cannot be given [ERR-3]', async () => {
    script.settledError = new Error('a bug');
    const patient = new OpenAI({ apiKey: KEY, baseURL: `${base}/v1`, maxRetries: 2 });
    await expect(patient.responses.create({ input: 'hi' })).rejects.toMatchObject({ status: 500 });
    expect(script.created).toHaveLength(1);
  });

  it('reports a refusal with whether to retry, and counts it', async () => {
    script.refusal = new SluiceError('rate_limit_exceeded', 'unable to x; y', { retryAfterMs: 1_500 });
    const limited = await post('{"input":"x"}');
    expect([limited.status, limited.headers.get('retry-after'), limited.headers.get('retry-after-ms')]).toEqual([
      429,
      '2',
      '1500',
    ]);
    expect(await errorOf(limited)).toMatchObject({ code: 'rate_limit_exceeded', type: 'rate_limit_error' });
    const bad = await post('{"input":"x","temprature":1}');
    expect([bad.status, bad.headers.get('x-should-retry')]).toEqual([400, 'false']);
    expect(await errorOf(bad)).toMatchObject({ code: 'unknown_parameter', param: 'temprature' });
    expect(refused).toMatchObject([
      { method: 'POST', endpoint: '/v1/responses', caller, error: { code: 'rate_limit_exceeded' } },
      { caller, error: { code: 'unknown_parameter' } },
    ]);
  });

  it('sends the limits, also when one is used up', async () => {
    const requests = { limit: 60, remaining: 59, resetMs: 1_000 };
    script.limits = { requests, tokens: { limit: 9_000, remaining: 0, resetMs: 360_000 } };
    script.events = [events];
    for (const body of ['{"input":"x"}', '{"input":"x","stream":true}', '{"input":"x","background":true}']) {
      const answer = await post(body, { origin: PAGE });
      await answer.text();
      expect(limitHeadersOf(answer)).toEqual(['60', '59', '1s', '9000', '0', '6m0s']);
      expect(answer.headers.get('access-control-expose-headers')).toContain('x-ratelimit-remaining-tokens');
    }
    script.refusal = new LimitRefusal('x', { requests: { ...requests, remaining: 0 } }, 2_500);
    const refusal = await post('{"input":"x"}');
    expect([refusal.status, refusal.headers.get('retry-after')]).toEqual([429, '3']);
    expect(limitHeadersOf(refusal)).toEqual(['60', '0', '1s', null, null, null]);
  });

  it.each<[string, string | Uint8Array<ArrayBuffer>, Record<string, string>, number, string]>([
    ['malformed JSON', '{"input":', {}, 400, 'invalid_json'],
    ['bytes that are no UTF-8', new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x7d]), {}, 400, 'invalid_json'],
    ['no body', '', {}, 400, 'invalid_request'],
    ['a list', '[]', {}, 400, 'invalid_request'],
    ['more than 1 MiB', JSON.stringify({ input: 'x'.repeat(1_048_576) }), {}, 413, 'payload_too_large'],
    ['text', 'hello', { 'content-type': 'text/plain' }, 415, 'unsupported_media_type'],
    ['a form', 'input=x', { 'content-type': 'application/x-www-form-urlencoded' }, 415, 'unsupported_media_type'],
    ['no key', '{}', { authorization: '' }, 401, 'missing_api_key'],
    ['a wrong key', '{}', { authorization: 'Bearer nope' }, 401, 'invalid_api_key'],
    ['a foreign page', '{}', { origin: 'https://evil.example' }, 403, 'origin_not_allowed'],
  ])('refuses %s', async (_what, body, headers, status, code) => {
    const answer = await post(body, headers);
    expect(answer.status).toBe(status);
    expect((await errorOf(answer))['code']).toBe(code);
    expect(script.created).toEqual([]);
  });

  it('reports a bug to the log, not to the client', async () => {
    script.refusal = new Error('secret detail');
    const answer = await post('{"input":"x"}');
    expect(answer.status).toBe(500);
    expect(JSON.stringify(await errorOf(answer))).not.toContain('secret');
    expect(refused[0]?.error.cause).toBe(script.refusal);
  });
});

describe('GET /v1/responses/{id}', () => {
  it('answers with the current state of the response', async () => {
    expect((await client.responses.retrieve('resp_1')).status).toBe('in_progress');
    await expect(client.responses.retrieve('resp_none')).rejects.toMatchObject({
      status: 404,
      code: 'response_not_found',
    });
  });

  it('replays and follows from the cursor of the client', async () => {
    script.events = [events];
    const seen: number[] = [];
    for await (const event of await client.responses.retrieve('resp_1', { stream: true, starting_after: 4 })) {
      seen.push(event.sequence_number);
    }
    expect([seen, script.after]).toEqual([[0, 1], 4]);
    await (await call('GET', '/v1/responses/resp_1?stream=true&starting_after=1', { 'last-event-id': '9' })).text();
    expect(script.after).toBe(9);
  });

  it('refuses with an HTTP status before the first event', async () => {
    script.eventsError = new SluiceError('response_expired', 'unable to x; y');
    const expired = await call('GET', '/v1/responses/resp_1?stream=true');
    expect([expired.status, (await errorOf(expired))['code']]).toEqual([410, 'response_expired']);
  });

  it('sends the headers of a stream while the turn is silent, and a failure in the stream', async () => {
    const held = Promise.withResolvers<void>();
    script.hold = held.promise;
    script.eventsError = undefined;
    const answer = await call('GET', '/v1/responses/resp_1?stream=true');
    expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'text/event-stream; charset=utf-8']);
    expect(answer.headers.get('x-request-id')).toMatch(/^req_/u);
    script.eventsError = new SluiceError('response_expired', 'unable to x; y');
    held.resolve();
    expect(await answer.text()).toContain('event: error\ndata: {"type":"error"');
  });

  it.each([
    ['stream=maybe', 'stream'],
    ['stream=true&starting_after=x', 'starting_after'],
    ['stream=false&starting_after=1', 'starting_after'],
    ['strem=true', 'strem'],
  ])('refuses ?%s', async (query, param) => {
    const answer = await call('GET', `/v1/responses/resp_1?${query}`);
    expect([answer.status, (await errorOf(answer))['param']]).toEqual([400, param]);
  });
});

describe('the other routes', () => {
  it('waits for the end on cancel, and returns an ended response unchanged', async () => {
    expect((await client.responses.cancel('resp_1')).status).toBe('cancelled');
    expect((await client.responses.cancel('resp_ended')).status).toBe('completed');
    await expect(client.responses.cancel('resp_none')).rejects.toMatchObject({ status: 404 });
  });

  it.each(['/v1/responses', '/v1/responses/resp_1/cancel'])(
    'ends the wait of POST %s with the reason, also while the store does not answer [DRAIN-6, EK-6]',
    async (path) => {
      script.hold = new Promise(() => undefined);
      const waiting = fetch(`${base}${path}`, { method: 'POST', body: '{"input":"x"}', headers: JSON_HEADERS });
      await script.settledStarted.promise;
      script.answers.interrupt(new SluiceError('invalid_api_key', 'unable to x; y'));
      const answer = await waiting;
      expect([answer.status, await answer.json()]).toMatchObject([401, { error: { code: 'invalid_api_key' } }]);
    },
  );

  it('confirms a deletion, and refuses to delete a running response', async () => {
    const deleted = await call('DELETE', '/v1/responses/resp_1');
    expect(await deleted.json()).toEqual({ id: 'resp_1', object: 'response', deleted: true });
    await expect(client.responses.delete('resp_1')).resolves.toBeDefined();
    const running = await call('DELETE', '/v1/responses/resp_running');
    expect([running.status, running.headers.get('x-should-retry')]).toEqual([409, 'false']);
  });

  it('returns input items in pages', async () => {
    const { data } = await client.responses.inputItems.list('resp_1', { limit: 3, order: 'asc', after: 'msg_9' });
    expect(data[0]?.id).toBe('3-asc-msg_9');
    const page = (await (await call('GET', '/v1/responses/resp_1/input_items')).json()) as Record<string, unknown>;
    expect(page).toMatchObject({ object: 'list', first_id: '20-desc-', last_id: '20-desc-', has_more: false });
    for (const query of ['limit=0', 'limit=101', 'limit=x', 'order=up']) {
      expect((await call('GET', `/v1/responses/resp_1/input_items?${query}`)).status).toBe(400);
    }
  });

  it('lists the configured models', async () => {
    const ids: string[] = [];
    for await (const model of client.models.list()) ids.push(model.id);
    expect(ids).toEqual(['m1', 'org/m2']);
    expect(await client.models.retrieve('org/m2')).toEqual({
      id: 'org/m2',
      object: 'model',
      created: 5,
      owned_by: 'sluice',
    });
    await expect(client.models.retrieve('m3')).rejects.toMatchObject({ status: 404, code: 'model_not_found' });
  });

  it('creates a conversation with or without a body', async () => {
    expect(
      await client.conversations.create({ metadata: { a: 'b' }, items: [{ role: 'user', content: 'x' }] }),
    ).toEqual({
      id: 'conv_1',
      object: 'conversation',
      created_at: 7,
      metadata: { a: 'b' },
      sluice: { title: null, updated_at: 8 },
    });
    expect((await client.conversations.create()).id).toBe('conv_0');
  });

  it('answers 404 for unknown paths and 405 for another method of a known one', async () => {
    const unknown = await call('GET', '/v1/nothing');
    expect([unknown.status, (await errorOf(unknown))['code']]).toEqual([404, 'not_found']);
    const wrong = await call('PUT', '/v1/responses/resp_1');
    expect([wrong.status, wrong.headers.get('allow')]).toEqual([405, 'DELETE, GET']);
    expect((await errorOf(wrong))['code']).toBe('method_not_allowed');
    expect((await call('GET', '/v1/responses')).status).toBe(405);
  });

  it('answers 400 for a malformed URL in the same shape', async () => {
    const status = await new Promise<[number | undefined, string]>((resolve, reject) => {
      get(`${base}/v1/responses/%zz`, (message) => {
        let text = '';
        message.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        message.on('end', () => resolve([message.statusCode, text]));
      }).on('error', reject);
    });
    expect(status[0]).toBe(400);
    expect(JSON.parse(status[1])).toMatchObject({ error: { code: 'invalid_request' } });
  });

  it('gives an official client an APIError with the request id', async () => {
    const error: unknown = await client.responses.retrieve('resp_none').catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(APIError);
    expect(error).toMatchObject({ requestID: expect.stringMatching(/^req_/u), type: 'not_found_error' });
  });
});

describe('CORS', () => {
  const preflight = (origin: string): Promise<Response> =>
    fetch(`${base}/v1/responses`, {
      method: 'OPTIONS',
      headers: {
        origin,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'authorization,x-stainless-os',
      },
    });

  it('admits the pages of the list, also for streams', async () => {
    const answer = await preflight(PAGE);
    expect(answer.status).toBe(204);
    expect(answer.headers.get('access-control-allow-origin')).toBe(PAGE);
    expect(answer.headers.get('access-control-allow-headers')).toBe('authorization,x-stainless-os');
    script.events = [events];
    const stream = await post('{"input":"x","stream":true}', { origin: PAGE });
    expect(stream.headers.get('access-control-allow-origin')).toBe(PAGE);
    expect(stream.headers.get('access-control-expose-headers')).toContain('x-request-id');
    await stream.text();
    const refusal = await post('{}', { origin: PAGE });
    expect(refusal.headers.get('access-control-allow-origin')).toBe(PAGE);
  });

  it('sends no CORS headers to other pages', async () => {
    expect((await preflight('https://evil.example')).headers.get('access-control-allow-origin')).toBeNull();
    const answer = await post('{"input":"x"}', { origin: 'https://evil.example' });
    expect([answer.status, answer.headers.get('access-control-allow-origin')]).toEqual([403, null]);
  });
});

it('answers 204 to an EventSource that has seen the end, and an empty stream to starting_after [REST-12]', async () => {
  script.events = [];
  const path = '/v1/responses/resp_ended?stream=true';
  expect((await call('GET', path, { 'last-event-id': '7' })).status).toBe(204);
  const asked = await call('GET', `${path}&starting_after=7`);
  expect([asked.status, await asked.text()]).toEqual([200, '']);
});

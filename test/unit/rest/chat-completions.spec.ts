/*
 * The chat completions route over a real HTTP server, with a scripted turn behind it: behaviour
 * that depends on timing.
 */

import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { AnonymousAuthenticator } from '../../../src/auth/anonymous-authenticator.js';
import { Authenticator } from '../../../src/auth/authenticator.js';
import { OriginPolicy } from '../../../src/auth/origin.js';
import { SluiceError } from '../../../src/domain/errors.js';
import { type LoggedEvent, serialize } from '../../../src/domain/event.js';
import { type ResponseObject } from '../../../src/domain/response.js';
import { type Log, type LogFields } from '../../../src/observability/log.js';
import { ChatCompletionsController } from '../../../src/rest/chat-completions.controller.js';
import { ErrorFilter } from '../../../src/rest/error.filter.js';
import { httpServerOptions, prepareHttp } from '../../../src/rest/http-server.js';
import { RestTimes } from '../../../src/rest/rest-times.js';
import { gateRequests } from '../../../src/rest/request-gate.js';
import { RouteTable } from '../../../src/rest/route-table.js';
import { ResponseReader } from '../../../src/turn/response-reader.js';
import { ConnectionLimits } from '../../../src/turn/connection-limits.js';
import { type CreateOptions, TurnService } from '../../../src/turn/turn.service.js';
import { testGate } from '../../support/test-gate.js';

// Only the fields that chunks are made of matter here.
const response = (fields: Partial<ResponseObject> = {}): ResponseObject =>
  ({
    id: 'resp_1',
    created_at: 7,
    model: 'm',
    status: 'completed',
    incomplete_details: null,
    output: [],
    usage: null,
    sluice: { findings: [] },
    ...fields,
  }) as unknown as ResponseObject;
const failed = response({ status: 'failed', error: { code: 'provider_timeout', message: 'unable to x; y' } });
const created = serialize({ type: 'response.created', response: response({ status: 'in_progress' }) }, 0);
const text = serialize(
  {
    type: 'response.output_text.delta',
    item_id: 'msg_1',
    output_index: 0,
    content_index: 0,
    delta: 'Hi',
    logprobs: [],
  },
  1,
);

let events: (signal: AbortSignal) => AsyncGenerator<readonly LoggedEvent[]>;
let asked: CreateOptions | undefined;
let ended: unknown;
const turns: Pick<TurnService, 'create'> = {
  create: async (_caller, _request, _origin, options) => {
    asked = options;
    return { responseId: 'resp_1', limits: {}, joined: false };
  },
};
const reader: Pick<ResponseReader, 'events' | 'settled'> = {
  events: (_caller, _id, _after, signal) => events(signal),
  settled: async () => {
    if (ended instanceof Error) throw ended;
    return response();
  },
};
const logged: LogFields[] = [];
const log: Log = {
  debugs: false,
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: (fields) => void logged.push(fields),
  child: () => log,
};

const ORIGINS = new OriginPolicy({ allowedOrigins: [], loopbackOnly: true });

@Module({
  controllers: [ChatCompletionsController],
  providers: [
    { provide: TurnService, useValue: turns },
    { provide: ResponseReader, useValue: reader },
    { provide: Authenticator, useValue: new AnonymousAuthenticator() },
    { provide: OriginPolicy, useValue: ORIGINS },
    { provide: ConnectionLimits, useValue: new ConnectionLimits({ perUser: null, perAddress: null }) },
    { provide: RestTimes, useValue: new RestTimes({ firstChunkMs: 20 }) },
  ],
})
class TestModule {}

let app: NestFastifyApplication;
let url: string;
const refused: unknown[] = [];
beforeAll(async () => {
  const adapter = new FastifyAdapter(
    httpServerOptions({ maxBodyBytes: 1_048_576, trustedProxies: [], requestTimeoutMs: 30_000 }),
  );
  const routes = new RouteTable();
  prepareHttp(adapter.getInstance(), routes);
  gateRequests(adapter.getInstance(), testGate(new AnonymousAuthenticator(), routes, ORIGINS));
  app = await NestFactory.create<NestFastifyApplication>(TestModule, adapter, { bodyParser: false, logger: false });
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
  url = `${await app.getUrl()}/v1/chat/completions`;
});
afterAll(() => app.close());

const post = (more: object = {}, headers: Record<string, string> = {}, signal?: AbortSignal): Promise<Response> =>
  fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ messages: [{ role: 'user', content: 'x' }], ...more }),
    ...(signal === undefined ? {} : { signal }),
  });

describe('POST /v1/chat/completions', () => {
  it('sends the headers while a turn is silent, and its later failure in the stream [CHAT-3]', async () => {
    const silence = Promise.withResolvers<void>();
    events = async function* () {
      yield [created];
      await silence.promise;
      yield [text, serialize({ type: 'response.failed', response: failed }, 2)];
    };
    const answer = await post({ stream: true });
    expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'text/event-stream; charset=utf-8']);
    silence.resolve();
    const said = await answer.text();
    expect(said).toContain('"content":"Hi"');
    expect(said.indexOf('"content":"Hi"')).toBeLessThan(said.indexOf('data: {"error"'));
    expect(said).toMatch(/"code":"provider_timeout","param":null,"response_id":"resp_[^"]+"\}\}\n\n$/u);
  });

  it('answers with an HTTP status for a turn that fails before its first text, and counts the turn only once [CHAT-3]', async () => {
    events = async function* () {
      yield [created];
      yield [serialize({ type: 'response.failed', response: failed }, 1)];
    };
    const answer = await post({ stream: true });
    expect([answer.status, await answer.json()]).toMatchObject([504, { error: { code: 'provider_timeout' } }]);
    expect(refused).toEqual([]);
  });

  it('ends a stream without a terminal event with an error, never cleanly [CHAT-2]', async () => {
    events = async function* () {
      yield [created, text];
    };
    const said = await (await post({ stream: true })).text();
    expect(said).toContain('data: {"error":');
    expect(said).not.toContain('[DONE]');
  });

  it('aborts the turn when its client leaves, unless the client can resume [CHAT-8]', async () => {
    const gone = Promise.withResolvers<void>();
    events = async function* (signal) {
      yield [created, text];
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
      gone.resolve();
    };
    const leave = new AbortController();
    const answer = await post({ stream: true }, {}, leave.signal);
    expect(asked?.signal?.aborted).toBe(false);
    leave.abort();
    await expect(answer.text()).rejects.toThrow();
    await gone.promise;
    expect(asked?.signal?.aborted).toBe(true);

    ended = undefined;
    await post({}, { 'idempotency-key': 'k' });
    expect(asked?.signal).toBeUndefined();
    expect(asked?.idempotency).toMatchObject({ key: 'k' });
  });

  it('logs an answer that cannot be given, and lets no client run its turn again [ERR-3]', async () => {
    logged.length = 0;
    ended = new Error('a bug');
    const answer = await post();
    expect(answer.status).toBe(500);
    expect(await answer.json()).toMatchObject({ error: { code: 'server_error', response_id: 'resp_1' } });
    expect(answer.headers.get('x-should-retry')).toBe('false');
    expect(logged).toMatchObject([{ path: '/v1/chat/completions', err: { cause: ended } }]);
    expect(refused).toEqual([]);
  });

  it('refuses a repeated request whose events are gone [CHAT-8]', async () => {
    ended = new SluiceError('response_not_found', 'unable to x; y');
    const answer = await post({}, { 'idempotency-key': 'k' });
    expect(answer.status).toBe(410);
    expect(await answer.json()).toMatchObject({ error: { code: 'response_expired' } });
    expect(answer.headers.get('x-should-retry')).toBe('false');
  });
});

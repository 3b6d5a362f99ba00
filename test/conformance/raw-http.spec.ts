/*
 * Below the routes: upgrades that are none of ours, handshakes that are none, and bytes that are no
 * HTTP.
 */

import { execFile } from 'node:child_process';
import { type AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { fastify } from 'fastify';
import { httpServerOptions } from '../../src/rest/http-server.js';
import { GatewayHarness, heldAnswer } from '../support/gateway-harness.js';
import { exchange, type RawAnswer, RawHttp } from '../support/raw-http.js';

let harness: GatewayHarness;
beforeAll(async () => {
  harness = await GatewayHarness.start();
});
afterAll(() => harness.close());

const send = (lines: readonly string[], body = ''): Promise<RawAnswer> =>
  exchange(harness.gateway.port, `${lines.join('\r\n')}\r\n\r\n${body}`);

const errorOf = ({ body }: RawAnswer): Record<string, unknown> =>
  // Every refusal has this shape; a test that gets another one fails here.
  (JSON.parse(body) as { error: Record<string, unknown> }).error;

/** As Java's HttpClient and curl offer HTTP/2 with their first request. */
const H2C = ['Connection: Upgrade, HTTP2-Settings, close', 'Upgrade: h2c', 'HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk'];

describe('an upgrade to another protocol [UP-7]', () => {
  it.each([['h2c'], ['TLS/1.0'], ['h2c, foo/2']])(
    'answers a request with an upgrade to another protocol like one without: %s',
    async (protocol) => {
      const models = await send([
        'GET /v1/models HTTP/1.1',
        'Host: x',
        'Connection: Upgrade, close',
        `Upgrade: ${protocol}`,
      ]);
      expect(models.status).toBe(200);
      expect(JSON.parse(models.body)).toMatchObject({ object: 'list' });
    },
  );

  it('ignores an upgrade to another protocol, and reads the body of the request', async () => {
    harness.says('Hello');
    const body = JSON.stringify({ input: 'Hi' });
    const head = ['POST /v1/responses HTTP/1.1', 'Host: x', 'Content-Type: application/json'];
    const answer = await send([...head, `Content-Length: ${body.length}`, ...H2C], body);
    expect(answer.status).toBe(200);
    expect(answer.body).toContain('"output_text":"Hello"');
  });

  it('refuses an upgrade like a request without it', async () => {
    const answer = await send(['GET /v1/responses HTTP/1.1', 'Host: x', ...H2C]);
    expect(answer.status).toBe(405);
    expect(errorOf(answer)).toMatchObject({ code: 'method_not_allowed' });
  });

  it('ignores an upgrade to another protocol that curl sends', async () => {
    const url = `${harness.gateway.url}/v1/models`;
    const said = await new Promise<string>((resolve, reject) => {
      execFile('curl', ['-sS', '--http2', '-o', '/dev/null', '-w', '%{http_code}', url], (error, stdout) =>
        error === null ? resolve(stdout) : reject(error),
      );
    });
    expect(said).toBe('200');
  });
});

it('ignores an unknown Expect header [UP-7]', async () => {
  const answer = await send(['GET /v1/models HTTP/1.1', 'Host: x', 'Expect: magic', 'Connection: close']);
  expect(answer.status).toBe(200);
});

describe('an invalid WebSocket handshake [UP-5]', () => {
  const KEY = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==';
  const UPGRADE = ['Host: x', 'Connection: Upgrade', 'Upgrade: websocket'];

  it.each([
    ['no key', ['Sec-WebSocket-Version: 13']],
    ['a key that is none', ['Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: short']],
    ['no version', [KEY]],
    ['another version', ['Sec-WebSocket-Version: 99', KEY]],
    ['subprotocols that are none', ['Sec-WebSocket-Version: 13', KEY, 'Sec-WebSocket-Protocol: a b,,']],
  ])('refuses an invalid WebSocket handshake in the form of every other error: %s', async (_, headers) => {
    const answer = await send(['GET /v1/responses HTTP/1.1', ...UPGRADE, ...headers]);
    expect(answer.status).toBe(400);
    expect(answer.headers).toMatchObject({ 'content-type': 'application/json', 'sec-websocket-version': '13' });
    expect(answer.headers['x-request-id']).toMatch(/^req_/u);
    expect(errorOf(answer)).toMatchObject({ code: 'invalid_request', type: 'invalid_request_error' });
  });

  it('serves a WebSocket handshake with another method as an ordinary request [UP-7]', async () => {
    const answer = await send(
      [
        'POST /v1/responses HTTP/1.1',
        ...UPGRADE,
        'Sec-WebSocket-Version: 13',
        KEY,
        'Content-Length: 2',
        'Content-Type: application/json',
        'Connection: close',
      ],
      '{}',
    );
    expect(answer.status).toBe(400);
    expect(errorOf(answer)).toMatchObject({ code: 'missing_required_parameter', param: 'input' });
  });
});

describe('bytes that are not HTTP [ERR-5]', () => {
  const HOST = 'Host: x';

  it.each<[string, string | Buffer, number, string]>([
    ['noise', Buffer.from([0, 1, 2, 255, 13, 10, 13, 10]), 400, 'invalid_request'],
    ['TLS', Buffer.from('16030100f4010000f00303', 'hex'), 400, 'invalid_request'],
    ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400, 'invalid_request'],
    ['no host', 'GET /v1/models HTTP/1.1\r\n\r\n', 400, 'invalid_request'],
    [
      'a head without end',
      `GET /v1/models HTTP/1.1\r\n${HOST}\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`,
      431,
      'headers_too_large',
    ],
    ['a URL without end', `GET /${'x'.repeat(20_000)} HTTP/1.1\r\n${HOST}\r\n\r\n`, 431, 'headers_too_large'],
    [
      'thousands of headers',
      `GET /v1/models HTTP/1.1\r\n${HOST}\r\n${'a:b\r\n'.repeat(5_000)}\r\n`,
      431,
      'headers_too_large',
    ],
    [
      'two lengths',
      `POST /v1/responses HTTP/1.1\r\n${HOST}\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}`,
      400,
      'invalid_request',
    ],
    [
      'length and chunks',
      `POST /v1/responses HTTP/1.1\r\n${HOST}\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      400,
      'invalid_request',
    ],
    [
      'no chunk',
      `POST /v1/responses HTTP/1.1\r\n${HOST}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n`,
      400,
      'invalid_request',
    ],
  ])(
    'refuses bytes that are not HTTP in the form of every other error, with a closed connection: %s',
    async (_, bytes, status, code) => {
      const answer = await exchange(harness.gateway.port, bytes);
      expect([answer.status, errorOf(answer)['code']]).toEqual([status, code]);
      expect(answer.headers).toMatchObject({
        'content-type': expect.stringMatching(/^application\/json/u),
        connection: 'close',
      });
      expect(answer.headers['x-request-id']).toMatch(/^req_/u);
    },
  );

  it('refuses bytes that do not end in time in the form of other errors', async () => {
    const { http, ...options } = httpServerOptions({
      maxBodyBytes: 1_024,
      trustedProxies: [],
      requestTimeoutMs: 1_000,
    });
    const server = fastify({
      ...options,
      requestTimeout: 100,
      http: { ...http, headersTimeout: 100, connectionsCheckingInterval: 20 },
    });
    await server.listen({ host: '127.0.0.1', port: 0 });
    const { port } = server.server.address() as AddressInfo;
    const answer = await exchange(port, `POST /v1/responses HTTP/1.1\r\n${HOST}\r\nContent-Le`);
    await server.close();
    expect([answer.status, errorOf(answer)['code']]).toEqual([408, 'request_timeout']);
  });

  it('sends no error into the middle of another answer', async () => {
    const held = heldAnswer('Half');
    harness.provider.answerWith(held.answer);
    const body = JSON.stringify({ input: 'Hi', stream: true });
    const raw = await RawHttp.open(harness.gateway.port);
    const head = ['POST /v1/responses HTTP/1.1', HOST, 'Content-Type: application/json'];
    raw.send([...head, `Content-Length: ${body.length}`, '', body].join('\r\n'));
    while (!raw.text.includes('Half')) await new Promise(setImmediate);
    raw.send('\0\0\0\r\n\r\n');
    await raw.closed;
    expect(raw.text).not.toContain('invalid_request');
    held.finish();
  });
});

it('counts a body without an end as a mistake of its sender [OPS-3]', async () => {
  const refused = (): Promise<number> => harness.gateway.metric('sluice_requests_total{status="refused"}');
  const before = await refused();
  const raw = await RawHttp.open(harness.gateway.port);
  const head = ['POST /v1/responses HTTP/1.1', 'Host: x', 'Content-Type: application/json', 'Content-Length: 100'];
  raw.send([...head, 'Expect: 100-continue', '', '{"input":'].join('\r\n'));
  // Its head was read: a reset before that would be of no request at all.
  while (!raw.text.includes('100 Continue')) await new Promise(setImmediate);
  raw.socket.resetAndDestroy();
  while ((await refused()) === before) await new Promise(setImmediate);
});

it('counts no invalid HTTP as an internal error', async () => {
  const bad = harness.gateway.lines.filter((line) => /"level":"?(error|fatal|50|60)/u.test(line));
  expect(bad).toEqual([]);
  expect(await harness.gateway.metric('sluice_requests_total{status="error"}')).toBe(0);
});

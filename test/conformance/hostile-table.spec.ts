/*
 * Hostile input, one row a kind, one column a channel: what the gateway answers. After each cell it
 * answers a normal turn exactly, and its log has no line that the input wrote. Floods, fragments
 * and costs are in hostile.spec.ts and largest.spec.ts, bytes that are not HTTP in
 * raw-http.spec.ts, and random input in test/fuzz.
 */

import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { GatewayHarness, terminalOf } from '../support/gateway-harness.js';
import { frameOf, OPCODES } from '../support/raw-client.js';
import { exchange, type RawAnswer, RawHttp } from '../support/raw-http.js';

let harness: GatewayHarness;
beforeAll(async () => {
  harness = await GatewayHarness.start({ config: { monitoring: { logging: { level: 'trace' } } } });
  harness.says('Hello');
});
afterEach(() => harness.hangUp());
afterAll(() => harness.close());

type Channel = 'body' | 'frame' | 'header' | 'query' | 'path';
/** What is sent, and the answer: `STATUS code`, `served`, or `close CODE` of a socket. */
type Cell = readonly [sent: string | Buffer, answer: string];
type Row = Readonly<Partial<Record<Channel, Cell>>>;

const nested = `${'['.repeat(97)}${']'.repeat(97)}`;
const values = `[${Array.from({ length: 33_000 }, () => '1').join(',')}]`;
const request = (fields: string): string => `{"input":"Hi",${fields}}`;
const both = (fields: string, answer: string): Pick<Row, 'body' | 'frame'> => ({
  body: [request(fields), answer],
  frame: [`{"type":"response.create",${request(fields).slice(1)}`, answer],
});
const notUtf8 = (before: string, after: string): Buffer =>
  Buffer.concat([Buffer.from(before), Buffer.from([0xff]), Buffer.from(after)]);

/**
 * A body goes to `POST /v1/responses`, a header is sent with it, a query goes to the list of
 * conversations, a path is an id of a response.
 */
const TABLE: Readonly<Record<string, Row>> = {
  'more bytes than a message may have': {
    body: [request(`"user":"${'x'.repeat(1_100_000)}"`), '413 payload_too_large'],
    frame: [`{"type":"sluice:ping","id":"${'x'.repeat(1_100_000)}"}`, 'close 1009'],
    header: [`X-Long: ${'x'.repeat(20_000)}`, '431 headers_too_large'],
    query: [`after=${'x'.repeat(20_000)}`, '431 headers_too_large'],
    path: ['x'.repeat(20_000), '431 headers_too_large'],
  },
  'more levels than a message may have': {
    ...both(`"metadata":${nested}`, '400 invalid_request'),
    query: ['after[a][b][c]=x', '400 unknown_parameter'],
    path: ['a/'.repeat(100), '404 not_found'],
  },
  'more values than a message may have': both(`"include":${values}`, '400 invalid_request'),
  'a list that is too long': both(`"tools":[${'{},'.repeat(200)}{}]`, '400 invalid_value'),
  'a string that is too long': {
    ...both(`"model":"${'x'.repeat(257)}"`, '400 invalid_value'),
    header: [`Idempotency-Key: ${'x'.repeat(256)}`, '400 invalid_value'],
    query: [`after=${'x'.repeat(257)}`, '400 invalid_value'],
    path: ['x'.repeat(257), '400 invalid_request'],
  },
  'a number that is none': {
    ...both('"temperature":1e999', '400 invalid_value'),
    header: ['Content-Length: 1e999', '400 invalid_request'],
    query: ['limit=1e999', '400 invalid_value'],
    path: ['1e999', '404 response_not_found'],
  },
  'a number beyond exact integers': {
    ...both('"max_output_tokens":9007199254740993', '400 invalid_value'),
    query: ['limit=9007199254740993', '400 invalid_value'],
    path: ['9007199254740993', '404 response_not_found'],
  },
  "a name of JavaScript's own objects": {
    ...both('"metadata":{"__proto__":"x"}', '400 invalid_value'),
    header: ['Idempotency-Key: __proto__', 'served'],
    query: ['__proto__=x', '400 unknown_parameter'],
    path: ['__proto__', '404 response_not_found'],
  },
  'a field twice': {
    ...both('"store":false,"store":1', '400 invalid_value'),
    header: ['Idempotency-Key: a\r\nIdempotency-Key: b c', '400 invalid_value'],
    query: ['limit=1&limit=2', '400 invalid_value'],
  },
  'half a surrogate pair': {
    ...both('"user":"\\ud800"', 'served'),
    query: ['after=%ED%A0%80', '400 invalid_cursor'],
    path: ['%ED%A0%80', '400 invalid_request'],
  },
  NUL: {
    ...both('"metadata":{"\\u0000":"\\u0000"}', 'served'),
    header: ['Idempotency-Key: a\u0000b', '400 invalid_request'],
    query: ['after=%00', '400 invalid_cursor'],
    path: ['%00', '404 response_not_found'],
  },
  'bytes that are no UTF-8': {
    body: [notUtf8('{"input":"', '"}'), '400 invalid_json'],
    frame: [notUtf8('{"type":"sluice:ping","id":"', '"}'), 'close 1007'],
    header: [notUtf8('Idempotency-Key: ', ''), '400 invalid_value'],
    query: ['after=%FF', '400 invalid_cursor'],
    path: ['%FF', '400 invalid_request'],
  },
  'line breaks and a header behind them': {
    ...both('"metadata":{"a":"x\\r\\nset-cookie: a=b\\r\\n\\r\\ndata: {}"}', 'served'),
    header: ['X-Request-Id: a\r\n set-cookie: a=b', '400 invalid_request'],
    query: ['after=a%0d%0aset-cookie:%20a=b', '400 invalid_cursor'],
    path: ['a%0d%0aset-cookie:%20a=b', '404 response_not_found'],
  },
  'a line of the log': {
    ...both('"model":"x\\n{\\"level\\":\\"fatal\\"}"', '404 model_not_found'),
    header: ['X-Request-Id: {"level":"fatal"}', 'served'],
    query: ['after=%0a{"level":"fatal"}'.replaceAll('"', '%22'), '400 invalid_cursor'],
    path: ['%0a{"level":"fatal"}'.replaceAll('"', '%22'), '404 response_not_found'],
  },
  nothing: {
    body: ['', '400 invalid_request'],
    frame: ['', '400 invalid_json'],
    header: ['Idempotency-Key:', '400 invalid_value'],
    query: ['=', '400 unknown_parameter'],
    path: ['', '404 not_found'],
  },
};

const head = (line: string, more: readonly (string | Buffer)[] = []): Buffer =>
  Buffer.concat(
    [line, 'Host: x', 'Connection: close', 'Content-Type: application/json', ...more, '', '']
      .flatMap((one) => [Buffer.from(one), Buffer.from('\r\n')])
      .slice(0, -1),
  );

const OVER_HTTP: Readonly<Record<Exclude<Channel, 'frame'>, (sent: string | Buffer) => Buffer>> = {
  body: (sent) => {
    const bytes = Buffer.from(sent);
    return Buffer.concat([head('POST /v1/responses HTTP/1.1', [`Content-Length: ${bytes.length}`]), bytes]);
  },
  header: (sent) => {
    const body = Buffer.from('{"input":"Hi"}');
    const own = String(sent).startsWith('Content-Length') ? [] : [`Content-Length: ${body.length}`];
    return Buffer.concat([head('POST /v1/responses HTTP/1.1', [sent, ...own]), body]);
  },
  query: (sent) => head(`GET /v1/conversations?${String(sent)} HTTP/1.1`),
  path: (sent) => head(`GET /v1/responses/${String(sent)} HTTP/1.1`),
};

async function answerTo(channel: Channel, sent: string | Buffer): Promise<string> {
  if (channel === 'frame') return answerToFrame(sent);
  const answer = await exchange(harness.gateway.port, OVER_HTTP[channel](sent));
  expect(answer.headers['set-cookie']).toBeUndefined();
  return answer.status < 300 ? 'served' : `${answer.status} ${codeIn(answer)}`;
}

async function answerToFrame(sent: string | Buffer): Promise<string> {
  const client = await harness.connect();
  client.wire.write(frameOf(OPCODES.text, sent));
  const closed = client.closed.then(({ code }) => `close ${code}`);
  const answered = client.turn().then((frames) => {
    const last = frames.at(-1);
    // An error frame has this shape; a test that gets another one fails here.
    return last?.type === 'error' ? `${String(last['status'])} ${(last['error'] as { code: string }).code}` : 'served';
  });
  return Promise.race([closed, answered.catch(() => closed)]);
}

/** The code of a refusal in OpenAI's shape. */
function codeIn({ body }: RawAnswer): string {
  const { error } = JSON.parse(body) as { readonly error: Readonly<Record<string, unknown>> };
  expect(error).toEqual(expect.objectContaining({ message: expect.any(String), type: expect.any(String) }));
  expect(body.length).toBeLessThan(2_000);
  return String(error['code']);
}

/** What a sender begins and does not end. `drips`: it sends one more byte each 50 ms. */
const SLOW: Readonly<Record<string, { readonly begins: string; readonly drips?: true }>> = {
  'a head': { begins: 'GET /v1/models HTTP/1.1\r\nHost: x\r\nX-Slow: ' },
  'an upgrade': { begins: 'GET /v1/responses HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' },
  'a body': { begins: `${head('POST /v1/responses HTTP/1.1', ['Content-Length: 1000']).toString()}{` },
  'a head byte by byte': { begins: 'GET /v1/models HTTP/1.1\r\nHost: x\r\nX-Slow: ', drips: true },
  'a body byte by byte': {
    begins: `${head('POST /v1/responses HTTP/1.1', ['Content-Length: 1000']).toString()}`,
    drips: true,
  },
};

describe('a slow sender', () => {
  it('is refused with 408 when its time is over, while other clients are served [REST-23, ERR-5]', async () => {
    const strict = await GatewayHarness.start({ config: { http: { request_timeout: '1s' } } });
    strict.says('Hello');
    const answers = Object.entries(SLOW).map(async ([what, { begins, drips }]) => {
      const raw = await RawHttp.open(strict.gateway.port);
      raw.send(begins);
      const drip = drips === undefined ? undefined : setInterval(() => raw.send('x'), 50);
      const answer = await raw.answer();
      clearInterval(drip);
      return [what, answer.status, codeIn(answer)];
    });
    expect((await strict.post({ input: 'Hi' })).body).toMatchObject({ output_text: 'Hello' });
    expect(await Promise.all(answers)).toEqual(Object.keys(SLOW).map((what) => [what, 408, 'request_timeout']));
    await strict.close();
  });
});

const CELLS = Object.entries(TABLE).flatMap(([kind, row]) =>
  Object.entries(row).map(([channel, cell]) => [kind, channel as Channel, cell] as const),
);

describe('hostile input', () => {
  it.each(CELLS)('is answered as documented: %s in a %s [ERR-1, ERR-2, REST-2, WS-4]', async (_kind, channel, cell) => {
    const [sent, answer] = cell;
    expect(await answerTo(channel, sent)).toBe(answer);
    const client = await harness.connect();
    expect(terminalOf(await client.run({ input: 'Hi' })).output_text).toBe('Hello');
  });

  it('writes no line of level error or fatal to the log', () => {
    // Each line is one object, and none has a level above those of requests.
    const levels = harness.gateway.lines.map((line) => (JSON.parse(line) as { readonly level: string }).level);
    expect(levels.filter((level) => level === 'error' || level === 'fatal')).toEqual([]);
  });

  it('leaves the objects of JavaScript unchanged', () => {
    expect(Object.keys(Object.prototype)).toEqual([]);
  });
});

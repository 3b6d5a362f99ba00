/*
 * The complete output of a process. The tests plant secrets of every shape in every input from
 * outside, at the most verbose level, and none may appear. They also change the level of a running
 * process.
 */

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { FakeOpenAiServer } from '../support/fake-openai-server.js';
import { RedisServer } from '../../scripts/development/cluster/redis.js';
import { Replica } from '../../scripts/development/cluster/replica.js';
import { type Frame, isTerminalFrame, TestSocket } from '../support/socket.js';

/** Each in its real format, and all different. */
const SECRETS = {
  providerKey: 'sk-proj-aaaa1111bbbb2222cccc3333',
  serverKey: 'sk-sluice-dddd4444eeee5555ffff6666',
  redisPassword: 'r3dis/p@ss word:7777',
  wrongKey: 'sk-gggg8888hhhh9999iiii0000',
  jwt: 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ6In0.c2lnbmF0dXJlLW9mLWEtdG9rZW4',
  cookie: 'session=jjjj1111kkkk2222',
  basic: Buffer.from('user:llll3333mmmm').toString('base64'),
  query: 'sk-nnnn4444oooo5555pppp6666',
  subprotocol: 'sk-qqqq7777rrrr8888ssss9999',
  quoted: 'sk-tttt0000uuuu1111vvvv2222',
  words: 'xylophone quokka zeppelin',
} as const;

let provider: FakeOpenAiServer;
let redis: RedisServer;
let replica: Replica;
/** What a start without Redis has written. */
let failedStart: Promise<string>;
beforeAll(async () => {
  // Begins first: it waits 10 s for Redis.
  failedStart = outputOfFailedStart();
  provider = await FakeOpenAiServer.start();
  redis = await RedisServer.start({ settings: ['--requirepass', SECRETS.redisPassword] });
  const file = {
    app: { name: 'support-bot' },
    provider: { type: 'openai', model: 'gpt-4o', base_url: provider.baseUrl, prices: { input: 2.5, output: 10 } },
    state: { type: 'redis', url: `redis://127.0.0.1:${redis.port}`, password_env: 'REDIS_PASSWORD' },
    auth: { mode: 'keys', keys: [{ id: 'k', key_env: 'SLUICE_API_KEY', scopes: ['chat', 'admin'] }] },
    middleware: { provider: { retry: { max_attempts: 1 } } },
    monitoring: { logging: { level: 'trace' } },
  };
  replica = await Replica.start('redaction', file, {
    PATH: process.env['PATH'],
    OPENAI_API_KEY: SECRETS.providerKey,
    SLUICE_API_KEY: SECRETS.serverKey,
    REDIS_PASSWORD: SECRETS.redisPassword,
  });
});
afterAll(async () => {
  await replica.close();
  await redis.close();
  await provider.close();
});

async function outputOfFailedStart(): Promise<string> {
  const child = spawn('node', ['dist/main.js'], {
    env: {
      PATH: process.env['PATH'],
      CONFIG_PATH: 'config/production.yaml',
      OPENAI_API_KEY: SECRETS.providerKey,
      SLUICE_API_KEY: 'sk-sluice-of-a-start-that-fails',
      REDIS_PASSWORD: SECRETS.redisPassword,
    },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (output += String(text)));
  const [code] = (await once(child, 'close')) as [number | null];
  if (code === 0) throw new Error(`the start did not fail: ${output}`);
  return output;
}

function post(
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
  path = '/v1/responses',
): Promise<Response> {
  return fetch(`${replica.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${SECRETS.serverKey}`, ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
}

/** Every secret in each encoding that may appear in the output. */
function shapesOfAll(): [string, string[]][] {
  return Object.entries(SECRETS).map(([name, secret]) => {
    const bytes = Buffer.from(secret);
    const encoded = [encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1)];
    return [name, [secret, ...encoded, bytes.toString('base64').replaceAll('=', ''), bytes.toString('hex')]];
  });
}

it('logs no warnings on a healthy start', () => {
  const logged = replica.lines.map((line) => JSON.parse(line) as { readonly level: string; readonly msg: string });
  // Redis is a process of a machine that may be busy, so it may answer late.
  // test/contract/state-start.spec.ts tests that line.
  const others = logged.filter(({ msg }) => msg !== 'state store does not answer yet');
  expect(others.filter(({ level }) => level === 'warn' || level === 'error')).toEqual([]);
  expect(logged.map(({ msg }) => msg)).toContain('server started');
});

describe('the output of a gateway with planted secrets', () => {
  it('contains no secret at the most verbose level', async () => {
    const quoting = { error: { message: `Incorrect key ${SECRETS.quoted}: ${SECRETS.words}`, code: SECRETS.quoted } };
    // Good turns, then every way in which something from outside may be quoted.
    await post({ input: SECRETS.words, metadata: { note: SECRETS.words }, instructions: SECRETS.words });
    await post({ input: SECRETS.words, stream: true }).then((answer) => answer.text());
    await post({ input: 'x' }, { authorization: `Bearer ${SECRETS.wrongKey}` });
    await post({ input: 'x' }, { authorization: `Bearer ${SECRETS.jwt}` });
    await post({ input: 'x' }, { authorization: `Basic ${SECRETS.basic}` });
    await post(
      { input: 'x' },
      { cookie: SECRETS.cookie, 'x-api-key': SECRETS.wrongKey, 'proxy-authorization': SECRETS.jwt },
    );
    await post(`{"input": "${SECRETS.words}`);
    await post({ input: SECRETS.words, unknown_field: SECRETS.quoted, temperature: SECRETS.words });
    await post({ input: 'x', model: SECRETS.quoted });
    await post({ input: 'x' }, {}, `/v1/responses?api_key=${SECRETS.query}&token=${SECRETS.jwt}`);
    await post({ input: 'x' }, {}, `/v1/nothing/${SECRETS.query}`);
    for (const status of [400, 401, 429, 500]) {
      provider.answerWith({ status, body: quoting });
      await post({ input: SECRETS.words });
    }
    provider.answerWith({ status: 502, body: `<html>${SECRETS.quoted} ${SECRETS.words}` });
    await post({ input: SECRETS.words });
    provider.answerWith({ steps: [{ raw: `data: {"broken ${SECRETS.quoted} ${SECRETS.words}\n\n` }] });
    await post({ input: SECRETS.words });
    provider.answerWith({ steps: [{ raw: `data: ${JSON.stringify(quoting)}\n\n` }] });
    await post({ input: SECRETS.words });

    const bearer = `sluice.bearer.${SECRETS.subprotocol}`;
    await TestSocket.open(replica.socketUrl, { protocols: ['sluice', bearer] }).catch(() => undefined);
    await TestSocket.open(`${replica.socketUrl}?api_key=${SECRETS.query}`).catch(() => undefined);
    const socket = await TestSocket.open(replica.socketUrl, {
      headers: { authorization: `Bearer ${SECRETS.serverKey}`, cookie: SECRETS.cookie },
    });
    for (const frame of [
      `not json ${SECRETS.quoted} ${SECRETS.words}`,
      { type: SECRETS.quoted },
      { type: 'sluice:auth', token: SECRETS.wrongKey },
      { type: 'response.create', input: SECRETS.words, nonsense: SECRETS.words },
    ]) {
      socket.send(frame);
      await socket.next('error');
    }
    socket.close();
    await redis.kill();
    await post({ input: SECRETS.words }).catch(() => undefined);
    await redis.start();
    await replica.stop();

    const output = replica.lines.join('\n');
    expect(replica.lines.length).toBeGreaterThan(30);
    for (const [name, shapes] of shapesOfAll())
      for (const shape of shapes) expect([name, output.includes(shape)]).toEqual([name, false]);
    for (const word of SECRETS.words.split(' ')) expect(output).not.toContain(word);
  });
});

describe('a configuration with secrets where none belong', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-leaks-'));
  const file = join(folder, 'config.yaml');
  afterAll(() => rmSync(folder, { recursive: true }));
  const url = (scheme: string) => `${scheme}://user:${encodeURIComponent(SECRETS.redisPassword)}@example.com`;

  it.each([
    ['checked', ['dist/cli/sluice.js', 'config', 'check', file], {}],
    ['started', ['dist/main.js'], { CONFIG_PATH: file }],
  ])('refuses a configuration key by key, without its secrets, when it is %s', (_how, args, env) => {
    const wrong = {
      provider: { type: 'openai', api_key: SECRETS.providerKey, api_key_env: SECRETS.wrongKey, base_url: url('https') },
      state: { type: 'redis', url: url('redis'), password_env: SECRETS.redisPassword },
      auth: { mode: 'keys', keys: [{ id: 'k', key_env: SECRETS.serverKey, key_sha256: SECRETS.quoted }] },
      monitoring: { tracing: { enabled: true, endpoint: `${url('http')}/v1/traces?api_key=${SECRETS.query}` } },
    };
    writeFileSync(file, JSON.stringify(wrong));
    const { status, stdout, stderr } = spawnSync('node', args, {
      env: { PATH: process.env['PATH'], ...env },
      encoding: 'utf8',
    });
    expect(status).toBe(78);
    for (const key of ['api_key', 'api_key_env', 'base_url', 'state.url', 'password_env', 'key_sha256', 'endpoint'])
      expect(stdout + stderr).toContain(key);
    for (const [name, shapes] of shapesOfAll())
      for (const shape of shapes) expect([name, (stdout + stderr).includes(shape)]).toEqual([name, false]);
  });
});

/**
 * Waits for an event of this type.
 * @throws if an error or the end of a response comes instead, which nothing would follow
 */
async function expectNext(socket: TestSocket, wanted: string): Promise<Frame> {
  const frame = await socket.next((next) => next.type === wanted || next.type === 'error' || isTerminalFrame(next));
  expect(frame).toMatchObject({ type: wanted });
  return frame;
}

/** Sends an event until the replica takes it: on a busy machine it may refuse work for a moment. */
async function ask(socket: TestSocket, event: object, wanted: string): Promise<Frame> {
  for (;;) {
    socket.send(event);
    const frame = await socket.next(({ type }) => type === wanted || type === 'error');
    if (frame['status'] !== 503) {
      expect(frame).toMatchObject({ type: wanted });
      return frame;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

describe('one log search over two replicas', () => {
  it('finds every line of a response: its creation, its reads and cancel on another replica, its end', async () => {
    const shared = await RedisServer.start();
    const file = { state: { type: 'redis', url: shared.url }, monitoring: { logging: { level: 'debug' } } };
    const [first, second] = await Promise.all([Replica.start('first', file), Replica.start('second', file)]);
    try {
      const asking = await TestSocket.open(first.socketUrl);
      const ids: string[] = [];
      for (const input of ['demo: hang after=2', 'demo: hang after=1']) {
        const create = { type: 'response.create', input, stream_id: `lane-${ids.length}` };
        ids.push(((await ask(asking, create, 'response.created'))['response'] as { readonly id: string }).id);
      }
      const [cancelled = '', orphaned = ''] = ids;
      const reading = await TestSocket.open(second.socketUrl);
      reading.send({ type: 'sluice:resume', response_id: cancelled });
      await expectNext(reading, 'response.output_text.delta');
      reading.send({ type: 'response.cancel', response_id: cancelled });
      await expectNext(reading, 'response.incomplete');
      reading.send({ type: 'sluice:resume', response_id: orphaned });
      await expectNext(reading, 'response.output_text.delta');
      // The end reaches the reader before the replica that wrote it has logged it.
      const isEnd = (line: string): boolean => line.includes(cancelled) && line.includes('"request completed"');
      while (!first.lines.some(isEnd)) await new Promise((resolve) => setTimeout(resolve, 20));
      await first.kill();
      await expectNext(reading, 'response.failed');
      reading.close();
      await reading.closed;
      await second.stop();

      const logged = (replica: Replica, id: string) =>
        replica.lines
          .map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>)
          .filter((line) => line['response_id'] === id)
          .map(({ msg, starting_after: after }) =>
            after === undefined ? msg : `${String(msg)} after ${String(after)}`,
          );
      expect(logged(first, cancelled)).toEqual([
        'request received',
        'response opened for reading after -1',
        'request completed',
      ]);
      expect(logged(second, cancelled)).toEqual(['response opened for reading after -1', 'cancel requested']);
      expect(logged(first, orphaned)).toEqual(['request received', 'response opened for reading after -1']);
      expect(logged(second, orphaned)).toEqual([
        'response opened for reading after -1',
        'ended the turn of a lost replica',
      ]);
      const sockets = second.lines.filter((line) => line.includes('"socket '));
      expect(sockets.map((line) => (JSON.parse(line) as { readonly msg: string }).msg)).toEqual([
        'socket opened',
        'socket closed',
      ]);
    } finally {
      await Promise.all([first.close(), second.close()]);
      await shared.close();
    }
  });
});

describe('the log level', () => {
  it('changes to debug with SIGUSR2 and back with the next one', async () => {
    const quiet = await Replica.start('levels', { monitoring: { logging: { level: 'error' } } });
    const levels = () =>
      quiet.lines.flatMap((line) => {
        const entry = JSON.parse(line) as { readonly msg: string; readonly level_now?: string };
        return entry.msg === 'log level changed' ? [entry.level_now] : [];
      });
    const received = () => quiet.lines.filter((line) => line.includes('"request received"')).length;
    const ask = () =>
      fetch(`${quiet.url}/v1/responses`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: '{"input":"demo: deltas=1 interval=1ms"}',
      }).then((answer) => answer.text());
    const turn = async (times: number) => {
      process.kill(quiet.pid ?? 0, 'SIGUSR2');
      while (levels().length < times) await new Promise((resolve) => setTimeout(resolve, 20));
    };
    try {
      await ask();
      expect(received()).toBe(0);
      await turn(1);
      await ask();
      expect(received()).toBe(1);
      await turn(2);
      await ask();
      expect(received()).toBe(1);
      expect(levels()).toEqual(['debug', 'error']);
    } finally {
      await quiet.close();
    }
  });
});

describe('the output of a start without Redis', () => {
  it('contains no secret', async () => {
    const output = await failedStart;
    expect(output).not.toBe('');
    for (const secret of [SECRETS.providerKey, SECRETS.redisPassword]) expect(output).not.toContain(secret);
  });
});

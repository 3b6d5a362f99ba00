/*
 * What a guardrail withheld is withheld everywhere. Markers are planted in answers, reasoning and
 * arguments that are cut at random, and everything that can be read is searched for them: each REST
 * route, the socket with resumes and subscriptions, the log, metrics, traces and Redis. The list of
 * routes is that of the controllers, so a new one without a case fails.
 */

import { once } from 'node:events';
import { globSync, readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { type AddressInfo } from 'node:net';
import { inflateRawSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import { RedisServer } from '../../scripts/development/cluster/redis.js';
import { deltaChunk, DONE, type FakeStep, finishChunk, usageChunk } from '../support/fake-openai-server.js';
import { GatewayHarness, ONE_TRY, responseIn, terminalOf } from '../support/gateway-harness.js';

/** Rounds of eight turns with up to three markers each; `npm run soak -- truth` sets more. */
const ROUNDS = Number(process.env['TRUTH_ROUNDS'] ?? 6);
const SEED = Number(process.env['TRUTH_SEED'] ?? 20_261_129);

/** Every marker contains one of these; no other text of the test does. */
const LEAKED = /leak\.example|zq\d|quorvex/u;
const BANNED = 'quorvex';

const BACKEND = 'sk-backend-0000000000000000000000000001';
const AS_BACKEND = { authorization: `Bearer ${BACKEND}` };
/** Everything belongs to this user, so that it can be exported. */
const AS_USER = { ...AS_BACKEND, 'sluice-user': 'ann' };

/** Repeatable random numbers below `n` (mulberry32). */
let state = SEED;
function random(n: number): number {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) % n;
}

let redis: RedisServer;
let collector: Server;
let harness: GatewayHarness;
const traces: string[] = [];
let planted = 0;

beforeAll(async () => {
  redis = await RedisServer.start();
  collector = createServer((request, response) => {
    request.on('data', (chunk) => traces.push(String(chunk)));
    request.on('end', () => response.setHeader('content-type', 'application/json').end('{}'));
  });
  collector.listen(0, '127.0.0.1');
  await once(collector, 'listening');
  const endpoint = `http://127.0.0.1:${(collector.address() as AddressInfo).port}/v1/traces`;
  harness = await GatewayHarness.start({
    config: {
      middleware: { ...ONE_TRY, validator: { banned_words: [BANNED], guardrails: [{ type: 'pii' }] } },
      state: { type: 'redis', url: `redis://127.0.0.1:${redis.port}` },
      clients: { allow: { reasoning: true } },
      compaction: { key_env: 'SUMMARY_KEY' },
      auth: { mode: 'keys', keys: [{ id: 'backend', key_env: 'BACKEND', tenant: 'shop', scopes: ['chat', 'admin'] }] },
      monitoring: { tracing: { enabled: true, endpoint }, logging: { level: 'trace' } },
    },
    env: { BACKEND, SUMMARY_KEY: 'a-key-of-forty-characters-for-summaries.' },
  });
}, 60_000);
afterAll(async () => {
  await harness.close();
  await redis.close();
  collector.closeAllConnections();
  collector.close();
});

/** English with markers: mostly addresses, which are replaced, and at times a word that stops. */
function text(json = false): string {
  const words = Array.from(
    { length: 4 + random(12) },
    () => ['the', 'a', 'big-', 'cat.', 'who', 'said,', 'so'][random(7)],
  );
  const count = 1 + random(3);
  planted += count;
  for (let i = 0; i < count; i += 1) {
    const marker = random(8) === 0 ? BANNED : `zq${random(1_000_000)}@leak.example`;
    words.splice(random(words.length + 1), 0, json && random(2) === 0 ? escaped(marker) : marker);
  }
  return words.join(json ? '\\n' : ' ');
}

const escaped = (marker: string): string =>
  [...marker].map((c) => (random(3) === 0 ? `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}` : c)).join('');

function cut(whole: string): string[] {
  const pieces: string[] = [];
  for (let at = 0; at < whole.length;) {
    const length = 1 + random(9);
    pieces.push(whole.slice(at, at + length));
    at += length;
  }
  return pieces;
}

/** The provider answers the next turns with reasoning, text and a call, each with markers. */
function plant(): void {
  harness.provider.answerWith(() => {
    const steps: FakeStep[] = [
      ...cut(text()).map((piece) => deltaChunk({ reasoning_content: piece })),
      ...cut(text()).map((piece) => deltaChunk({ content: piece })),
    ];
    if (random(3) === 0) {
      const call = { index: 0, id: `c${random(1e9)}`, type: 'function' };
      steps.push(deltaChunk({ tool_calls: [{ ...call, function: { name: 'f', arguments: '' } }] }));
      for (const piece of cut(`{"text":"${text(true)}"}`)) {
        steps.push(deltaChunk({ tool_calls: [{ index: 0, function: { arguments: piece } }] }));
      }
      return { steps: [...steps, finishChunk('tool_calls'), usageChunk(), DONE] };
    }
    return { steps: [...steps, finishChunk(), usageChunk(), DONE] };
  });
}

const TOOLS = [{ type: 'function', name: 'f', parameters: { type: 'object' } }];

/** What a turn left behind: everything by which it can be read later. */
interface Turn {
  readonly conversation: string;
  readonly response: string;
}

async function read(
  path: string,
  body?: object,
  accepted = [200],
  headers: Readonly<Record<string, string>> = AS_USER,
): Promise<string> {
  const answer = await harness.fetch(path, { headers, ...(body === undefined ? {} : { method: 'POST', body }) });
  const received = await answer.text();
  if (!accepted.includes(answer.status)) throw new Error(`${path} answered ${answer.status}: ${received}`);
  return received;
}

const run = (fields: object): Promise<string> => read('/v1/responses', { input: 'Hi', tools: TOOLS, ...fields });
const NO_TEXT = 'carries no text of a model';
const messages = [{ role: 'user', content: 'Hi' }];

/** How each route is read, or why there is nothing to read. */
const ROUTES: Readonly<Record<string, string | ((turn: Turn) => Promise<string>)>> = {
  'POST /v1/responses': async ({ conversation }) => (await run({ conversation })) + (await run({ stream: true })),
  'GET /v1/responses/:id': async ({ response }) =>
    (await read(`/v1/responses/${response}`)) + (await read(`/v1/responses/${response}?stream=true&starting_after=2`)),
  'GET /v1/responses/:id/input_items': ({ response }) => read(`/v1/responses/${response}/input_items`),
  // 400: a guardrail refused the summary.
  'POST /v1/responses/compact': ({ response }) =>
    read('/v1/responses/compact', { model: 'fake-model', previous_response_id: response }, [200, 400]),
  'POST /v1/chat/completions': async () =>
    (await read('/v1/chat/completions', { model: 'fake-model', messages })) +
    (await read('/v1/chat/completions', { model: 'fake-model', messages, stream: true })),
  'GET /v1/conversations/:id/items': ({ conversation }) => read(`/v1/conversations/${conversation}/items`),
  'GET /v1/conversations/:id/items/:item': async ({ conversation }) => {
    const { data } = JSON.parse(await read(`/v1/conversations/${conversation}/items`)) as { data: { id: string }[] };
    const items = data.map(({ id }) => read(`/v1/conversations/${conversation}/items/${id}`));
    return (await Promise.all(items)).join('');
  },
  'GET /v1/conversations': () => read('/v1/conversations'),
  'GET /v1/conversations/:id': ({ conversation }) => read(`/v1/conversations/${conversation}`),
  'POST /v1/responses/:id/cancel': ({ response }) => read(`/v1/responses/${response}/cancel`, {}),
  'GET /v1/models': () => read('/v1/models'),
  'GET /v1/prompts': () => read('/v1/prompts'),
  'POST /v1/conversations': NO_TEXT,
  'POST /v1/conversations/:id': NO_TEXT,
  'DELETE /v1/conversations/:id': NO_TEXT,
  'POST /v1/conversations/:id/items': NO_TEXT,
  'DELETE /v1/conversations/:id/items/:item': NO_TEXT,
  'DELETE /v1/responses/:id': NO_TEXT,
  'POST /v1/responses/input_tokens': NO_TEXT,
  'GET /v1/models/:id': NO_TEXT,
  'POST /v1/client_secrets': NO_TEXT,
  'DELETE /v1/client_secrets/:id': NO_TEXT,
  'POST /v1/users/:user/revoke': NO_TEXT,
  'GET /v1/users/:user/export': async ({ response }) => {
    const exported = await read('/v1/users/ann/export', undefined, [200], AS_BACKEND);
    expect(exported).toContain(response);
    return exported;
  },
  'DELETE /v1/users/:user': NO_TEXT,
};

/** `POST /v1/conversations/:id/items`, from the decorators of the controllers. */
function routesOf(file: string): string[] {
  const source = readFileSync(file, 'utf8');
  const root = /@Controller\('([^']*)'\)/u.exec(source)?.[1] ?? '';
  return [...source.matchAll(/@(Get|Post|Delete|Put|Patch)\((?:'([^']*)')?\)/gu)].map(
    ([, method = '', path = '']) => `${method.toUpperCase()} /${[root, path].filter(Boolean).join('/')}`,
  );
}

/** A turn over a socket that another socket watches and a third one resumes. */
async function overSockets(): Promise<{ readonly turn: Turn; readonly seen: string }> {
  const { id: conversation } = JSON.parse(await read('/v1/conversations', {})) as { id: string };
  const connect = (): ReturnType<GatewayHarness['connect']> => harness.connect({ headers: AS_USER });
  const [asker, watcher, second] = [await connect(), await connect(), await connect()];
  watcher.send({ type: 'sluice:subscribe', conversation });
  await watcher.until('sluice:subscribed');
  const frames = await asker.run({ input: 'Hi', tools: TOOLS, conversation });
  const { id: response } = terminalOf(frames);
  second.send({ type: 'sluice:resume', response_id: response, starting_after: random(4) });
  const ended = ['response.completed', 'response.incomplete', 'response.failed'];
  for (const client of [watcher, second]) {
    while (!client.frames.some(({ type }) => ended.includes(type))) await once(client.socket, 'message');
  }
  const background = JSON.parse(await run({ background: true })) as { id: string };
  for (let status = 'queued'; status === 'queued' || status === 'in_progress';) {
    const polled = JSON.parse(await read(`/v1/responses/${background.id}`)) as { status: string };
    status = polled.status;
  }
  const seen = JSON.stringify([frames, watcher.frames, second.frames, responseIn(frames.at(-1))]);
  await harness.hangUp();
  return { turn: { conversation, response }, seen: seen + (await read(`/v1/responses/${background.id}`)) };
}

/**
 * Every value in Redis, with the blocks of packed logs unpacked: their base64 hides leaks, and may
 * contain a marker by chance.
 */
async function inRedis(): Promise<string> {
  const client = new Redis(redis.port, '127.0.0.1');
  try {
    let found = '';
    for (const key of await client.keys('*')) {
      const type = await client.type(key);
      if (type === 'string') found += String(await client.getBuffer(key));
      else if (type === 'hash') found += JSON.stringify(await client.hgetall(key));
      else if (type === 'list') found += JSON.stringify(await client.lrange(key, 0, -1));
      else if (type === 'stream') found += JSON.stringify(await client.xrange(key, '-', '+'));
      else found += key;
    }
    return found.replaceAll(/z1:([\w+/=]+)/g, (_, block: string) =>
      inflateRawSync(Buffer.from(block, 'base64')).toString(),
    );
  } finally {
    client.disconnect();
  }
}

describe('what guardrails withhold', () => {
  it('tests the withheld text on every route [GUARD-9]', () => {
    const routes = globSync('src/rest/*.controller.ts').flatMap(routesOf);
    expect(Object.keys(ROUTES).sort()).toEqual(routes.sort());
  });

  it('shows withheld text over no route, event or stream [GUARD-9]', async () => {
    for (let round = 0; round < ROUNDS; round += 1) {
      plant();
      const { turn, seen } = await overSockets();
      expect(seen).not.toMatch(LEAKED);
      for (const [route, reading] of Object.entries(ROUTES)) {
        if (typeof reading === 'string') continue;
        const received = await reading(turn);
        expect([route, LEAKED.exec(received)?.[0]]).toEqual([route, undefined]);
      }
    }
    expect(planted).toBeGreaterThan(ROUNDS * 10);
    const { url: _, opsUrl, lines } = harness.gateway;
    expect(lines.join('\n')).not.toMatch(LEAKED);
    expect(await (await fetch(`${opsUrl}/metrics`)).text()).not.toMatch(LEAKED);
    while (!traces.join('').includes('chat fake-model')) await once(collector, 'request');
    expect(traces.join('')).not.toMatch(LEAKED);
    const stored = await inRedis();
    expect(stored.length).toBeGreaterThan(1_000);
    expect(stored).not.toMatch(LEAKED);
  }, 600_000);
});

/*
 * Two versions side by side on one Redis, seen from the later one: what version 1.0.0 wrote is
 * served, a replica of it that still writes is followed, cancelled, waited for and outlived, and
 * its own scripts find what this build writes. Its part is played from a recording of every command
 * that it sent.
 */

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { bucketOf } from '../../src/state/redis/redis-keys.js';
import { FakeOpenAiServer, textAnswer } from '../support/fake-openai-server.js';
import { RecordedRedis, type RecordedTurn, splitAfter } from '../support/recorded-redis.js';
import { RedisServer } from '../../scripts/development/cluster/redis.js';
import { Replica } from '../../scripts/development/cluster/replica.js';
import { type Frame, isTerminalFrame, TestSocket } from '../support/socket.js';

const before = new RecordedRedis('test/fixtures/redis-1.0.0');
const { received } = before;

interface Setup {
  readonly redis: RedisServer;
  readonly replica: Replica;
}

let provider: FakeOpenAiServer;
/** Begun together, because each has a turn whose lease has to expire, which takes 10 s. */
let readByBefore: Promise<Setup>;
let leftByBefore: Promise<Setup>;
let writtenByBefore: Promise<Setup & { readonly fenced: Promise<unknown[]> }>;
beforeAll(async () => {
  provider = await FakeOpenAiServer.start(({ body }) =>
    JSON.stringify(body.messages?.at(-1) ?? '').includes('hang')
      ? { steps: [...hangs(), { hang: true } as const] }
      : textAnswer(['an answer ', 'of this build']),
  );
  readByBefore = setUp();
  leftByBefore = setUp(before.commands);
  writtenByBefore = setUp(before.of('conversation', 'tool', 'tool-output', 'other conversation', 'running')).then(
    (setup) => ({ ...setup, fenced: eventsOf(setup.replica, before.turn('running').id) }),
  );
  await Promise.all([readByBefore, leftByBefore, writtenByBefore]);
});
afterAll(() => provider.close());

function hangs() {
  return [{ chunk: { choices: [{ index: 0, delta: { content: 'one two' }, finish_reason: null }] } }];
}

function startReplica(redis: RedisServer): Promise<Replica> {
  const config = {
    app: { name: 'support-bot' },
    provider: { type: 'openai', model: 'fake-model', base_url: provider.baseUrl },
    state: { type: 'redis', url: redis.url },
    middleware: { template: { enabled: false }, validator: { banned_words: ['hack'] } },
    limits: { per_user: { requests_per_minute: 30 } },
  };
  return Replica.start('this build', config, { ...process.env, OPENAI_API_KEY: 'sk-test' });
}

/** A replica of this build on a Redis in which these commands were run. */
async function setUp(commands: RecordedRedis['commands'] = []): Promise<Setup> {
  const redis = await RedisServer.start();
  await before.play(redis.admin, commands);
  return { redis, replica: await startReplica(redis) };
}

interface Answer<T> {
  readonly status: number;
  readonly headers: Headers;
  readonly body: T;
}

async function ask<T>({ url }: Replica, path: string, body?: object, headers: Record<string, string> = {}) {
  const init = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) };
  const answer = await fetch(url + path, { ...init, headers: { 'content-type': 'application/json', ...headers } });
  // The caller names the shape that the protocol gives.
  return { status: answer.status, headers: answer.headers, body: (await answer.json()) as T } satisfies Answer<T>;
}

interface ResponseBody {
  readonly id: string;
  readonly status: string;
  readonly output_text: string;
  readonly error: { readonly code: string } | null;
}

async function eventsOf({ url }: Replica, id: string, after = -1): Promise<unknown[]> {
  const answer = await fetch(`${url}/v1/responses/${id}?stream=true${after < 0 ? '' : `&starting_after=${after}`}`);
  const text = await answer.text();
  return [...text.matchAll(/^data: (\{.*)$/gm)].map(([, data = '']) => JSON.parse(data) as unknown);
}

/** The messages of the newest call to the provider. */
function sentToTheProvider(): readonly Readonly<Record<string, unknown>>[] {
  return provider.requests.filter(({ body }) => body.messages !== undefined).at(-1)?.body.messages ?? [];
}

describe('a replica of version 1.0.0 that reads the data of this build', () => {
  let redis: RedisServer;
  let replica: Replica;
  beforeAll(async () => {
    ({ redis, replica } = await readByBefore);
  });
  afterAll(async () => {
    await replica.close();
    await redis.close();
  });

  it('finds every response in its bucket', () => {
    const created = before.commands.filter(({ script }) => script === 'create');
    expect(created.length).toBeGreaterThan(8);
    for (const { args } of created) expect(args[1]).toContain(`{b${bucketOf(args[1 + Number(args[0])] ?? '')}}`);
  });

  it('finds the log of a turn with its head, and events that begin with their type and have their numbers', async () => {
    const { body } = await ask<ResponseBody>(replica, '/v1/responses', { input: 'Hello', metadata: { a: 'b' } });
    const { meta, log } = before.keysIn(bucketOf(body.id), body.id);
    const [next, ended, head, ...events] = (await before.run(
      redis.admin,
      'read',
      [meta, log],
      [-1, 500, 1],
    )) as string[];
    expect([Number(next), ended]).toEqual([events.length, '1']);
    const stored = { item: { type: 'message', role: 'user' }, responseId: body.id, withheld: false };
    expect(JSON.parse(head ?? '')).toMatchObject({
      responseId: body.id,
      owner: 'anonymous',
      conversationId: null,
      store: true,
      input: [stored],
    });
    const known = new Set(Object.values(received.turns).flatMap(({ events: seen }) => seen.map(({ type }) => type)));
    for (const [i, json] of events.entries()) {
      const { type, sequence_number: sequence } = JSON.parse(json) as { type: string; sequence_number: number };
      expect(json.startsWith(`{"type":"${type}","sequence_number":${i},`)).toBe(true);
      expect(sequence).toBe(i);
      expect(known).toContain(type);
    }
    expect(events.at(-1)).toMatch(/^\{"type":"response\.completed"/);
    const asStored = JSON.parse(String(await redis.admin.get(`support-bot:response:${body.id}`))) as object;
    const sample = before.commands.find(({ command, args }) => command === 'SET' && args[0]?.includes(':response:'));
    expect(asStored).toMatchObject({
      owner: 'anonymous',
      response: { id: body.id },
      terminalSequence: events.length - 1,
    });
    // Whatever 1.0.0 wrote there it may look for.
    expect(Object.keys(asStored)).toEqual(
      expect.arrayContaining(Object.keys(JSON.parse(sample?.args[1] ?? '{}') as object)),
    );
  });

  it('finds a conversation, its items, and its place in line', async () => {
    const { body } = await ask<{ id: string }>(replica, '/v1/conversations', { metadata: { topic: 'x' } });
    await ask(replica, '/v1/responses', { conversation: body.id, input: 'Hello' });
    const [, headKey = '', itemsKey = '', commitsKey = ''] =
      before.commands.find(({ script }) => script === 'conversation-create')?.args ?? [];
    const keys = [headKey, itemsKey, commitsKey].map((key) => key.replace(received.conversation.id, body.id));
    const [owner, created, updated, metadata] = (await before.run(
      redis.admin,
      'conversation-read',
      keys,
      [0],
    )) as string[];
    expect([owner, JSON.parse(metadata ?? '')]).toEqual(['anonymous', { topic: 'x' }]);
    expect(Number(created)).toBeGreaterThan(1_700_000_000);
    expect(Number(updated)).toBeGreaterThanOrEqual(Number(created));
    const items = (await before.run(redis.admin, 'conversation-items', keys, [0, -1])) as string[];
    expect(items.map((json) => JSON.parse(json) as unknown)).toMatchObject([
      { item: { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'Hello' }] }, withheld: false },
      { item: { role: 'assistant', content: [{ type: 'output_text', text: 'an answer of this build' }] } },
    ]);
    const queue = headKey.replace(received.conversation.id, body.id).replace(':head', ':queue');
    expect(await before.run(redis.admin, 'claim-look', [queue], ['resp_x', 1_000])).toEqual([-1]);
    const { id } = await ask<ResponseBody>(replica, '/v1/responses', {
      conversation: body.id,
      input: 'hang',
      background: true,
    }).then((answer) => answer.body);
    expect(await before.run(redis.admin, 'claim-join', [queue], ['resp_of_1.0.0', 8, 1_000])).toBe(1);
    expect(
      ((await before.run(redis.admin, 'claim-look', [queue], ['resp_of_1.0.0', 1_000])) as unknown[]).slice(0, 2),
    ).toEqual([1, id]);
    await ask(replica, `/v1/responses/${id}/cancel`, {});
  });

  it('receives events in its format, and the response of an idempotency key', async () => {
    const messages: string[] = [];
    const ear = redis.admin.duplicate();
    ear.on('pmessage', (_pattern, _channel, message) => messages.push(message));
    await ear.psubscribe('support-bot:{b*}:live:*');
    const headers = { 'idempotency-key': 'asked-of-this-build' };
    const { body } = await ask<ResponseBody>(replica, '/v1/responses', { input: 'Hello' }, headers);
    ear.disconnect();
    // The log holds the first event from its creation: no reader can have subscribed before.
    let next = 1;
    for (const message of messages) {
      const [first, ...events] = message.split('\n');
      expect(Number(first)).toBe(next);
      for (const json of events) expect(JSON.parse(json)).toMatchObject({ sequence_number: next++ });
    }
    expect(next).toBeGreaterThan(5);
    const recorded = before.commands.find(({ command, args }) => command === 'SET' && args[0]?.includes(':once:'));
    const [held] = (await redis.admin.keys('support-bot:once:*')) as string[];
    const value = JSON.parse(String(await redis.admin.get(held ?? ''))) as string[];
    expect(value[0]).toBe(body.id);
    expect(value[1]?.length).toBe((JSON.parse(recorded?.args[1] ?? '[]') as string[])[1]?.length);
  });

  it('takes over a turn whose replica died, and this build sends the end that it wrote', async () => {
    const { id } = (await ask<ResponseBody>(replica, '/v1/responses', { input: 'hang', background: true })).body;
    while ((await ask<ResponseBody>(replica, `/v1/responses/${id}`)).body.output_text !== 'one two')
      await new Promise((resolve) => setTimeout(resolve, 20));
    await replica.kill();
    const { meta, log, leases } = before.keysIn(bucketOf(id), id);
    let adopted: unknown[] = [];
    while (adopted.length === 0) {
      adopted = (await before.run(redis.admin, 'adopt', [leases], [16])) as unknown[];
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    expect(adopted).toEqual([id, 2]);
    const [next] = (await before.run(redis.admin, 'read', [meta, log], [-1, 0, 0])) as string[];
    const end = before.turn('cancelled').events.at(-1);
    const terminal = JSON.stringify({ ...end, sequence_number: Number(next), response: { ...end?.response, id } });
    expect(await before.run(redis.admin, 'append', [meta, log, leases], [2, Number(next), 1, 1, terminal])).toEqual([
      1,
    ]);
    await replica.start();
    const events = await eventsOf(replica, id);
    expect(events.at(-1)).toEqual(JSON.parse(terminal));
    expect(events).toHaveLength(Number(next) + 1);
  });
});

describe('what version 1.0.0 left in Redis', () => {
  const ended = Object.entries(received.turns).filter(([, { response }]) => response !== undefined);
  let redis: RedisServer;
  let replica: Replica;
  beforeAll(async () => {
    ({ redis, replica } = await leftByBefore);
  });
  afterAll(async () => {
    await replica.close();
    await redis.close();
  });

  it('includes turns of every kind', () => {
    expect(ended.map(([, { response }]) => response?.['status'])).toEqual(
      expect.arrayContaining(['completed', 'cancelled']),
    );
    expect(Object.keys(received.turns)).toHaveLength(9);
  });

  it.each(ended)('retrieves a response of version 1.0.0 unchanged: %s', async (_name, { id, response }) => {
    expect((await ask(replica, `/v1/responses/${id}`)).body).toEqual(response);
  });

  it.each(ended)(
    'replays a response of version 1.0.0 event by event, whole and from the middle: %s',
    async (_name, { id, events }) => {
      expect(await eventsOf(replica, id)).toEqual(events);
      expect(await eventsOf(replica, id, 3)).toEqual(events.slice(4));
    },
  );

  it('includes conversations with unchanged items, in the list of their owner', async () => {
    const { id, head, items } = received.conversation;
    const found = await ask<Record<string, unknown>>(replica, `/v1/conversations/${id}`);
    expect(found.body).toMatchObject({ id, metadata: head['metadata'], created_at: head['created_at'] });
    const listed = await ask<{ data: unknown[] }>(replica, `/v1/conversations/${id}/items?order=asc&limit=100`);
    // This version adds `sluice.author` to an item, and changes nothing else of it.
    expect(listed.body.data).toMatchObject(items);
    const all = await ask<{ data: { id: string }[] }>(replica, '/v1/conversations');
    expect(all.body.data.map((one) => one.id)).toEqual(expect.arrayContaining([id, received.other]));
  });

  it('continues a conversation with all its items, without withheld text', async () => {
    const answered = await ask<ResponseBody>(replica, '/v1/responses', {
      conversation: received.conversation.id,
      input: 'And then?',
    });
    expect(answered.body).toMatchObject({ status: 'completed', output_text: 'an answer of this build' });
    const sent = sentToTheProvider();
    expect(sent.map(({ role }) => role)).toEqual([
      'user',
      'assistant',
      'tool',
      'assistant',
      'user',
      'assistant',
      'user',
    ]);
    expect(JSON.stringify(sent)).toContain('celsius');
    expect(sent[5]).toMatchObject({ content: '0 1 2 3 4 5 6 7' });
    expect(JSON.stringify(sent)).not.toContain('hack');
  });

  it('continues a chain of responses', async () => {
    const { id } = before.turn('continued');
    await ask(replica, '/v1/responses', { previous_response_id: id, input: 'And then?' });
    expect(sentToTheProvider().map(({ role }) => role)).toEqual(['user', 'assistant', 'user', 'assistant', 'user']);
  });

  it('returns the same response for an idempotency key, and refuses another body', async () => {
    const { id, request, headers } = before.turn('said');
    const again = await ask<ResponseBody>(replica, '/v1/responses', { ...request, stream: false }, headers);
    expect([again.status, again.body.id ?? again.body]).toEqual([200, id]);
    const other = await ask<{ error: { code: string } }>(replica, '/v1/responses', { input: 'else' }, headers);
    expect(other.body.error.code).toBe('idempotency_key_reused');
  });

  it('ends unfinished turns of version 1.0.0 with their text, in conversations that accept the next turn', async () => {
    const end = async ({ id }: RecordedTurn) => (await eventsOf(replica, id)).at(-1);
    expect(await end(before.turn('running'))).toMatchObject({
      type: 'response.failed',
      response: { status: 'failed', error: { code: 'replica_lost' }, output_text: 'lorem ipsum dolor' },
    });
    expect(await end(before.turn('waiting'))).toMatchObject({ response: { error: { code: 'replica_lost' } } });
    const next = await ask<ResponseBody>(replica, '/v1/responses', { conversation: received.other, input: 'And now?' });
    expect(next.body.status).toBe('completed');
    expect(sentToTheProvider().map(({ content }) => content)).toEqual([
      'demo: hang after=3',
      'lorem ipsum dolor',
      'And now?',
    ]);
  });

  // The last one, because it leaves no turn to the others.
  it('continues limits from their counts', async () => {
    // The bucket fills while this machine works, so 1.0.0 takes again until it is empty.
    const takes = before.commands.filter(({ script }) => script === 'take');
    for (let i = 0; i < 5; i++) await before.play(redis.admin, takes);
    const { status, headers } = await ask(replica, '/v1/responses', { input: 'Hello' });
    // A bucket of its own would have had one turn taken.
    expect([200, 429]).toContain(status);
    expect(Number(headers.get('x-ratelimit-remaining-requests'))).toBeLessThan(30 - 9);
  });
});

describe('a replica of version 1.0.0 that still writes', () => {
  let redis: RedisServer;
  let replica: Replica;
  let fenced: Promise<unknown[]>;
  beforeAll(async () => {
    ({ redis, replica, fenced } = await writtenByBefore);
  });
  afterAll(async () => {
    await replica.close();
    await redis.close();
  });

  it('follows a turn of version 1.0.0 live, announces it to watchers, and waits for it in its conversation', async () => {
    const { id, events } = before.turn('said');
    const conversation = received.conversation.id;
    const watcher = await TestSocket.open(replica.socketUrl);
    watcher.send({ type: 'sluice:subscribe', conversation });
    await watcher.next('sluice:subscribed');
    const [first, rest] = splitAfter(before.of('said'), 'append', 4);

    await before.play(redis.admin, first);
    expect(await watcher.next('sluice:turn')).toMatchObject({ conversation, response_id: id });
    const viewer = await TestSocket.open(replica.socketUrl);
    viewer.send({ type: 'sluice:resume', response_id: id });
    await viewer.next('response.output_text.delta');
    const waiting = await TestSocket.open(replica.socketUrl);
    waiting.send({ type: 'response.create', conversation, input: 'and this build?' });
    await waiting.next('response.queued');
    const asked = provider.requests.length;

    await before.play(redis.admin, rest);
    for (const socket of [watcher, viewer]) {
      await socket.next(isTerminalFrame);
      // The watcher has its own lane, which also announces the queued turn.
      const ofThisTurn = ({ type, response }: Frame) =>
        type.startsWith('response.') && (response === undefined || (response as ResponseBody).id === id);
      const seen = socket.frames.filter(ofThisTurn).slice(0, events.length);
      expect(seen.map(({ stream_id: _, ...event }) => event)).toEqual(events);
    }
    const own = await waiting.next(isTerminalFrame);
    expect(own).toMatchObject({ type: 'response.completed', response: { output_text: 'an answer of this build' } });
    expect(provider.requests).toHaveLength(asked + 1);
    expect(JSON.stringify(sentToTheProvider())).toContain('0 1 2 3 4 5 6 7');
    for (const socket of [watcher, viewer, waiting]) socket.close();
  });

  it('receives a cancel, stored and at once, under the names that it reads', async () => {
    const { id, events } = before.turn('cancelled');
    const commands = before.of('cancelled');
    const at = commands.findIndex(({ script }) => script === 'cancel');
    const [, , responseId, channel = ''] = commands[at]?.args ?? [];
    expect(responseId).toBe(id);
    await before.play(redis.admin, commands.slice(0, at));
    const heard: string[] = [];
    const ear = redis.admin.duplicate();
    ear.on('message', (_channel, message) => heard.push(message));
    await ear.subscribe(channel);

    const answered = ask<ResponseBody>(replica, `/v1/responses/${id}/cancel`, {});
    while (heard.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    ear.disconnect();
    expect(heard).toEqual([id]);
    const rest = commands.slice(at + 1);
    const replies = await before.play(redis.admin, rest);
    // 2: appended, and a cancel was requested.
    expect(replies[rest.findIndex(({ script }) => script === 'append')]).toEqual([2]);
    expect((await answered).body).toMatchObject({ id, status: 'cancelled' });
    expect(await eventsOf(replica, id)).toEqual(events);
  });

  it('fences a replica of version 1.0.0 whose turn was taken over, by results that it knows', async () => {
    const { id } = before.turn('running');
    expect((await fenced).at(-1)).toMatchObject({ response: { error: { code: 'replica_lost' } } });
    const { meta, log, leases } = before.keysIn(bucketOf(id), id);
    const late = JSON.stringify({ type: 'response.output_text.delta', sequence_number: 7 });
    // 0: fenced.
    expect(await before.run(redis.admin, 'append', [meta, log, leases], [1, 7, 0, 1, late])).toEqual([0]);
    expect(await before.run(redis.admin, 'renew', [meta, log, leases], [id, 1])).toBe(0);
  });
});

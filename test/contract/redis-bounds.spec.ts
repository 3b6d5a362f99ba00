/*
 * What conversations, responses and lists cost in a real Redis, in bytes, and how Sluice treats
 * foreign entries.
 */

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { type StoredItem } from '../../src/domain/item.js';
import { type ResponseObject } from '../../src/domain/response.js';
import { RedisKeys } from '../../src/state/redis/redis-keys.js';
import { type Unreadable } from '../../src/state/redis/redis-options.js';
import { TurnContexts } from '../../src/turn/turn-context.js';
import { RedisServer } from '../../scripts/development/cluster/redis.js';
import { openRedisStore, type RedisStore } from './redis-store.js';
import { headOf } from './suites/log-fixtures.js';
import { SummarySeal } from '../../src/turn/summary-seal.js';

const MAX_BYTES = 1024 * 1024;
const OWNER = 'tenant/ann';

let server: RedisServer;
let store: RedisStore;
let unreadable: Unreadable[];
let keys: RedisKeys;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.close());
beforeEach(async () => {
  await server.admin.flushall();
  unreadable = [];
  const hooks = { onUnreadable: (what: Unreadable) => unreadable.push(what) };
  store = await openRedisStore({ url: server.url }, { ttlMs: 3_600_000, maxItems: 100, maxBytes: MAX_BYTES, hooks });
  keys = new RedisKeys(store.keyPrefix);
});
afterEach(() => store.close());

const message = (id: string, text: string, responseId: string | null = null): StoredItem => ({
  item: { type: 'message', id, role: 'user', status: 'completed', content: [{ type: 'input_text', text }] },
  responseId,
  withheld: false,
});

async function created(id: string, items: readonly StoredItem[] = []): Promise<string> {
  await store.state.conversations.create({ id, owner: OWNER, createdAt: 1, updatedAt: 1, metadata: {} }, items);
  return id;
}

/** Bytes that Redis sends while `work` runs. */
async function sentDuring(work: () => Promise<unknown>): Promise<number> {
  const sent = async () => Number(/total_net_output_bytes:(\d+)/.exec(await server.admin.info('stats'))?.[1]);
  const before = await sent();
  await work();
  return (await sent()) - before;
}

const itemsKey = (id: string): string => keys.conversation(id)[1];
const headKey = (id: string): string => keys.conversation(id)[0];

describe('a list of conversations', () => {
  const texts = (id: string) => Array.from({ length: 5 }, (_, i) => message(`${id}_${i}`, `${i} `.repeat(20_000)));

  it('lists conversations without reading items', async () => {
    for (let i = 0; i < 20; i++) await created(`conv_${i}`, texts(`msg_${i}`));
    const list = () => store.state.conversations.listByOwner(OWNER, { limit: 100 });
    const sent = await sentDuring(async () => {
      const { data } = await list();
      expect(data.map(({ title }) => title?.slice(0, 4))).toEqual(Array.from({ length: 20 }, () => '0 0 '));
    });
    expect(sent).toBeLessThan(40_000);
  });

  it('derives a title that was never written, once, and from small items only', async () => {
    await created('conv_1', [message('msg_1', 'Hello there')]);
    await created('conv_2', [message('msg_2', 'x'.repeat(500_000)), message('msg_3', 'Second')]);
    await created('conv_3', [message('msg_4', 'y'.repeat(500_000))]);
    for (const id of ['conv_1', 'conv_2', 'conv_3']) await server.admin.hdel(headKey(id), 'title', 'title_item');
    const titles = async () =>
      Object.fromEntries(
        (await store.other.conversations.listByOwner(OWNER, { limit: 9 })).data.map(({ id, title }) => [id, title]),
      );
    let first = {};
    expect(await sentDuring(async () => (first = await titles()))).toBeLessThan(40_000);
    expect(first).toEqual({ conv_1: 'Hello there', conv_2: 'Second', conv_3: null });
    expect(await server.admin.hget(headKey('conv_1'), 'title')).toBe('Hello there');
    expect(await titles()).toEqual(first);
  });
});

describe('the bytes of a conversation', () => {
  it('counts the bytes of a conversation again if a replica of another version has appended without counting', async () => {
    const id = await created('conv_1', [message('msg_1', 'a'.repeat(300_000))]);
    const [, items, commits] = keys.conversation(id);
    await server.admin.rpush(items, JSON.stringify(message('msg_2', 'b'.repeat(600_000))));
    await server.admin.rpush(commits, 'resp_other');
    await store.state.conversations.appendItems(id, [message('msg_3', 'c'.repeat(300_000))], 'resp_1');
    const kept = await store.state.conversations.recentItems(id, 10);
    expect(kept.map(({ item }) => item.id)).toEqual(['msg_2', 'msg_3']);
    const lengths = (await server.admin.lrange(items, 0, -1)).map((json) => Buffer.byteLength(json));
    expect(Number(await server.admin.hget(headKey(id), 'bytes'))).toBe(lengths.reduce((a, b) => a + b));
  });

  it('limits the read of a conversation that was larger before the bound existed', async () => {
    const id = await created('conv_1');
    for (let i = 0; i < 40; i++) {
      await server.admin.rpush(itemsKey(id), JSON.stringify(message(`msg_${i}`, 'x'.repeat(200_000))));
    }
    const { conversations } = store.state;
    let read: readonly StoredItem[] = [];
    const sent = await sentDuring(async () => (read = await conversations.recentItems(id, 100)));
    expect(read.map(({ item }) => item.id)).toEqual(['msg_35', 'msg_36', 'msg_37', 'msg_38', 'msg_39']);
    expect(sent).toBeLessThan(MAX_BYTES + 10_000);
    expect(await conversations.listItems(id, { limit: 20, order: 'asc', after: 'msg_9' })).toMatchObject({
      data: [10, 11, 12, 13, 14].map((i) => ({ item: { id: `msg_${i}` } })),
      hasMore: true,
    });
    expect(await sentDuring(() => conversations.getItem(id, 'msg_20'))).toBeLessThan(220_000);
  });
});

describe('turns of one conversation', () => {
  it('stores no copy of a conversation with its responses: each adds as much as the first one', async () => {
    const id = await created('conv_1');
    const contexts = new TurnContexts(store.state.conversations, store.state.responses, {
      seal: new SummarySeal(null),
      exit: store.state.exit,
      windowItems: 100,
      kept: { maxItems: 100, maxBytes: MAX_BYTES },
    });
    const sizes: number[] = [];
    for (let i = 0; i < 30; i++) {
      const responseId = `resp_${i + 100}`;
      const input = [message(`msg_${i + 100}`, 'x'.repeat(1_900), responseId)];
      // Only these fields are read; the store keeps what it is given.
      const response = {
        id: responseId,
        store: true,
        conversation: { id },
        output: [],
        sluice: {},
      } as unknown as ResponseObject;
      const left = { kept: 'input', items: input } as const;
      await contexts.commit({ owner: OWNER, response, input, left, terminalSequence: 3, history: null });
      sizes.push(Number(await server.admin.call('MEMORY', 'USAGE', keys.response(responseId))));
    }
    expect(await store.state.conversations.recentItems(id, 100)).toHaveLength(30);
    expect(sizes[0]).toBeGreaterThan(1_900);
    expect(new Set(sizes).size).toBe(1);
  });
});

describe('foreign data in Redis', () => {
  it('skips and counts an item that does not parse, and keeps the conversation usable', async () => {
    const id = await created('conv_1', [message('msg_1', 'one')]);
    const broken = ['no JSON', 'null', '5', '[]', '{"item":null}', '{"item":"x"}'];
    await server.admin.rpush(itemsKey(id), ...broken);
    const { conversations } = store.state;
    expect(await conversations.appendItems(id, [message('msg_2', 'two')], 'resp_1')).toBe(true);
    const ids = async (reading: Promise<readonly StoredItem[]>) => (await reading).map(({ item }) => item.id);
    expect(await ids(conversations.recentItems(id, 100))).toEqual(['msg_1', 'msg_2']);
    expect(unreadable).toEqual(broken.map(() => 'item'));
    expect(await ids(conversations.listItems(id, { limit: 9, order: 'asc' }).then(({ data }) => data))).toHaveLength(2);
    expect((await conversations.getItem(id, 'msg_2'))?.item.id).toBe('msg_2');
    expect(await conversations.deleteItem(id, 'msg_2')).toBe(true);
  });

  it('reads foreign data as no metadata of a conversation, and as not found for a response', async () => {
    const id = await created('conv_1', [message('msg_1', 'one')]);
    await server.admin.hset(headKey(id), 'metadata', '{');
    expect(await store.state.conversations.get(id)).toMatchObject({ id, metadata: {}, title: 'one' });
    await server.admin.set(keys.response('resp_1'), 'no JSON');
    expect(await store.state.responses.get('resp_1')).toBeUndefined();
    expect(unreadable).toEqual(['metadata', 'response']);
  });

  it('replaces and counts foreign data in an idempotency key', async () => {
    const use = { owner: OWNER, key: 'key_1', fingerprint: 'f', responseId: 'resp_1' };
    const broken = ['no JSON', 'null', '{}', '[1,2]', '["resp_0"]'];
    for (const value of broken) {
      await server.admin.set(keys.once(use.owner, use.key), value);
      expect(await store.state.keys.claim(use)).toEqual({ outcome: 'fresh' });
      expect(await store.state.keys.claim({ ...use, responseId: 'resp_2' })).toMatchObject({ responseId: 'resp_1' });
    }
    expect(unreadable).toEqual(broken.map(() => 'idempotency_key'));
  });

  it('skips pages of foreign data, so that no page is empty while more items follow', async () => {
    const id = await created('conv_1', [message('msg_1', 'one')]);
    await server.admin.rpush(itemsKey(id), ...Array.from({ length: 7 }, () => 'no JSON'));
    const { conversations } = store.state;
    await conversations.appendItems(id, [message('msg_2', 'two')], 'resp_1');
    const page = (after: string, order: 'asc' | 'desc') => conversations.listItems(id, { limit: 2, order, after });
    expect(await page('msg_1', 'asc')).toMatchObject({ data: [{ item: { id: 'msg_2' } }], hasMore: false });
    expect(await page('msg_2', 'desc')).toMatchObject({ data: [{ item: { id: 'msg_1' } }], hasMore: false });
    await conversations.deleteItem(id, 'msg_2');
    expect(await page('msg_1', 'asc')).toEqual({ data: [], hasMore: false });
  });

  it('counts foreign data in the head of a log, and reads the log as unknown', async () => {
    const head = headOf();
    await store.state.events.create(head);
    await server.admin.hset(keys.turn(head.responseId).meta, 'head', '{');
    expect(await store.other.events.read(head.responseId, -1, 10)).toBeUndefined();
    expect(unreadable).toEqual(['log']);
  });
});

/*
 * What encryption at rest promises: no text in Redis, nothing readable without its key, nothing
 * that was altered.
 */

import { randomBytes } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { newId } from '../../src/domain/ids.js';
import { type StoredItem } from '../../src/domain/item.js';
import { type ResponseObject } from '../../src/domain/response.js';
import { LOG_TIMES } from '../../src/state/event-log.js';
import { masterKeyId } from '../../src/state/redis/encryption/master-keys.js';
import { RedisKeys } from '../../src/state/redis/redis-keys.js';
import { type EncryptionOptions } from '../../src/state/redis/redis-options.js';
import { RedisServer } from '../../scripts/development/cluster/redis.js';
import { redisDump, RedisTraffic } from '../support/redis-dump.js';
import { OrphanSweep } from '../../src/turn/orphan-sweep.js';
import { SummarySeal } from '../../src/turn/summary-seal.js';
import { TurnContexts } from '../../src/turn/turn-context.js';
import { LinesLog } from '../support/lines-log.js';
import { openRedisStore, type RedisStore, SHORT_TIMES } from './redis-store.js';
import { eventually } from './suites/contract-store.js';
import { delta, headOf, terminal } from './suites/log-fixtures.js';

const KEY = randomBytes(32);
const NEXT_KEY = randomBytes(32);

let server: RedisServer;
let stores: RedisStore[] = [];
const refused: string[] = [];
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.close());
beforeEach(async () => {
  refused.length = 0;
  await server.admin.flushall();
});
afterEach(async () => {
  await Promise.all(stores.map((store) => store.close()));
  stores = [];
});

/** Opens two replicas over one prefix, with these keys. */
async function opened(
  encryption: EncryptionOptions | undefined,
  packAfterMs = 600_000,
  ttlMs = 600_000,
): Promise<RedisStore> {
  const store = await openRedisStore(
    { url: server.url },
    {
      keyPrefix: 'test:',
      times: LOG_TIMES,
      ttlMs,
      timing: { packAfterMs },
      hooks: { onNotDecrypted: (reason) => refused.push(reason) },
      ...(encryption === undefined ? {} : { encryption }),
    },
  );
  stores.push(store);
  return store;
}

const keys = new RedisKeys('test:');
const item = (id: string, text: string): StoredItem => ({
  item: { type: 'message', id, role: 'user', status: 'completed', content: [{ type: 'input_text', text }] },
  responseId: null,
  withheld: false,
});
const responseOf = (id: string, conversation: string | null) => ({
  owner: 'tenant/ann',
  response: {
    id,
    conversation: conversation === null ? null : { id: conversation },
    instructions: 'planted instructions',
    output_text: 'planted output',
  } as unknown as ResponseObject,
  input: [item('msg_1', 'planted input')],
  context: [],
  terminalSequence: 3,
});

/** Plants text in every kind of data of one conversation. */
async function planted({ state }: RedisStore) {
  const id = newId('conv');
  const conversation = {
    id,
    owner: 'tenant/ann',
    createdAt: 1,
    updatedAt: 1,
    metadata: { topic: 'planted metadata' },
  };
  await state.conversations.create(conversation, [item('msg_1', 'planted title')]);
  const image: StoredItem = {
    ...item('msg_2', 'planted item'),
    item: {
      type: 'function_call_output',
      id: 'fco_1',
      call_id: 'call_1',
      status: 'completed',
      output: [
        { type: 'input_text', text: 'planted function output' },
        { type: 'input_image', image_url: 'data:image/png;base64,plantedimage', detail: 'auto' },
      ],
    } as unknown as StoredItem['item'],
  };
  await state.conversations.appendItems(id, [image], 'resp_0');
  const head = headOf({ conversationId: id, input: [item('msg_3', 'planted question')] });
  const { fence } = await state.events.createWith(head, [delta(0, 'planted first event')]);
  await state.events.append(head.responseId, fence, [delta(1, 'planted delta'), delta(2, 'planted “ünïcode”')]);
  await state.responses.put(responseOf(head.responseId, id));
  await state.events.append(head.responseId, fence, [terminal(3)]);
  await state.credentials.putSecret({
    id: 'cs_1',
    hash: 'ab'.repeat(32),
    tenant: 'tenant',
    user: 'ann',
    owner: 'tenant/ann',
    scopes: ['chat'],
    limitsClass: null,
    binding: { conversation: id, prompt: { id: 'support', variables: { customer: 'planted customer' } } },
    madeBy: 'backend',
    expiresAtMs: Date.now() + 600_000,
  });
  return { id, responseId: head.responseId };
}

/** Everything of `planted`, as the other replica reads it. */
async function readBack(
  { other }: RedisStore,
  { id, responseId }: { id: string; responseId: string },
): Promise<string> {
  return JSON.stringify([
    await other.conversations.get(id),
    (await other.conversations.listByOwner('tenant/ann', { limit: 10 })).data,
    await other.conversations.recentItems(id, 10),
    await other.conversations.getItem(id, 'fco_1'),
    await other.events.read(responseId, -1, 10),
    await other.responses.get(responseId),
    await other.credentials.getSecret('cs_1'),
  ]);
}

const WORDS = [
  ...['metadata', 'title', 'function output', 'question', 'first event', 'delta', '“ünïcode”'],
  ...['instructions', 'output', 'input', 'customer'],
].map((word) => `planted ${word}`);

describe.each([
  ['packed', 100],
  ['not packed', 600_000],
])('text in a Redis whose logs are %s', (_name, packAfterMs) => {
  it.each([true, false])(
    'stays out of keys and commands only if encryption is on (%s), and is read whole',
    async (encrypted) => {
      const traffic = await RedisTraffic.of(server.admin);
      const store = await opened(encrypted ? { key: KEY } : undefined, packAfterMs);
      const ids = await planted(store);
      if (packAfterMs === 100)
        await eventually(async () => !(await server.admin.exists(keys.turn(ids.responseId).log)));
      const read = await readBack(store, ids);
      for (const word of [...WORDS, 'plantedimage']) expect(read).toContain(word);
      const found = [await redisDump(server.admin), traffic.text].map((text) => /planted/u.test(text));
      // Without encryption the search finds the text, so it would find it with encryption.
      expect(found).toEqual(encrypted ? [false, false] : [true, true]);
      traffic.close();
    },
  );
});

describe('erasing', () => {
  it('deletes the data key of a conversation, so that a copy of its data cannot be read', async () => {
    const store = await opened({ key: KEY });
    const ids = await planted(store);
    const copied = [...keys.conversation(ids.id), keys.response(ids.responseId), keys.turn(ids.responseId).log];
    const copies = await Promise.all(copied.map((key) => server.admin.dumpBuffer(key)));
    await store.other.conversations.delete(ids.id);
    expect(await server.admin.hgetall(keys.dataKey(ids.id))).toEqual({ erased: '1' });
    for (const [i, key] of copied.entries()) await server.admin.restore(key, 0, copies[i] ?? '', 'REPLACE');
    const later = await opened({ key: KEY });
    expect(await later.state.conversations.get(ids.id)).toBeUndefined();
    expect(await later.state.conversations.recentItems(ids.id, 10)).toEqual([]);
    expect(await later.state.responses.get(ids.responseId)).toBeUndefined();
    expect(await later.state.events.read(ids.responseId, -1, 10)).toBeUndefined();
  });

  it('lets a sweep delete the log of a lost turn whose text was erased with its conversation', async () => {
    const times = { ...SHORT_TIMES, runningMs: 60_000 };
    const options = { keyPrefix: 'test:', ttlMs: 600_000, times, encryption: { key: KEY } };
    const lost = await openRedisStore({ url: server.url }, options);
    const id = newId('conv');
    await lost.state.conversations.create({ id, owner: 'tenant/ann', createdAt: 1, updatedAt: 1, metadata: {} }, []);
    const head = headOf({ conversationId: id });
    await lost.state.events.createWith(head, [delta(0, 'planted first event')]);
    await lost.state.conversations.delete(id);
    await lost.close();
    const store = await openRedisStore({ url: server.url }, options);
    stores.push(store);
    const { state } = store;
    const sweep = new OrphanSweep({
      ...state,
      contexts: new TurnContexts(state.conversations, state.responses, {
        seal: new SummarySeal(null),
        exit: state.exit,
        windowItems: 50,
        kept: { maxItems: 20, maxBytes: 8_000 },
      }),
      logger: new LinesLog(),
      accounting: { estimate: () => Promise.reject(new Error('not reached')), cost: () => null },
      limits: { settle: () => Promise.resolve() },
    });
    await eventually(async () => (await sweep.sweep()) === 1);
    expect(await server.admin.exists(keys.turn(head.responseId).meta, keys.turn(head.responseId).log)).toBe(0);
  });

  it('keeps the data key of a conversation whose responses are kept', async () => {
    const store = await opened({ key: KEY });
    const ids = await planted(store);
    await store.state.conversations.delete(ids.id, 'keep');
    const later = await opened({ key: KEY });
    expect((await later.state.responses.get(ids.responseId))?.response.output_text).toBe('planted output');
  });

  it('deletes the data keys of a response without a conversation, and of a client secret', async () => {
    const store = await opened({ key: KEY });
    await planted(store);
    await store.state.responses.put(responseOf('resp_alone', null));
    expect(await store.other.responses.delete('resp_alone')).toBe(true);
    await store.other.credentials.deleteSecret('cs_1');
    for (const scope of ['resp_alone', 'cs_1']) {
      expect(await server.admin.hgetall(keys.dataKey(scope))).toEqual({ erased: '1' });
    }
  });

  it('lets the data key of an unstored response expire with its log', async () => {
    const store = await opened({ key: KEY });
    const head = headOf({ store: false });
    const fence = await store.state.events.create(head);
    await store.state.events.append(head.responseId, fence, [terminal(0)]);
    const key = keys.dataKey(head.responseId);
    await eventually(async () => (await server.admin.pttl(key)) <= LOG_TIMES.endedUnstoredMs);
    expect((await store.other.events.read(head.responseId, -1, 10))?.events).toHaveLength(1);
    expect(await server.admin.pttl(key)).toBeLessThanOrEqual(LOG_TIMES.endedUnstoredMs);
  });
});

it('keeps a data key as long as its conversation after state.ttl was raised', async () => {
  const { id } = await planted(await opened({ key: KEY }));
  const later = await opened({ key: KEY }, undefined, 24 * 3_600_000);
  await later.state.conversations.get(id);
  const [head = ''] = keys.conversation(id);
  expect(await server.admin.pttl(head)).toBeGreaterThan(23 * 3_600_000);
  expect(await server.admin.pttl(keys.dataKey(id))).toBeGreaterThan(await server.admin.pttl(head));
});

describe('a value that cannot be decrypted', () => {
  const failure = { code: 'server_error', retryable: false, message: expect.stringMatching(/cannot be decrypted/) };

  it('is refused where it was moved to another place', async () => {
    const store = await opened({ key: KEY });
    const { id, responseId } = await planted(store);
    const { log } = keys.turn(responseId);
    const entries = await server.admin.xrange(log, '-', '+');
    await server.admin.del(log);
    const texts = entries.map(([, fields]) => fields[1] ?? '');
    const swapped = [texts[0], texts[2], texts[1], texts[3]];
    for (const [i, text] of swapped.entries()) await server.admin.xadd(log, `0-${i + 1}`, 'e', text ?? '');
    await expect(store.other.events.read(responseId, -1, 10)).rejects.toMatchObject(failure);
    // An event that was not moved is still read.
    expect((await store.other.events.read(responseId, -1, 1))?.events).toHaveLength(1);
    const [head] = keys.conversation(id);
    const title = await server.admin.hget(head, 'title');
    await server.admin.hset(head, 'metadata', title ?? '');
    await expect(store.other.conversations.get(id)).rejects.toMatchObject(failure);
    expect(refused).toEqual(['altered', 'altered']);
  });

  it('is refused where one bit of it was changed, also as an item among others', async () => {
    const store = await opened({ key: KEY });
    const { id } = await planted(store);
    const [, list] = keys.conversation(id);
    const text = (await server.admin.lindex(list, 0)) ?? '';
    const at = text.length - 10;
    await server.admin.lset(list, 0, `${text.slice(0, at)}${text[at] === 'A' ? 'B' : 'A'}${text.slice(at + 1)}`);
    await expect(store.other.conversations.recentItems(id, 10)).rejects.toMatchObject(failure);
    expect((await store.other.conversations.getItem(id, 'fco_1'))?.item.id).toBe('fco_1');
    expect(refused).toEqual(['altered']);
  });

  it('is refused with a data key of another conversation', async () => {
    const store = await opened({ key: KEY });
    const [one, two] = [await planted(store), await planted(store)];
    const wrapped = await server.admin.hget(keys.dataKey(two.id), 'key');
    await server.admin.hset(keys.dataKey(one.id), 'key', wrapped ?? '');
    const later = await opened({ key: KEY });
    await expect(later.state.conversations.get(one.id)).rejects.toMatchObject(failure);
    expect(refused).toEqual(['altered']);
  });

  it('is refused if its data key is gone, if its master key is not configured, and without any key', async () => {
    const store = await opened({ key: KEY });
    const { id } = await planted(store);
    const [other, none] = [await opened({ key: NEXT_KEY }), await opened(undefined)];
    await expect(other.state.conversations.get(id)).rejects.toMatchObject(failure);
    await expect(none.state.conversations.get(id)).rejects.toMatchObject(failure);
    await server.admin.del(keys.dataKey(id));
    const later = await opened({ key: KEY });
    await expect(later.state.conversations.get(id)).rejects.toMatchObject(failure);
    expect(refused).toEqual(['unknown_master_key', 'no_encryption', 'no_data_key']);
    // It can be found and deleted nevertheless.
    expect(await later.state.conversations.idsOfOwner('tenant/ann', 10)).toEqual([id]);
    expect(await later.state.conversations.delete(id)).toBe(true);
  });
});

describe('switching on', () => {
  it('reads what was stored before, and what other replicas encrypt while it does not encrypt itself', async () => {
    const plain = await opened(undefined);
    const before = await planted(plain);
    const reading = await opened({ key: KEY, write: false });
    expect(await readBack(reading, before)).toContain('planted delta');
    const writing = await opened({ key: KEY });
    const during = await planted(writing);
    expect(await readBack(reading, during)).toContain('planted delta');
    const later = await planted(reading);
    expect(await readBack(writing, later)).toContain('planted delta');
    expect(await readBack(writing, before)).toContain('planted delta');
    expect(await server.admin.exists(keys.dataKey(later.id))).toBe(0);
    // A log that another replica began is continued with encryption.
    const head = headOf();
    const fence = await plain.state.events.create(head);
    await writing.state.events.append(head.responseId, fence, [delta(0, 'planted'), delta(1)]);
    expect((await reading.other.events.read(head.responseId, -1, 10))?.events).toHaveLength(2);
    expect(refused).toEqual([]);
  });

  it('stores a title that looks encrypted as none', async () => {
    const plain = await opened(undefined);
    const id = newId('conv');
    const conversation = { id, owner: 'tenant/ann', createdAt: 1, updatedAt: 1, metadata: {} };
    await plain.state.conversations.create(conversation, [item('msg_1', '\u0001e1:conv_1:QUJD')]);
    await expect(plain.other.conversations.get(id)).resolves.toMatchObject({ id });
  });
});

describe('the master key', () => {
  it('is replaced without a new data key: the next use encrypts the data key with the current one', async () => {
    const first = await opened({ key: KEY });
    const ids = await planted(first);
    const wrappedBy = async () => (await server.admin.hget(keys.dataKey(ids.id), 'key'))?.split(':')[1];
    expect(await wrappedBy()).toBe(masterKeyId(KEY));
    const between = await opened({ key: KEY, nextKey: NEXT_KEY });
    const rotated = await opened({ key: NEXT_KEY, previousKeys: [KEY] });
    expect(await readBack(rotated, ids)).toContain('planted delta');
    expect(await wrappedBy()).toBe(masterKeyId(NEXT_KEY));
    // A replica that was not restarted yet reads it, too, and does not undo the rotation.
    expect(await readBack(between, ids)).toContain('planted delta');
    expect(await wrappedBy()).toBe(masterKeyId(NEXT_KEY));
    const alone = await opened({ key: NEXT_KEY });
    expect(await readBack(alone, ids)).toContain('planted delta');
  });

  it('lets two replicas that create one data key at the same time use the same', async () => {
    const store = await opened({ key: KEY });
    const made = Array.from({ length: 20 }, () => newId('conv'));
    await Promise.all(
      made.flatMap((id) => [
        store.state.responses.put(responseOf(`${id}_a`, id)),
        store.other.responses.put(responseOf(`${id}_b`, id)),
      ]),
    );
    const later = await opened({ key: KEY });
    for (const id of made.flatMap((id) => [`${id}_a`, `${id}_b`])) {
      expect((await later.state.responses.get(id))?.response.output_text).toBe('planted output');
    }
  });
});

it('stores a data key again that Redis has lost, when Redis is back', async () => {
  const store = await opened({ key: KEY });
  const ids = await planted(store);
  await server.admin.del(keys.dataKey(ids.id));
  const down = eventually(() => !store.state.isUp);
  server.pause();
  await down;
  server.resume();
  await eventually(() => store.state.isUp);
  await store.state.conversations.get(ids.id);
  await eventually(async () => (await server.admin.exists(keys.dataKey(ids.id))) === 1);
  const later = await opened({ key: KEY });
  expect(await readBack(later, ids)).toContain('planted delta');
});

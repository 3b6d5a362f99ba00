/* How long Redis keeps what each class of credential has created, after every kind of use. */

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { RedisServer } from '../../scripts/development/cluster/redis.js';
import { type ResponseObject, type StoredResponse } from '../../src/domain/response.js';
import { LOG_TIMES } from '../../src/state/event-log.js';
import { openRedisStore, type RedisStore } from './redis-store.js';
import { delta, headOf, terminal } from './suites/log-fixtures.js';

const MINUTE_MS = 60_000;
const TTL = { usual: 60 * MINUTE_MS, brief: 2 * MINUTE_MS, 'long "one"': 600 * MINUTE_MS } as const;
const LONGEST_MS = TTL['long "one"'];

let server: RedisServer;
let store: RedisStore;
beforeAll(async () => {
  server = await RedisServer.start();
  const { brief, 'long "one"': long } = TTL;
  store = await openRedisStore(
    { url: server.url },
    { ttlMs: TTL.usual, ttlOfClass: { brief, 'long "one"': long }, times: LOG_TIMES },
  );
});
afterAll(async () => {
  await store.close();
  await server.close();
});

/** Expects that a key lives `ms` longer, less the time that this test has taken. */
async function expectLife(suffix: string, ms: number): Promise<void> {
  const [key = 'none'] = (await server.admin.keys('*')).filter((one) => one.endsWith(suffix));
  const left = await server.admin.pttl(key);
  expect([suffix, left <= ms, left > ms - MINUTE_MS]).toEqual([suffix, true, true]);
}

describe.each([
  [undefined, TTL.usual],
  ['unlisted', TTL.usual],
  ['brief', TTL.brief],
  ['long "one"', TTL['long "one"']],
] as const)('what a credential of the class %j has created', (limitsClass, ms) => {
  const ofClass = limitsClass === undefined ? {} : { limitsClass };

  it('keeps a conversation for the time of its class after each kind of use', async () => {
    const { conversations } = store.state;
    const id = `conv_${String(limitsClass).replace(/\W/gu, '')}`;
    const [{ item } = { item: undefined }] = headOf().input;
    if (item === undefined) throw new Error('the fixture has no item');
    const stored = { item, responseId: null, withheld: false };
    await conversations.create({ id, owner: 'shop/ann', createdAt: 1, updatedAt: 1, metadata: {}, ...ofClass }, [
      stored,
    ]);
    await expectLife(`{${id}}:head`, ms);
    const uses: readonly (() => Promise<unknown>)[] = [
      () => conversations.get(id),
      () => conversations.updateMetadata(id, { a: 'b' }),
      () => conversations.appendItems(id, [{ ...stored, item: { ...item, id: 'msg_2' } }], 'resp_1'),
      () => conversations.listItems(id, { limit: 10, order: 'asc' }),
      () => conversations.getItem(id, 'msg_2'),
      () => conversations.deleteItem(id, 'msg_2'),
    ];
    for (const use of uses) {
      for (const key of await server.admin.keys(`*{${id}}*`)) await server.admin.pexpire(key, MINUTE_MS / 2);
      await use();
      await expectLife(`{${id}}:head`, ms);
      await expectLife(`{${id}}:items`, ms);
    }
  });

  it('keeps a response for the time of its class, also after it was read', async () => {
    const { responses } = store.state;
    const id = `resp_${String(limitsClass).replace(/\W/gu, '')}`;
    // The store does not read the content of a response.
    const response = { id, object: 'response' } as ResponseObject;
    const stored: StoredResponse = {
      ...{ owner: 'shop/ann', response, input: [], context: [], terminalSequence: 3 },
      ...ofClass,
    };
    await responses.put(stored);
    await expectLife(`response:${id}`, ms);
    await server.admin.pexpire(`${store.keyPrefix}response:${id}`, MINUTE_MS / 2);
    expect(await responses.get(id)).toEqual(stored);
    await expectLife(`response:${id}`, ms);
  });

  it('keeps the mark of a response that is deleted while it is read', async () => {
    const { responses } = store.state;
    const id = `resp_gone${String(limitsClass).replace(/\W/gu, '')}`;
    const response = { id, object: 'response' } as ResponseObject;
    await responses.put({ owner: 'shop/ann', response, input: [], context: [], terminalSequence: 3, ...ofClass });
    // The read has its answer before the deletion, and extends a life after it.
    await Promise.all([responses.get(id), responses.delete(id)]);
    expect(await responses.get(id)).toBeUndefined();
    const left = await server.admin.pttl(`${store.keyPrefix}response:${id}`);
    expect(left).toBeGreaterThan(LOG_TIMES.deletedMs - MINUTE_MS);
  });

  it('keeps the events of an ended response as long, and at most 10 minutes', async () => {
    const { events } = store.state;
    const head = headOf(ofClass);
    const { fence } = await events.createWith(head, [delta(0)]);
    await events.append(head.responseId, fence, [terminal(1)]);
    await expectLife(`meta:${head.responseId}`, Math.min(ms, LOG_TIMES.endedMs));
    await expectLife(`log:${head.responseId}`, Math.min(ms, LOG_TIMES.endedMs));
  });

  it('keeps the events of an unstored response for a minute', async () => {
    const { events } = store.state;
    const head = headOf({ ...ofClass, store: false });
    const { fence } = await events.createWith(head, [delta(0)]);
    await events.append(head.responseId, fence, [terminal(1)]);
    await expectLife(`meta:${head.responseId}`, LOG_TIMES.endedUnstoredMs);
  });
});

it('keeps the lists of what a user owns as long as anything that they list', async () => {
  await store.state.index.add('shop/ann', 'resp_1');
  const lists = (await server.admin.keys('*')).filter((key) => /owner:|responses-of:/u.test(key));
  expect(lists).toHaveLength(2);
  for (const key of lists) expect(await server.admin.pttl(key)).toBeGreaterThan(LONGEST_MS - MINUTE_MS);
});

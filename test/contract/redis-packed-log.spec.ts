/*
 * Logs of ended answers in Redis take little memory, and read exactly as before. Against a real
 * Redis.
 */

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { FollowHub } from '../../src/state/follow/follow-hub.js';
import { BLOCK_EVENTS } from '../../src/state/redis/scripts.js';
import { RedisKeys } from '../../src/state/redis/redis-keys.js';
import { LOG_TIMES } from '../../src/state/event-log.js';
import { serialize } from '../../src/domain/event.js';
import { RedisServer } from '../../scripts/development/cluster/redis.js';
import { eventually } from './suites/contract-store.js';
import { delta, deltas, headOf, numbersOf, terminal } from './suites/log-fixtures.js';
import { openRedisStore, type RedisStore } from './redis-store.js';

const WORDS =
  'the of and to in is you that it he was for on are as with his they at be this have from or one had by word but not what'.split(
    ' ',
  );
/** A text of 2,000 characters, as a model writes it: in some 400 pieces. */
const PIECES = (() => {
  const pieces: string[] = [];
  let seed = 7;
  while (pieces.join('').length < 2_000) {
    seed = (seed * 48_271) % 2_147_483_647;
    pieces.push(`${WORDS[seed % WORDS.length]} `);
  }
  return pieces;
})();

let server: RedisServer;
let store: RedisStore;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.close());
beforeEach(async () => {
  store = await openRedisStore({ url: server.url }, { ttlMs: 60_000, times: LOG_TIMES, timing: { packAfterMs: 100 } });
});
afterEach(() => store.close());

const keysOf = (responseId: string) => new RedisKeys(store.keyPrefix).turn(responseId);
const bytesOf = async (responseId: string) => {
  const { meta, log } = keysOf(responseId);
  const sizes = await Promise.all([meta, log].map((key) => server.admin.call('MEMORY', 'USAGE', key, 'SAMPLES', '0')));
  return sizes.reduce((sum: number, size) => sum + Number(size ?? 0), 0);
};
const isPacked = async (responseId: string) => (await server.admin.exists(keysOf(responseId).log)) === 0;

/** Writes events 0 to count, the last of which ends the log. @returns before it was packed */
async function written(count: number, textOf: (i: number) => string = (i) => `word ${i} `) {
  const head = headOf();
  const fence = await store.state.events.create(head);
  for (let at = 0; at < count; at += 50) {
    const events = Array.from({ length: Math.min(50, count - at) }, (_, i) => delta(at + i, textOf(at + i)));
    await store.state.events.append(head.responseId, fence, events);
  }
  await store.state.events.append(head.responseId, fence, [terminal(count)]);
  return { responseId: head.responseId, fence };
}

it('stores an ended answer of 2,000 characters in less than 15 KB, which took more than 60', async () => {
  const head = headOf();
  const { responseId } = head;
  const fence = await store.state.events.create(head);
  const text = PIECES.join('');
  const events = PIECES.map((piece, i) => delta(i, piece));
  await store.state.events.append(responseId, fence, events);
  const part = { type: 'output_text' as const, text, annotations: [], logprobs: [] };
  const done = [
    serialize(
      { type: 'response.output_text.done', item_id: 'msg_2', output_index: 0, content_index: 0, text, logprobs: [] },
      events.length,
    ),
    serialize(
      { type: 'response.content_part.done', item_id: 'msg_2', output_index: 0, content_index: 0, part },
      events.length + 1,
    ),
  ];
  await store.state.events.append(responseId, fence, [...done, terminal(events.length + 2)]);
  const before = await bytesOf(responseId);
  const ttl = await server.admin.pttl(keysOf(responseId).meta);
  await eventually(() => isPacked(responseId));
  const after = await bytesOf(responseId);
  expect(before).toBeGreaterThan(60_000);
  expect(after).toBeLessThan(15_000);
  // It expires as it would have.
  expect(await server.admin.pttl(keysOf(responseId).meta)).toBeLessThanOrEqual(ttl);
  expect(await server.admin.pttl(keysOf(responseId).meta)).toBeGreaterThan(0);
});

it('packs many short answers together, and a long one among them', async () => {
  const short = await Promise.all(Array.from({ length: 12 }, () => written(5)));
  const { responseId: long } = await written(100);
  const running = headOf();
  await store.state.events.createWith(running, [delta(0, 'not ended ')]);
  const ids = [...short.map(({ responseId }) => responseId), long];
  const before = await Promise.all(ids.map((id) => store.other.events.read(id, -1, 500)));
  const sent = store.state.counts.commands;
  await eventually(async () => (await Promise.all(ids.map(isPacked))).every(Boolean));
  // One by one they took at least 26 commands. Heartbeats are counted too.
  expect(store.state.counts.commands - sent).toBeLessThan(26);
  expect(await Promise.all(ids.map((id) => store.other.events.read(id, -1, 500)))).toEqual(before);
  expect(await isPacked(running.responseId)).toBe(false);
});

describe('a packed log', () => {
  it.each([1, 50, BLOCK_EVENTS - 1, BLOCK_EVENTS, 2 * BLOCK_EVENTS + 7])(
    'reads as before from every place, with %i events',
    async (count) => {
      const { responseId } = await written(count, (i) => (i % 7 === 0 ? 'Ünïcode “\n” 🙂 ' : `word ${i} `));
      const cursors = [
        -1,
        0,
        1,
        count - 2,
        count - 1,
        count,
        count + 5,
        BLOCK_EVENTS - 2,
        BLOCK_EVENTS - 1,
        BLOCK_EVENTS,
      ]
        .filter((at) => at >= -1)
        .flatMap((after) => [0, 1, 3, 500, 5_000].map((limit) => [after, limit] as const));
      const read = () =>
        Promise.all(cursors.map(([after, limit]) => store.other.events.read(responseId, after, limit)));
      const before = await read();
      await eventually(() => isPacked(responseId));
      expect(await read()).toEqual(before);
      expect(before[3]?.events.length).toBe(Math.min(count + 1, 500));
    },
  );

  it('follows a packed log from another replica with the same text and numbers', async () => {
    const { responseId } = await written(1_300);
    await eventually(() => isPacked(responseId));
    const hub = new FollowHub({ events: store.other.events });
    const seen: number[] = [];
    const texts: string[] = [];
    const drain = (): void => {
      for (let events = viewer?.take(100) ?? []; events.length > 0; events = viewer?.take(100) ?? []) {
        seen.push(...numbersOf(events));
        texts.push(...events.map(({ json }) => json));
      }
    };
    const viewer = await hub.open(responseId, -1, () => drain());
    drain();
    await eventually(() => Promise.resolve(seen.length > 1_300));
    expect(seen).toEqual(Array.from({ length: 1_301 }, (_, i) => i));
    expect(texts.slice(0, 1_300)).toEqual(deltas(0, 1_299).map(({ json }) => json));
    hub.close();
  });

  it('recognizes a repeated append to a packed log, refuses a later one, and has nothing to cancel', async () => {
    const { responseId, fence } = await written(60);
    await eventually(() => isPacked(responseId));
    const { events, lease } = store.state;
    expect(await events.append(responseId, fence, [terminal(60)])).toEqual({
      outcome: 'appended',
      cancelRequested: false,
    });
    expect(await events.append(responseId, fence, [delta(61)])).toEqual({ outcome: 'fenced' });
    expect(await events.requestCancel(responseId)).toBe(false);
    expect(await lease.renew(responseId, fence)).toMatchObject({ held: false });
  });

  it('removes a packed log with its response', async () => {
    const { responseId } = await written(60);
    await eventually(() => isPacked(responseId));
    await store.other.events.delete(responseId);
    expect(await store.state.events.read(responseId, -1, 10)).toBeUndefined();
    expect(await server.admin.exists(keysOf(responseId).meta)).toBe(0);
  });

  it('reads a packed log that another program damaged as gone', async () => {
    const { responseId } = await written(60);
    await eventually(() => isPacked(responseId));
    await server.admin.hset(keysOf(responseId).meta, 'z0', 'z1:garbage');
    expect(await store.other.events.read(responseId, -1, 10)).toBeUndefined();
  });
});

it('packs nothing while a replica of another version shares the Redis', async () => {
  const replicas = `${store.keyPrefix}replicas`;
  const far = String(Date.now() + 60_000);
  await server.admin.zadd(replicas, far, 'a-replica-that-reads-streams-only');
  const { responseId } = await written(60);
  const later = await written(60);
  // Packed in their order: had they been due together, both would be.
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect(await isPacked(responseId)).toBe(false);
  await server.admin.zrem(replicas, 'a-replica-that-reads-streams-only');
  const last = await written(60);
  await eventually(() => isPacked(last.responseId));
  expect(await isPacked(later.responseId)).toBe(false);
});

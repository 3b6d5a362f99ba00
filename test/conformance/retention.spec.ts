/*
 * What Redis holds of a turn, and how long: every key that holds its text, by the class and by
 * `store`.
 */

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type Redis } from 'ioredis';
import { RedisServer } from '../../scripts/development/cluster/redis.js';
import { GatewayHarness, ONE_TRY } from '../support/gateway-harness.js';

const [USUAL, TRIAL] = ['sk-usual-000000000000000000000000000001', 'sk-trial-000000000000000000000000000002'];
const MINUTE_MS = 60_000;

let redis: RedisServer;
let harness: GatewayHarness;
beforeAll(async () => {
  redis = await RedisServer.start();
  harness = await GatewayHarness.start({
    config: {
      limits: { classes: { trial: {} } },
      state: { type: 'redis', url: redis.url, ttl: '1h', ttl_by_class: { trial: '2m' } },
      auth: {
        mode: 'keys',
        keys: [
          { id: 'usual', key_env: 'USUAL', tenant: 'shop' },
          { id: 'trial', key_env: 'TRIAL', tenant: 'shop', class: 'trial' },
        ],
      },
      middleware: ONE_TRY,
    },
    env: { USUAL, TRIAL },
  });
});
afterAll(async () => {
  await harness.close();
  await redis.close();
});

async function valueOf(admin: Redis, key: string): Promise<unknown> {
  switch (await admin.type(key)) {
    case 'string':
      return admin.get(key);
    case 'hash':
      return admin.hgetall(key);
    case 'list':
      return admin.lrange(key, 0, -1);
    case 'set':
      return admin.smembers(key);
    case 'zset':
      return admin.zrange(key, '0', '-1');
    default:
      return admin.xrange(key, '-', '+');
  }
}
/**
 * Every key of any type whose name or value holds a text, with its time to live in milliseconds.
 */
async function holding(text: string): Promise<readonly (readonly [string, number])[]> {
  const found: (readonly [string, number])[] = [];
  for (const key of await redis.admin.keys('*')) {
    const value = JSON.stringify(await valueOf(redis.admin, key));
    if (`${key} ${value}`.includes(text)) found.push([key, await redis.admin.pttl(key)]);
  }
  return found;
}

describe('a turn with `store: false`', () => {
  const ways: readonly (readonly [string, (word: string) => Promise<unknown>])[] = [
    ['over REST', (word) => turn(word, { store: false })],
    [
      'over REST with an idempotency key and a user',
      (word) => turn(word, { store: false, safety_identifier: 'ann' }, { 'idempotency-key': word }),
    ],
    [
      'as a chat completion',
      (word) => {
        harness.says(`${word} answer`);
        const body = { model: 'fake-model', messages: [{ role: 'user', content: `${word} question` }] };
        return harness.api('/v1/chat/completions', { method: 'POST', body, key: USUAL });
      },
    ],
    [
      'over a socket',
      async (word) => {
        harness.says(`${word} answer`);
        const client = await harness.connect({ headers: { authorization: `Bearer ${USUAL}` } });
        client.send({ type: 'response.create', input: `${word} question`, store: false });
        await client.until('response.completed');
        await harness.hangUp();
      },
    ],
  ];
  const turn = (word: string, fields: object, headers = {}): Promise<unknown> => {
    harness.says(`${word} answer`);
    const body = { input: `${word} question`, metadata: { note: `${word} note` }, ...fields };
    return harness.api('/v1/responses', { method: 'POST', body, key: USUAL, headers });
  };

  it.each(ways)('leaves nothing in Redis 60 s after its end, %s [EV-11, REQ-21]', async (_way, run) => {
    const word = `planted${ways.findIndex(([, one]) => one === run)}`;
    await run(word);
    await harness.gateway.gateway.parts.turns.whenIdle();
    const found = await holding(word);
    // Its events can be read until then, so the search finds what it looks for.
    expect(found.length).toBeGreaterThan(0);
    for (const [key, ttl] of found) expect([key, ttl > 0 && ttl <= MINUTE_MS]).toEqual([key, true]);
    // Redis itself lets the time pass.
    for (const [key] of found) await redis.admin.pexpire(key, 1);
    while ((await holding(word)).length > 0);
  });
});

describe('a turn of a class with a time of its own', () => {
  async function inConversation(key: string, word: string): Promise<void> {
    const conversation = await harness.conversation(key);
    for (const part of ['first', 'second']) {
      harness.says(`${word} answer`);
      const input = `${word} ${part}`;
      await harness.api('/v1/responses', { method: 'POST', body: { input, conversation }, key });
    }
    await harness.gateway.gateway.parts.turns.whenIdle();
    // A use by another credential does not change how long it is kept.
    await harness.api(`/v1/conversations/${conversation}/items`, { key: USUAL });
  }

  it('is kept for the time of its class in conversation, responses and events [EV-11]', async () => {
    await inConversation(TRIAL, 'sown');
    const found = await holding('sown');
    expect(found.length).toBeGreaterThanOrEqual(5);
    for (const [key, ttl] of found) expect([key, ttl > 0 && ttl <= 2 * MINUTE_MS]).toEqual([key, true]);
  });

  it('does not shorten the life of what other credentials create [EV-11]', async () => {
    await inConversation(USUAL, 'usual');
    const kept = (await holding('usual ')).filter(([key]) => /:(head|items)$|response:/u.test(key));
    expect(kept.length).toBeGreaterThanOrEqual(3);
    for (const [key, ttl] of kept) expect([key, ttl > 50 * MINUTE_MS]).toEqual([key, true]);
  });
});

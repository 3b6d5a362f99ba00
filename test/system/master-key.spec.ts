/*
 * The master key of stored text is replaced on two running replicas, as docs/operations says, while
 * people chat.
 */

import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { RedisServer } from '../../scripts/development/cluster/redis.js';
import { Replica } from '../../scripts/development/cluster/replica.js';
import { masterKeyId } from '../../src/state/redis/encryption/master-keys.js';

const FIRST = randomBytes(32);
const SECOND = randomBytes(32);
const [OLD, NEW] = [FIRST.toString('base64'), SECOND.toString('base64')] as const;
const CHATS = 4;

let redis: RedisServer;
let replicas: Replica[] = [];
beforeAll(async () => {
  redis = await RedisServer.start();
  const encryption = { key_env: 'KEY', next_key_env: 'NEXT', previous_key_envs: ['PREVIOUS'] };
  const config = { provider: { type: 'demo' }, state: { type: 'redis', url: redis.url, encryption } };
  const env = { ...process.env, KEY: OLD, NEXT: OLD, PREVIOUS: OLD };
  replicas = await Promise.all(['replica-1', 'replica-2'].map((name) => Replica.start(name, config, env)));
});
afterAll(async () => {
  await Promise.all(replicas.map((replica) => replica.close()));
  await redis.close();
});

const serving = new Set<Replica>();

let turn = 0;

/**
 * Sends a request to a replica that serves, the next one each time; again if that one shuts down.
 */
async function api(path: string, body?: object): Promise<Record<string, unknown>> {
  const [...ready] = serving;
  const replica = ready[(turn += 1) % ready.length] ?? replicas[0];
  const answer = await fetch(`${replica?.url}${path}`, {
    ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
    headers: { 'content-type': 'application/json' },
  }).catch((error: unknown) => {
    // Sent on a kept connection as its replica closed it. A turn that ran for all that would leave
    // two items too many.
    if (replica !== undefined && !serving.has(replica)) return undefined;
    throw error;
  });
  if (answer === undefined) return api(path, body);
  const parsed = (await answer.json()) as Record<string, unknown>;
  if (answer.status === 200) return parsed;
  const text = JSON.stringify(parsed);
  // Sent just before its replica began to shut down. Clients send it again, too.
  if (answer.status === 503 && text.includes('"draining"')) return api(path, body);
  throw new Error(`${path}: ${answer.status} ${text}`);
}

const created = async () => String((await api('/v1/conversations', {}))['id']);

/**
 * Chats in one conversation until it is stopped; resolves to the number of turns. Rejects on a turn
 * that failed.
 */
async function chat(conversation: string, stopped: AbortSignal): Promise<number> {
  let turns = 0;
  while (!stopped.aborted) {
    const { status } = await api('/v1/responses', { conversation, input: `Question ${turns}` });
    if (status !== 'completed') throw new Error(`turn ${turns} of ${conversation} is ${String(status)}`);
    turns += 1;
    const { data } = await api(`/v1/conversations/${conversation}/items?limit=100`);
    const items = (data as readonly unknown[]).length;
    if (items !== Math.min(turns * 2, 100)) throw new Error(`${conversation} has ${items} items after ${turns} turns`);
  }
  return turns;
}

/** Restarts one replica after the other with these keys, while the chats continue. */
async function rollout(env: Record<string, string>): Promise<void> {
  for (const replica of replicas) {
    serving.delete(replica);
    expect(await replica.stop()).toBe(0);
    replica.change(env);
    await replica.start();
    serving.add(replica);
  }
}

const wrappedBy = async (conversation: string) =>
  (await redis.admin.hget(`sluice:{${conversation}}:key`, 'key'))?.split(':')[1];

it('is replaced in three rollouts without a failed turn, and data keys follow when they are used', async () => {
  for (const replica of replicas) serving.add(replica);
  const idle = await created();
  const conversations = await Promise.all(Array.from({ length: CHATS }, created));
  expect(await wrappedBy(idle)).toBe(masterKeyId(FIRST));
  const stop = new AbortController();
  const chats = Promise.all(conversations.map((conversation) => chat(conversation, stop.signal)));
  // A failed turn ends the test at once.
  const during = async (work: Promise<void>) => void (await Promise.race([work, chats]));
  await during(rollout({ NEXT: NEW }));
  await during(rollout({ KEY: NEW, PREVIOUS: OLD }));
  // A conversation that is not used keeps its former key until it is read.
  expect(await wrappedBy(idle)).toBe(masterKeyId(FIRST));
  await api(`/v1/conversations/${idle}`);
  expect(await wrappedBy(idle)).toBe(masterKeyId(SECOND));
  for (const conversation of conversations) expect(await wrappedBy(conversation)).toBe(masterKeyId(SECOND));
  await during(rollout({ NEXT: NEW, PREVIOUS: NEW }));
  stop.abort();
  const turns = await chats;
  for (const count of turns) expect(count).toBeGreaterThan(0);
  expect((await api(`/v1/conversations/${idle}`))['id']).toBe(idle);
  for (const replica of replicas) {
    expect(replica.lines.filter((line) => line.includes('stored data not decrypted'))).toEqual([]);
  }
});

it('ends a start with a key of the wrong length with exit code 78, and names the key', async () => {
  const [replica] = replicas;
  serving.clear();
  await replica?.stop();
  replica?.change({ KEY: randomBytes(16).toString('base64') });
  await expect(replica?.start()).rejects.toThrow(/state\.encryption\.key_env.*16 bytes, not 32/su);
  expect(replica?.ends.at(-1)?.code).toBe(78);
});

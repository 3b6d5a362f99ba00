/*
 * Two versions side by side on one Redis, seen from the earlier one: beside this build runs the
 * next minor version (test/support/next-version.mjs), which adds to everything that both read.
 * Clients of both kinds go from one to the other; an upgrade of all replicas under live traffic,
 * and the way back, lose and repeat nothing; and each ends the turns of the other.
 */

import { randomUUID } from 'node:crypto';
import { resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Crowd } from '../chaos/crowd.js';
import { pause } from '../chaos/faults.js';
import { FakeOpenAiServer, textAnswer, textChunk } from '../support/fake-openai-server.js';
import { LocalCluster } from '../../scripts/development/cluster/local-cluster.js';
import { type Replica } from '../../scripts/development/cluster/replica.js';
import { type Frame, isTerminalFrame, TestSocket } from '../support/socket.js';

const NEXT = { NODE_OPTIONS: `--import ${resolve('test/support/next-version.mjs')}`, VERSION: '1.1.0' };
const NOW = { NODE_OPTIONS: undefined, VERSION: '1.0.0' };
const APP = { version: '${VERSION:-1.0.0}', shutdown_timeout: '30s' };

/** Ends it as an operator does, and starts the other version in its place. */
async function replace(replica: Replica, version: typeof NEXT | typeof NOW): Promise<void> {
  expect(await replica.stop()).toBe(0);
  replica.change(version);
  await replica.start();
}

const versionOf = async (replica: Replica) =>
  [...(await replica.metrics()).keys()].flatMap(
    (series) => /^build_info\{.*deployment="([^"]*)"/.exec(series)?.[1] ?? [],
  );

describe('an upgrade of all replicas under live traffic', () => {
  it('sends every viewer every event once and in order, also on the way back, and ends no turn early [EV-12]', async () => {
    const cluster = await LocalCluster.start({ config: { app: APP, conversations: { max_waiting: 100 } } });
    try {
      const conversations: string[] = [];
      for (let i = 0; i < 3; i++) {
        const made = await fetch(`${cluster.url}/v1/conversations`, { method: 'POST' });
        conversations.push(((await made.json()) as { readonly id: string }).id);
      }
      const crowd = new Crowd({ url: cluster.url, conversations, seed: 11, mostDeltas: 120 });
      const running = crowd.run(24);
      for (const version of [NEXT, NOW]) {
        for (const replica of cluster.replicas) {
          await pause(500);
          await replace(replica, version);
        }
        for (const replica of cluster.replicas) expect(await versionOf(replica)).toEqual([version.VERSION]);
      }
      crowd.stop();
      await running;
      crowd.close();
      const { truth } = crowd;
      expect(truth.violations).toEqual([]);
      const { refused: _, ...ends } = truth.ends();
      expect(new Set(Object.keys(ends))).toEqual(new Set(['completed', 'cancelled']));
      // Sent between a replica's signal and its close: nothing was begun, and the client sends it
      // again.
      expect(truth.refusalsBut('draining')).toEqual([]);
      expect(truth.delivered).toBeGreaterThan(2_000);
      expect(crowd.gaveUp).toBe(0);
      const events = [...truth.responses.values()].flatMap((response) => response.events);
      expect(events.some((event) => event?.includes('response.note.added'))).toBe(true);
      for (const replica of cluster.replicas)
        expect(replica.lines.filter((line) => /"level":"error"/.test(line))).toEqual([]);
    } finally {
      await cluster.close();
    }
  });
});

interface ResponseBody {
  readonly id: string;
  readonly status: string;
  readonly output_text: string;
  readonly output: readonly { readonly type: string }[];
  readonly error: { readonly code: string } | null;
}

describe('one replica of each version', () => {
  let provider: FakeOpenAiServer;
  let cluster: LocalCluster;
  beforeAll(async () => {
    provider = await FakeOpenAiServer.start(({ body }) => answerTo(JSON.stringify(body.messages?.at(-1) ?? '')));
    cluster = await LocalCluster.start({
      replicas: 2,
      config: {
        app: APP,
        provider: { type: 'openai', model: 'fake-model', base_url: provider.baseUrl },
        middleware: { template: { enabled: false } },
        limits: { per_user: { requests_per_minute: 10_000, tokens_per_minute: 10_000_000 } },
      },
      env: { ...process.env, OPENAI_API_KEY: 'sk-test' },
    });
    await replace(at(1), NEXT);
  });
  afterAll(async () => {
    await cluster.close();
    await provider.close();
  });

  function at(i: number): Replica {
    const replica = cluster.replicas[i];
    if (replica === undefined) throw new Error('there are two');
    return replica;
  }
  const BOTH = [
    ['this build', 'the next', 0, 1],
    ['the next', 'this build', 1, 0],
  ] as const;

  function answerTo(question: string) {
    if (question.includes('hang')) return { steps: [textChunk('one '), textChunk('two '), { hang: true } as const] };
    if (!question.includes('slow')) return textAnswer(['an ', 'answer']);
    return textAnswer(
      Array.from({ length: 100 }, (_, i) => `${i} `),
      { intervalMs: 20 },
    );
  }

  async function post<T>({ url }: Replica, path: string, body: object = {}, headers: Record<string, string> = {}) {
    const init = { method: 'POST', body: JSON.stringify(body) };
    const answer = await fetch(url + path, { ...init, headers: { 'content-type': 'application/json', ...headers } });
    // The caller names the shape that the protocol gives.
    return (await answer.json()) as T;
  }
  const newConversation = async () => (await post<{ id: string }>(at(0), '/v1/conversations')).id;

  async function ask(where: Replica, input: string, more: object = {}): Promise<{ socket: TestSocket; id: string }> {
    const socket = await TestSocket.open(where.socketUrl);
    socket.send({ type: 'response.create', input, ...more });
    return { socket, id: responseIn(await socket.next('response.created')).id };
  }

  function responseIn(frame: Frame): ResponseBody {
    // An event that carries its response.
    return frame['response'] as ResponseBody;
  }

  async function resume(where: Replica, id: string, after: number): Promise<TestSocket> {
    const socket = await TestSocket.open(`${where.socketUrl}?resume=${id}:${after}`);
    await socket.next('sluice:resumed');
    return socket;
  }

  const numbered = ({ frames }: TestSocket) => frames.filter(({ type }) => type.startsWith('response.'));
  /** The last request to the provider. */
  const sent = () => provider.requests.findLast(({ body }) => body.messages !== undefined)?.body.messages ?? [];

  it('runs two versions, of which the newer sends fields that are unknown to this one', async () => {
    expect([await versionOf(at(0)), await versionOf(at(1))]).toEqual([['1.0.0'], ['1.1.0']]);
    const { socket } = await ask(at(1), 'Hello');
    await socket.next(isTerminalFrame);
    for (const frame of numbered(socket)) expect(frame).toHaveProperty('added_in', '1.1.0');
    const types = new Set(numbered(socket).map(({ type }) => type));
    expect(types).toContain('response.note.added');
    socket.close();
  });

  it.each(BOTH)(
    'resumes the other version’s answer in the middle (%s begins, %s resumes)',
    async (_a, _b, from, to) => {
      const { socket, id } = await ask(at(from), `slow ${randomUUID()}`);
      await socket.next('response.output_text.delta');
      socket.close();
      await socket.closed;
      const first = numbered(socket);
      const second = await resume(at(to), id, first.length - 1);
      for (let i = 0; i < 5; i++) await second.next('response.output_text.delta');
      second.close();
      await second.closed;
      const third = await resume(at(from), id, first.length + numbered(second).length - 1);
      const end = responseIn(await third.next(isTerminalFrame));
      third.close();
      const all = [...first, ...numbered(second), ...numbered(third)];
      expect(all.map(({ sequence_number: n }) => n)).toEqual(all.map((_, i) => i));
      const text = all.map(({ type, delta }) => (type === 'response.output_text.delta' ? String(delta) : '')).join('');
      expect(text).toBe(Array.from({ length: 100 }, (_, i) => `${i} `).join(''));
      expect(end).toMatchObject({ status: 'completed', output_text: text });
    },
  );

  it.each(BOTH)('cancels the other version’s turn (%s runs, %s receives the cancel)', async (_a, _b, from, to) => {
    const { socket, id } = await ask(at(from), 'hang');
    await socket.next('response.output_text.delta');
    expect(await post<ResponseBody>(at(to), `/v1/responses/${id}/cancel`)).toMatchObject({ status: 'cancelled' });
    expect(responseIn(await socket.next(isTerminalFrame))).toMatchObject({ id, output_text: 'one two ' });
    socket.close();
  });

  it('continues one conversation at two versions in order, watched at both, and sends the provider only known items', async () => {
    const conversation = await newConversation();
    const watchers = await Promise.all([at(0), at(1)].map(({ socketUrl }) => TestSocket.open(socketUrl)));
    for (const watcher of watchers) {
      watcher.send({ type: 'sluice:subscribe', conversation });
      await watcher.next('sluice:subscribed');
    }
    for (let i = 0; i < 6; i++) {
      const { socket, id } = await ask(at(i % 2), `question ${i}`, { conversation });
      const end = responseIn(await socket.next(isTerminalFrame));
      expect(end).toMatchObject({ id, status: 'completed', output_text: 'an answer' });
      for (const watcher of watchers) {
        expect(await watcher.next('sluice:turn')).toMatchObject({ response_id: id });
        expect(responseIn(await watcher.next(isTerminalFrame))).toEqual(end);
      }
      socket.close();
    }
    for (const watcher of watchers) watcher.close();
    await post(at(0), '/v1/responses', { conversation, input: 'And?' });
    const asked = Array.from({ length: 6 }, (_, i) => [`question ${i}`, 'an answer']).flat();
    expect(sent().map(({ content }) => content)).toEqual([...asked, 'And?']);
    const listed = await fetch(`${at(0).url}/v1/conversations/${conversation}/items?limit=100`);
    const { data } = (await listed.json()) as { readonly data: readonly { readonly type: string }[] };
    // What this build does not know is kept and shown.
    expect(data.filter(({ type }) => type === 'note')).toHaveLength(3);
  });

  it('continues the other version’s chain of responses', async () => {
    let previous: ResponseBody | undefined;
    for (let i = 0; i < 4; i++) {
      const chain = previous === undefined ? {} : { previous_response_id: previous.id };
      previous = await post<ResponseBody>(at(i % 2), '/v1/responses', { ...chain, input: `question ${i}` });
      expect(previous).toMatchObject({ status: 'completed' });
    }
    expect(sent()).toHaveLength(7);
  });

  it('runs one turn for one idempotency key sent to both versions at once', async () => {
    const headers = { 'idempotency-key': randomUUID() };
    const calls = provider.requests.length;
    const answers = await Promise.all(
      [0, 1, 0, 1].map((i) => post<ResponseBody>(at(i), '/v1/responses', { input: 'once' }, headers)),
    );
    expect(new Set(answers.map(({ id }) => id)).size).toBe(1);
    expect(provider.requests).toHaveLength(calls + 1);
  });

  it('answers a chat completion at the newer version', async () => {
    const body = { model: 'fake-model', messages: [{ role: 'user', content: 'Hello' }] };
    const answer = await post<{ choices: { message: { content: string } }[] }>(at(1), '/v1/chat/completions', body);
    expect(answer.choices[0]?.message.content).toBe('an answer');
  });

  it.each(BOTH)(
    'ends the turn of a crashed replica with its text, in a usable conversation (%s crashes, %s ends it)',
    async (_a, _b, lost, left) => {
      const conversation = await newConversation();
      const { socket, id } = await ask(at(lost), 'hang', { conversation });
      await socket.next('response.output_text.delta');
      const viewer = await resume(at(left), id, -1);
      await at(lost).kill();
      const end = responseIn(await viewer.next(isTerminalFrame));
      expect(end).toMatchObject({ status: 'failed', error: { code: 'replica_lost' }, output_text: 'one two ' });
      expect(numbered(viewer).map(({ sequence_number: n }) => n)).toEqual(numbered(viewer).map((_, i) => i));
      const next = await post<ResponseBody>(at(left), '/v1/responses', { conversation, input: 'And now?' });
      expect(next.status).toBe('completed');
      expect(sent().map(({ content }) => content)).toEqual(['hang', 'one two ', 'And now?']);
      viewer.close();
      await at(lost).start();
    },
  );
});

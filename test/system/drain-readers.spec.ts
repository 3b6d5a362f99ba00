/*
 * What readers get that are slower than the turn when their replica drains: everything, or an error
 * with the reason.
 */

import { afterEach, describe, expect, it } from '@jest/globals';
import { setTimeout as delay } from 'node:timers/promises';
import { responseIn, sseMessages, terminalOf, upTo } from '../support/gateway-harness.js';
import { FakeOpenAiServer, textAnswer, textChunk } from '../support/fake-openai-server.js';
import { GatewayProcess } from '../support/gateway-process.js';
import { RawClient } from '../support/raw-client.js';
import { RawHttp } from '../support/raw-http.js';
import { RedisServer } from '../../scripts/development/cluster/redis.js';

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function start(config: Parameters<typeof GatewayProcess.start>[0], env: Record<string, string> = {}) {
  const gateway = await GatewayProcess.start(config, env);
  closing.push(() => gateway.stop());
  return gateway;
}

/** More than the buffers of both ends of a connection hold. */
const PIECES = upTo(1_200).map(() => 'x'.repeat(16 * 1_024));

/** A gateway with state in memory whose provider answers with `PIECES`. */
async function startTalking(): Promise<GatewayProcess> {
  const provider = await FakeOpenAiServer.start(textAnswer(PIECES));
  closing.push(() => provider.close());
  const config = { provider: { type: 'openai', model: 'fake-model' }, app: { shutdown_timeout: '5m' } };
  return start(config, { OPENAI_API_KEY: 'sk-test', OPENAI_BASE_URL: provider.baseUrl });
}

/**
 * Sends SIGTERM after the turn, and returns when the gateway has had time to leave its reader
 * behind.
 */
async function endAfterTurn(gateway: GatewayProcess): Promise<void> {
  while (!gateway.output.includes('request completed')) await delay(20);
  gateway.signal('SIGTERM');
  while ((await gateway.probe('/ready'))?.status === 200);
  const end = await Promise.race([gateway.exited, delay(1_000, 'still there')]);
  expect(end).toBe('still there');
}

const request = (body: object): string => {
  const json = JSON.stringify(body);
  return `POST /v1/responses HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${json.length}\r\nConnection: close\r\n\r\n${json}`;
};

describe('a drain with state in memory', () => {
  it('waits until a slow SSE reader has its terminal event [DRAIN-6]', async () => {
    const gateway = await startTalking();
    const reader = await RawHttp.open(gateway.port);
    reader.socket.pause();
    reader.send(request({ input: 'Hi', stream: true }));
    await endAfterTurn(gateway);
    reader.socket.resume();
    await reader.closed;
    expect(reader.text).toContain('event: response.completed');
    expect(await gateway.exited).toBe(0);
  });

  it('waits until a slow reader has its whole JSON answer [DRAIN-6]', async () => {
    const gateway = await startTalking();
    const reader = await RawHttp.open(gateway.port);
    reader.socket.pause();
    reader.send(request({ input: 'Hi' }));
    await endAfterTurn(gateway);
    reader.socket.resume();
    const { status, body } = await reader.answer();
    expect(status).toBe(200);
    expect(JSON.parse(body)).toMatchObject({ status: 'completed', output_text: PIECES.join('') });
    expect(await gateway.exited).toBe(0);
  });

  it('waits until a slow socket has its terminal event, then closes it with 1012 [DRAIN-6]', async () => {
    const gateway = await startTalking();
    const client = await RawClient.open(gateway.socketUrl);
    client.create({ input: 'Hi' });
    await client.until('response.created');
    client.socket.pause();
    await endAfterTurn(gateway);
    client.socket.resume();
    expect(terminalOf(await client.turn()).status).toBe('completed');
    expect((await client.closed).code).toBe(1012);
    expect(await gateway.exited).toBe(0);
  });
});

describe('a drain with shared state', () => {
  it('sends SSE readers of other replicas an error, and they resume elsewhere [DRAIN-6, SSE-2]', async () => {
    const redis = await RedisServer.start();
    closing.push(() => redis.close());
    const config = { state: { type: 'redis', url: redis.url } };
    const [leaving, staying] = [await start(config), await start(config)];
    const writer = await RawClient.open(staying.socketUrl);
    writer.create({ input: 'demo: hang after=3' });
    const { id } = responseIn(await writer.until('response.created'));
    await writer.until('response.output_text.delta');

    const stream = await fetch(`${leaving.url}/v1/responses/${id}?stream=true`);
    leaving.signal('SIGTERM');
    const messages = sseMessages(await stream.text());
    expect(messages.at(-1)?.data).toMatchObject({
      error: { code: 'draining', message: expect.stringMatching(/^unable to finish this answer; /u) },
    });
    expect(await leaving.exited).toBe(0);

    const last = Number(messages.at(-2)?.id);
    const rest = fetch(`${staying.url}/v1/responses/${id}?stream=true&starting_after=${last}`);
    await fetch(`${staying.url}/v1/responses/${id}/cancel`, { method: 'POST' });
    const resumed = sseMessages(await (await rest).text());
    expect(Number(resumed[0]?.id)).toBe(last + 1);
    expect(resumed.at(-1)?.event).toBe('response.incomplete');
    writer.socket.terminate();
  });

  it('sends readers that wait for a next event an error, and no end of the stream [DRAIN-6, SSE-2, REST-12]', async () => {
    const redis = await RedisServer.start();
    closing.push(() => redis.close());
    const provider = await FakeOpenAiServer.start({ steps: [textChunk('Half an answer'), { hang: true }] });
    closing.push(() => provider.close());
    const config = { provider: { type: 'openai', model: 'fake-model' }, state: { type: 'redis', url: redis.url } };
    const env = { OPENAI_API_KEY: 'sk-test', OPENAI_BASE_URL: provider.baseUrl };
    const [leaving, staying] = [await start(config, env), await start(config, env)];
    const writer = await RawClient.open(staying.socketUrl);
    writer.create({ input: 'Hi' });
    const { id } = responseIn(await writer.until('response.created'));
    const url = `/v1/responses/${id}?stream=true`;
    const newest = Number((await writer.until('response.output_text.delta'))['sequence_number']);

    const resumed = await fetch(`${leaving.url}${url}&starting_after=${newest}`);
    const browser = await fetch(`${leaving.url}${url}`, { headers: { 'last-event-id': `${newest}` } });
    leaving.signal('SIGTERM');
    for (const stream of [resumed, browser]) {
      expect(stream.status).toBe(200);
      const [message] = sseMessages(await stream.text());
      expect(message?.data).toMatchObject({ sequence_number: newest + 1, error: { code: 'draining' } });
    }
    expect(await leaving.exited).toBe(0);
    writer.socket.terminate();
  });

  it('ends waiting requests with an error that forbids a second turn while Redis does not answer [DRAIN-6, ERR-3]', async () => {
    const redis = await RedisServer.start();
    closing.push(() => redis.close());
    const provider = await FakeOpenAiServer.start({ steps: [textChunk('Half an answer'), { hang: true }] });
    closing.push(() => provider.close());
    const state = { type: 'redis', url: redis.url };
    const config = { provider: { type: 'openai', model: 'fake-model' }, state, app: { shutdown_timeout: '1s' } };
    const env = { OPENAI_API_KEY: 'sk-test', OPENAI_BASE_URL: provider.baseUrl };
    const gateway = await start(config, env);
    const post = (path: string, body: object) =>
      fetch(`${gateway.url}${path}`, {
        method: 'POST',
        body: JSON.stringify(body),
        headers: { 'content-type': 'application/json' },
      });
    const waiting = [
      post('/v1/responses', { input: 'Hi' }),
      post('/v1/chat/completions', { messages: [{ role: 'user', content: 'Hi' }] }),
    ];
    const log = (): string[] => gateway.output.match(/request received/gu) ?? [];
    while (log().length < 2 || provider.requests.length < 2) await delay(20);

    redis.pause();
    gateway.signal('SIGTERM');
    for (const answer of await Promise.all(waiting)) {
      expect([answer.status, answer.headers.get('x-should-retry')]).toEqual([503, 'false']);
      // On a slow machine the wait may end before the drain interrupts it.
      const code = expect.stringMatching(/^(draining|state_unavailable)$/u);
      expect(await answer.json()).toMatchObject({ error: { code, response_id: expect.stringMatching(/^resp_/u) } });
    }
    expect(await gateway.exited).toBe(1);
    redis.resume();
  });
});

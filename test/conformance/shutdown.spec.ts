/*
 * The graceful end, in one process: what is refused, what is still delivered, and how the clients
 * are sent away.
 */

import { afterEach, describe, expect, it } from '@jest/globals';
import {
  GatewayHarness,
  errorIn,
  framesOf,
  heldAnswer,
  responseIn,
  sseMessages,
  terminalOf,
  typesOf,
} from '../support/gateway-harness.js';
import { textAnswer, textChunk } from '../support/fake-openai-server.js';
import { RawClient } from '../support/raw-client.js';
import { allowed } from '../support/machine.js';

let harness: GatewayHarness;
afterEach(() => harness.close());

const ready = async (): Promise<{ status: number; body: unknown }> => {
  const answer = await fetch(`${harness.gateway.opsUrl}/ready`);
  return { status: answer.status, body: await answer.json() };
};

describe('a drain', () => {
  it('refuses new work on every route and reports itself [DRAIN-1, UP-4, OPS-1, OPS-2, ERR-3]', async () => {
    harness = await GatewayHarness.start();
    const held = heldAnswer('Half', ' and half');
    harness.provider.answerWith(held.answer);
    const client = await harness.connect();
    client.create({ input: 'running', stream_id: 'a' });
    const { id } = responseIn(await client.until('response.created'));
    await client.until('response.output_text.delta');
    const drained = harness.gateway.gateway.drain.run();

    expect(await ready()).toMatchObject({ status: 503, body: { status: 'not ready', reason: 'draining' } });
    expect((await fetch(`${harness.gateway.opsUrl}/health`)).status).toBe(200);
    const refused = await harness.post({ input: 'new' });
    expect(refused).toMatchObject({ status: 503, body: { error: { code: 'draining' } } });
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(refused.headers.get('x-should-retry')).toBe('true');
    const [error] = await client.run({ input: 'new', stream_id: 'b' });
    expect(error).toMatchObject({ type: 'error', status: 503, stream_id: 'b' });
    expect(errorIn(error)).toMatchObject({ code: 'draining', headers: { 'retry-after': '1' } });
    const upgrade = await RawClient.refused(harness.gateway.socketUrl);
    expect(upgrade).toMatchObject({ status: 503, body: { error: { code: 'draining' } } });
    expect(upgrade.headers['retry-after']).toBe('1');

    // What there is can be read, and resumed, until the end.
    expect((await harness.api(`/v1/responses/${id}`)).body).toMatchObject({
      status: 'in_progress',
      output_text: 'Half',
    });
    client.send({ type: 'sluice:resume', response_id: id, stream_id: 'r' });
    await client.until('sluice:resumed');
    held.finish();
    expect(terminalOf(await client.turn()).status).toBe('completed');
    expect(await drained).toBe('finished');
  });

  it('lets running and waiting turns finish, then closes every viewer after its last event [DRAIN-2, DRAIN-3]', async () => {
    harness = await GatewayHarness.start();
    const conversation = await harness.conversation();
    const held = heldAnswer('Hello', ' world');
    harness.provider.answerWith((_request, index) => (index < 3 ? held.answer : textAnswer(['from the queue'])));
    const client = await harness.connect();
    client.create({ input: 'on the socket', conversation, stream_id: 'a' });
    await client.until('response.output_text.delta');
    client.create({ input: 'waits for the conversation', conversation, stream_id: 'b' });
    await client.until('response.queued');
    const idle = await harness.connect();
    const json = harness.post({ input: 'as JSON' });
    const stream = harness.fetch('/v1/responses', { method: 'POST', body: { input: 'as a stream', stream: true } });
    await harness.provider.request(2);

    const drained = harness.gateway.gateway.drain.run();
    // Their sockets stay open meanwhile: with state in memory no other replica could send them the
    // rest.
    expect(typesOf(await idle.settle())).toEqual(['sluice:pong']);
    held.finish();

    expect(terminalOf(await client.turn()).output_text).toBe('Hello world');
    expect(terminalOf(await client.turn()).output_text).toBe('from the queue');
    expect((await json).body).toMatchObject({ status: 'completed', output_text: 'Hello world' });
    const messages = sseMessages(await (await stream).text());
    expect(terminalOf(framesOf(messages)).output_text).toBe('Hello world');

    for (const socket of [client, idle]) {
      expect(await socket.closed).toMatchObject({ code: 1012 });
      const drainings = socket.frames.filter(({ type }) => type === 'sluice:draining');
      // `idle` opted in by its ping; the other client sent only events of OpenAI.
      const draining = { type: 'sluice:draining', reconnect_after_ms: expect.any(Number) };
      expect(drainings).toEqual(socket === idle ? [draining] : []);
    }
    expect(await drained).toBe('finished');
  });

  it('delivers a terminal event that is written last to every kind of viewer [DRAIN-2]', async () => {
    harness = await GatewayHarness.start();
    const held = heldAnswer('Hello');
    harness.provider.answerWith(held.answer);
    const client = await harness.connect();
    client.create({ input: 'x' });
    const { id } = responseIn(await client.until('response.created'));
    const viewers = [];
    for (let i = 0; i < 5; i++) {
      const viewer = await harness.connect({ query: `resume=${id}:-1` });
      await viewer.until('response.output_text.delta');
      viewers.push(viewer);
    }
    const stream = (await harness.fetch(`/v1/responses/${id}?stream=true`)).text();
    held.finish();
    const drained = harness.gateway.gateway.drain.run();
    for (const viewer of [client, ...viewers]) {
      expect(terminalOf(await viewer.turn()).status).toBe('completed');
      expect((await viewer.closed).code).toBe(1012);
    }
    expect(sseMessages(await stream).at(-1)?.event).toBe('response.completed');
    expect(await drained).toBe('finished');
  });

  it('ends unfinished turns in time and keeps their text [DRAIN-4, EV-6]', async () => {
    harness = await GatewayHarness.start({ config: { app: { shutdown_timeout: '300ms' } } });
    harness.provider.answerWith({ steps: [textChunk('Half an answer'), { hang: true }] });
    const client = await harness.connect();
    client.create({ input: 'x' });
    await client.until('response.output_text.delta');
    const upstream = await harness.provider.request(0);
    const drained = harness.gateway.gateway.drain.run();
    const frames = (await client.turn()).filter(({ type }) => type.startsWith('response.'));
    expect(typesOf(frames)).toEqual([
      'response.output_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'response.failed',
    ]);
    expect(terminalOf(frames)).toMatchObject({
      status: 'failed',
      error: { code: 'replica_lost' },
      output_text: 'Half an answer',
      sluice: { kept: 'partial' },
    });
    expect((await client.closed).code).toBe(1012);
    expect((await upstream.closed).complete).toBe(false);
    expect(await drained).toBe('cut short');
  });

  it('drains without waiting for a socket that does not read [DRAIN-5]', async () => {
    harness = await GatewayHarness.start({ config: { app: { shutdown_timeout: '1s' } } });
    harness.says('x'.repeat(8 * 1_048_576));
    const client = await harness.connect();
    client.create({ input: 'x' });
    await client.until('response.created');
    client.socket.pause();
    while ((await harness.gateway.metric('sluice_turns_in_flight')) > 0)
      await new Promise((resolve) => setTimeout(resolve, 20));
    const startedAt = performance.now();
    await harness.gateway.gateway.drain.run();
    expect(performance.now() - startedAt).toBeLessThan(allowed(8_000));
    client.socket.terminate();
  });
});

it('ends a turn whose replica died, in bounded time and with its text, by another replica [END-7, EV-8, EV-6]', async () => {
  harness = await GatewayHarness.start();
  harness.provider.answerWith({ steps: [textChunk('Half an answer'), { hang: true }] });
  const client = await harness.connect();
  client.create({ input: 'x' });
  const { id } = responseIn(await client.until('response.created'));
  await client.until('response.output_text.delta');
  // What a crash looks like in the log: no replica renews its lease, and the lease expires.
  const { state, sweep } = harness.gateway.gateway.parts;
  state.lease.renew = () => Promise.reject(new Error('this replica is dead'));
  // A replica sweeps only if it shares its state: with state in memory no other replica can have
  // crashed.
  sweep.start(1_000);
  const startedAt = Date.now();
  const frames = await client.turn();
  expect(frames.at(-1)?.type).toBe('response.failed');
  expect(terminalOf(frames)).toMatchObject({
    id,
    status: 'failed',
    error: { code: 'replica_lost' },
    output_text: 'Half an answer',
    output: [{ status: 'incomplete' }],
  });
  expect(typesOf(frames).slice(0, -1)).toEqual([
    'response.output_text.done',
    'response.content_part.done',
    'response.output_item.done',
  ]);
  expect(Date.now() - startedAt).toBeLessThan(allowed(12_000));
});

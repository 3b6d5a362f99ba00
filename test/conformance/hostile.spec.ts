/*
 * Frames of a hostile client: the gateway refuses them like any other mistake, at little cost and
 * without effect on other clients.
 */

import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { GatewayHarness, errorIn, responseIn, terminalOf, typesOf, upTo } from '../support/gateway-harness.js';
import { textAnswer } from '../support/fake-openai-server.js';
import { type Frame, frameOf, OPCODES } from '../support/raw-client.js';

let harness: GatewayHarness;
beforeAll(async () => {
  harness = await GatewayHarness.start();
});
afterEach(() => harness.hangUp());
afterAll(() => harness.close());

/** Names that JavaScript's own objects have. */
const OWN_NAMES = ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty'];
const nested = (levels: number): string => `${'['.repeat(levels)}${']'.repeat(levels)}`;

const NONSENSE: readonly string[] = [
  ...[
    '',
    ' ',
    '{',
    'null',
    'true',
    '[]',
    '"x"',
    '1e999',
    '\u0000',
    '{}',
    '{"type":null}',
    '{"type":{}}',
    '{"type":""}',
  ],
  ...OWN_NAMES.map((name) => `{"type":"${name}"}`),
  ...OWN_NAMES.map((name) => `{"type":"response.create","input":"x","${name}":{"polluted":true}}`),
  ...OWN_NAMES.map((name) => `{"type":"response.create","input":[{"type":"${name}"}]}`),
  ...OWN_NAMES.map((name) => `{"type":"response.create","input":"x","prompt":{"id":"${name}"}}`),
  ...OWN_NAMES.map((name) => `{"type":"sluice:resume","response_id":"${name}"}`),
  ...OWN_NAMES.map((name) => `{"type":"sluice:subscribe","conversation":"${name}"}`),
  ...['response.cancel', 'sluice:resume', 'sluice:subscribe', 'sluice:auth'].map((type) => `{"type":"${type}"}`),
  `{"type":"response.create","input":${nested(100_000)}}`,
  `{"type":"response.create","input":"x","metadata":{"a":${nested(100_000)}}}`,
  `{"type":"response.create","input":"x","tools":[{"type":"function","name":"f","parameters":{"a":${nested(100_000)}}}]}`,
  `{"type":"sluice:ping","id":${nested(100_000)}}`,
  `{"type":"${'x'.repeat(900_000)}"}`,
  `{"${'x'.repeat(900_000)}":1,"type":"response.create"}`,
  `{"type":"response.cancel","response_id":"${'x'.repeat(900_000)}"}`,
];

describe('a hostile frame', () => {
  it.each(NONSENSE.map((frame) => [frame.length > 70 ? `${frame.slice(0, 70)}…` : frame, frame] as const))(
    'is refused once, as a mistake of the client: %j [WS-4, ERR-2]',
    async (_shown, frame) => {
      const client = await harness.connect();
      client.send(frame);
      const answer = await client.until('error');
      expect(answer).toMatchObject({ error: { type: expect.any(String), message: expect.any(String) } });
      expect(answer['status']).toBeGreaterThanOrEqual(400);
      expect(answer['status']).toBeLessThan(500);
      expect(JSON.stringify(answer).length).toBeLessThan(2_000);
      expect(typesOf(await client.settle())).toEqual(['sluice:pong']);
    },
  );

  it('leaves the objects of JavaScript unchanged', () => {
    expect('polluted' in {}).toBe(false);
  });

  it('may name a lane like a property of JavaScript’s objects [LANE-1]', async () => {
    harness.says('Hello');
    const client = await harness.connect();
    for (const stream_id of OWN_NAMES) {
      const frames = await client.run({ input: 'Hi', stream_id });
      expect(new Set(frames.map((frame) => frame['stream_id']))).toEqual(new Set([stream_id]));
      expect(terminalOf(frames).output_text).toBe('Hello');
    }
  });

  it('may contain half a surrogate pair', async () => {
    harness.says('Hello');
    const client = await harness.connect();
    expect(terminalOf(await client.run({ input: '\ud800' })).status).toBe('completed');
  });
});

describe('fragments of frames', () => {
  it('are dropped with their connection if the rest never arrives', async () => {
    const half = frameOf(OPCODES.text, 'x'.repeat(500_000), { size: 1_000_000n });
    for (const _ of upTo(20)) (await harness.connect()).wire.write(half);
    const other = await harness.connect();
    await other.settle();
    await harness.hangUp();
    while ((await harness.gateway.metric('sluice_connections')) > 0) await new Promise(setImmediate);
  });

  it.each([
    ['empty and never end', frameOf(OPCODES.more, '', { final: false }), 100_000],
    ['small and never end', frameOf(OPCODES.more, 'x', { final: false }), 200_000],
    ['large and never end', frameOf(OPCODES.more, 'x'.repeat(60_000), { final: false }), 100],
  ])('close the socket if they are %s [WS-6]', async (_what, piece, times) => {
    const client = await harness.connect();
    client.wire.write(frameOf(OPCODES.text, 'x', { final: false }));
    client.wire.write(Buffer.concat(upTo(times).map(() => piece)));
    // `ws` bounds the number of pieces (1008) as the size of them all (1009).
    expect([1008, 1009]).toContain((await client.closed).code);
  });

  it('close the socket at once if they announce an excessive size [WS-6]', async () => {
    const client = await harness.connect();
    client.wire.write(frameOf(OPCODES.text, 'x', { size: 2n ** 52n }));
    expect((await client.closed).code).toBe(1009);
  });
});

describe('a flood of frames', () => {
  /** All of them in one write, as no careful client would send them. */
  const flood = (
    client: Awaited<ReturnType<GatewayHarness['connect']>>,
    times: number,
    frame: (i: number) => object,
  ): void =>
    void client.wire.write(Buffer.concat(upTo(times).map((i) => frameOf(OPCODES.text, JSON.stringify(frame(i))))));

  it('is answered completely and leaves one subscription if it subscribes to one conversation [SUB-1, SUB-3, WS-18]', async () => {
    // Operations count for each caller: a gateway of its own.
    const free = await GatewayHarness.start({ config: { limits: { per_user: { operations_per_minute: 1_000_000 } } } });
    free.says('Hello');
    const conversation = await free.conversation();
    const [watcher, creator] = [await free.connect(), await free.connect()];
    flood(watcher, 5_000, () => ({ type: 'sluice:subscribe', conversation }));
    let answers = 0;
    await watcher.take(({ type }) => type === 'sluice:subscribed' && ++answers === 5_000);
    await creator.run({ input: 'Hi', conversation });
    const heard = await watcher.turn();
    expect(typesOf(heard).filter((type) => type === 'sluice:turn')).toHaveLength(1);
    expect(terminalOf(heard).output_text).toBe('Hello');
    await free.close();
  });

  it('ends in the state of its last frame if it subscribes and unsubscribes [SUB-3, WS-3]', async () => {
    harness.says('Hello');
    const conversation = await harness.conversation();
    const [watcher, creator] = [await harness.connect(), await harness.connect()];
    flood(watcher, 100, (i) => ({ type: i % 2 === 0 ? 'sluice:subscribe' : 'sluice:unsubscribe', conversation }));
    let ended = 0;
    await watcher.take(({ type }) => type === 'sluice:unsubscribed' && ++ended === 50);
    await creator.run({ input: 'Hi', conversation });
    expect(typesOf(await watcher.settle())).toEqual(['sluice:pong']);
  });

  it('ends its connection early, while another one is served, if its frames are the largest with unknown keys [WS-8, REQ-24]', async () => {
    harness.says('Hello');
    const [client, other] = [await harness.connect(), await harness.connect()];
    const frame = `{"type":"response.create",${upTo(70_000)
      .map((i) => `"key${i}":1`)
      .join(',')}}`.slice(0, 960_000);
    const startedAt = performance.now();
    for (let sent = 0; sent < 70; sent++) client.socket.send(frame);
    expect(terminalOf(await other.run({ input: 'Hi' })).output_text).toBe('Hello');
    expect((await client.closed).code).toBe(1008);
    // The budget of 60 refusals a minute refills by one a second.
    const refilled = Math.ceil((performance.now() - startedAt) / 1_000);
    const refused = client.frames.filter(({ type }) => type === 'error').length;
    expect(refused).toBeLessThanOrEqual(60 + refilled);
    expect(refused).toBeLessThan(70);
  });

  it('ends its connection, while another one is served, if it resumes a running response [RES-6, LIMIT-7, WS-8]', async () => {
    const limited = await GatewayHarness.start({ config: { limits: { per_user: { operations_per_minute: 1_000 } } } });
    limited.provider.answerWith((request) =>
      request.body.messages.at(-1)?.['content'] === 'hold' ? { steps: [{ hang: true }] } : textAnswer(['Hello']),
    );
    const [client, other] = [await limited.connect(), await limited.connect()];
    client.create({ input: 'hold' });
    const { id } = responseIn(await client.until('response.created'));
    flood(client, 50_000, () => ({ type: 'sluice:resume', response_id: id }));
    expect(terminalOf(await other.run({ input: 'Hi' })).output_text).toBe('Hello');
    expect((await client.closed).code).toBe(1008);
    const served = ['replay', 'replaced'].map((mode) => limited.gateway.metric(`sluice_resumes_total{mode="${mode}"}`));
    expect((await Promise.all(served)).reduce((sum, count) => sum + count)).toBeLessThan(2_000);
    expect((await limited.api(`/v1/responses/${id}`)).status).not.toBe(404);
    await limited.close();
  });

  it('is answered completely, while another client is served, if it consists of pings [WS-10, WS-18]', async () => {
    harness.says('Hello');
    const [client, other] = [await harness.connect(), await harness.connect()];
    flood(client, 20_000, (id) => ({ type: 'sluice:ping', id }));
    expect(terminalOf(await other.run({ input: 'Hi' })).output_text).toBe('Hello');
    const answers = await client.take(({ id }) => id === 19_999);
    expect(answers.map(({ id }) => id)).toEqual(upTo(20_000));
  });

  it('starts as many turns as a connection may have, and ends it, if it requests turns [WS-7, WS-8]', async () => {
    harness.provider.answerWith({ steps: [{ hang: true }] });
    const asked = harness.provider.requests.length;
    const client = await harness.connect({ query: 'on_disconnect=cancel' });
    flood(client, 5_000, (i) => ({ type: 'response.create', input: 'Hi', stream_id: `lane${i % 32}` }));
    expect((await client.closed).code).toBe(1008);
    const created = client.frames.filter(({ type }) => type === 'response.created');
    expect(created.length).toBeLessThanOrEqual(16);
    expect(harness.provider.requests.length - asked).toBeLessThanOrEqual(16);
    while ((await harness.gateway.metric('sluice_turns_in_flight')) > 0) await new Promise(setImmediate);
  });

  it('ends a running turn once and leaves the connection open if it cancels [CAN-2]', async () => {
    harness.provider.answerWith({ steps: [{ hang: true }] });
    const client = await harness.connect();
    client.create({ input: 'Hi' });
    const { id } = responseIn(await client.until('response.created'));
    flood(client, 50, () => ({ type: 'response.cancel', response_id: id }));
    const received = await client.take((frame: Frame) => frame.type === 'response.incomplete');
    expect(errorIn(received.find(({ type }) => type === 'error'))).toEqual({});
    await client.settle();
  });
});

it('logs no internal error for hostile frames, and serves the next client', async () => {
  harness.says('Hello');
  expect(terminalOf(await (await harness.connect()).run({ input: 'Hi' })).output_text).toBe('Hello');
  expect(harness.gateway.lines.filter((line) => /"level":"(error|fatal)"/u.test(line))).toEqual([]);
  expect(await harness.gateway.metric('sluice_requests_total{status="error"}')).toBe(0);
});

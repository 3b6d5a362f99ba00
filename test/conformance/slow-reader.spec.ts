/* A socket that does not read: its cost, its effect on other clients, and its end. */

import { once } from 'node:events';
import { type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import {
  GatewayHarness,
  deltasOf,
  heldAnswer,
  numbersOf,
  responseIn,
  terminalOf,
  upTo,
} from '../support/gateway-harness.js';
import { type FakeAnswer, textAnswer } from '../support/fake-openai-server.js';
import { frameOf, isTerminalFrame, OPCODES } from '../support/raw-client.js';
import { allowed } from '../support/machine.js';

const BUFFER = 64 * 1_024;
/** What may come on top of the bound: one slice of writes, and the event that crossed it. */
const ONE_WRITE = 256 * 1_024 + 64 * 1_024;
const PIECE = 'x'.repeat(16 * 1_024);
/** More than the kernel's buffers of both ends hold. */
const PIECES = 500;

let harness: GatewayHarness;
const sockets = new Set<Socket>();
/** Most bytes that waited in any of the gateway's sockets. */
let most = 0;
let sampler: NodeJS.Timeout;

beforeAll(async () => {
  harness = await GatewayHarness.start({
    config: { websocket: { outbound_buffer_bytes: BUFFER, slow_reader_timeout: '1s' } },
  });
  const server = harness.gateway.gateway.app.getHttpServer();
  server.on('connection', (socket: Socket) => sockets.add(socket));
  sampler = setInterval(() => {
    for (const socket of sockets) most = Math.max(most, socket.writableLength);
  }, 1);
});
afterEach(() => harness.hangUp());
afterAll(async () => {
  clearInterval(sampler);
  await harness.close();
});

/** Between two looks at what will come. */
const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

const flood = (): FakeAnswer => {
  const all = textAnswer(upTo(PIECES).map(() => PIECE));
  // Without its end: the closing events of so long an answer are not what this is about.
  return { steps: 'steps' in all ? [...all.steps].slice(0, -3).concat([{ hang: true }]) : [] };
};

describe('a slow reader', () => {
  it('closes a slow reader with 1013 after a bounded buffer, without effect on other clients [WS-14]', async () => {
    most = 0;
    harness.provider.answerWith((request) =>
      request.body.messages.at(-1)?.['content'] === 'flood' ? flood() : textAnswer(['quick']),
    );
    const slow = await harness.connect();
    slow.create({ input: 'flood' });
    const { id } = responseIn(await slow.until('response.created'));
    slow.socket.pause();

    const other = await harness.connect();
    const slowedAt = performance.now();
    const metric = 'sluice_slow_readers_total';
    let turns = 0;
    while ((await harness.gateway.metric(metric)) === 0) {
      const startedAt = performance.now();
      expect(terminalOf(await other.run({ input: 'Hi' })).output_text).toBe('quick');
      expect(performance.now() - startedAt).toBeLessThan(allowed(1_000));
      turns += 1;
    }
    expect(turns).toBeGreaterThan(0);
    expect(performance.now() - slowedAt).toBeLessThan(allowed(15_000));
    expect(most).toBeGreaterThan(BUFFER / 2);
    expect(most).toBeLessThan(BUFFER + ONE_WRITE);

    slow.socket.resume();
    expect((await slow.closed).code).toBe(1013);
    const deltas = slow.frames.filter(({ type }) => type === 'response.output_text.delta');
    expect(numbersOf(slow.frames)).toEqual(upTo(slow.frames.length));
    expect(deltas.length).toBeGreaterThan(0);

    const back = await harness.connect();
    back.send({ type: 'sluice:resume', response_id: id, starting_after: slow.frames.length - 2 });
    expect((await back.next()).type).not.toBe('error');
    back.send({ type: 'response.cancel', response_id: id });
    expect((await back.take(isTerminalFrame)).length).toBeGreaterThan(0);
  });

  it('spends no more memory on a slow reader that requests a long replay [WS-14]', async () => {
    harness.provider.answerWith(flood());
    const creator = await harness.connect();
    creator.create({ input: 'flood' });
    const { id } = responseIn(await creator.until('response.created'));
    let received = 0;
    await creator.take((frame) => (received += String(frame['delta'] ?? '').length) === PIECE.length * PIECES);

    most = 0;
    const slow = await harness.connect({ query: `resume=${id}:-1` });
    slow.socket.pause();
    while (most < BUFFER / 2) await pause();
    const closed = await harness.gateway.metric('sluice_slow_readers_total');
    while ((await harness.gateway.metric('sluice_slow_readers_total')) === closed) await pause();
    expect(most).toBeLessThan(BUFFER + ONE_WRITE);
    slow.socket.terminate();
    creator.send({ type: 'response.cancel', response_id: id });
    await creator.take(isTerminalFrame);
  });

  it('spends no more memory on a slow reader that pings all the time, and sends it the newest pong [WS-11, WS-14]', async () => {
    const slow = await harness.connect();
    slow.socket.pause();
    most = 0;
    // As many bytes of answers as the kernel's buffers of both ends do not hold by far.
    const ping = frameOf(OPCODES.ping, Buffer.alloc(125, 'p'));
    const thousand = Buffer.concat(upTo(1_000).map(() => ping));
    for (const _ of upTo(200)) if (!slow.wire.write(thousand)) await once(slow.wire, 'drain');
    const last = 'the last one';
    const pongs: string[] = [];
    slow.socket.on('pong', (payload: Buffer) => pongs.push(payload.toString()));
    slow.socket.ping(last);
    slow.socket.resume();
    while (pongs.at(-1) !== last) await pause();
    await slow.settle();
    expect(most).toBeLessThan(BUFFER);
  });

  it('sends a slow reader everything in order if it reads again in time [WS-14]', async () => {
    most = 0;
    const held = heldAnswer('');
    const pieces = upTo(PIECES).map(() => PIECE);
    harness.provider.answerWith(() => {
      const all = textAnswer(pieces);
      return 'steps' in all && 'steps' in held.answer
        ? { steps: [...all.steps].slice(0, -3).concat([...held.answer.steps]) }
        : held.answer;
    });
    const client = await harness.connect();
    client.create({ input: 'flood' });
    await client.until('response.created');
    client.socket.pause();
    // Until the gateway's own buffer is full, and its cursor waits.
    while (most < BUFFER) await pause();
    client.socket.resume();
    let received = 0;
    await client.take((frame) => (received += String(frame['delta'] ?? '').length) === PIECE.length * pieces.length);
    const mostBeforeEnd = most;

    held.finish();
    const rest = await client.turn();
    // Until the closing events, each of which carries all of it.
    expect(mostBeforeEnd).toBeLessThan(BUFFER + ONE_WRITE);
    expect(numbersOf(client.frames)).toEqual(upTo(client.frames.length));
    expect(deltasOf(client.frames).length).toBe(PIECE.length * pieces.length);
    expect(terminalOf(rest).status).toBe('completed');
  });
});

/* Resuming on a socket: replay, snapshot, stored, refused; by frame and by URL. */

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import {
  GatewayHarness,
  deltasOf,
  errorIn,
  heldAnswer,
  numbersOf,
  responseIn,
  terminalOf,
  typesOf,
  upTo,
} from '../support/gateway-harness.js';
import { DONE, type FakeStep, finishChunk, textChunk, usageChunk } from '../support/fake-openai-server.js';
import { type Frame, isTerminalFrame, RawClient } from '../support/raw-client.js';

let harness: GatewayHarness;
beforeAll(async () => {
  harness = await GatewayHarness.start();
});
afterEach(async () => {
  jest.restoreAllMocks();
  await harness.hangUp();
});
afterAll(() => harness.close());

const V1 = { protocols: ['sluice.v1'] } as const;

/** An ended response and its events, as its creator saw them. */
async function ended(on = harness, fields: object = {}): Promise<{ id: string; frames: Frame[] }> {
  on.says('Hello', ' wor', 'ld');
  const client = await on.connect();
  const frames = await client.run({ input: 'Hi', ...fields });
  return { id: terminalOf(frames).id, frames };
}

/** A response that has written `deltas` deltas, each an event of its own, and holds. */
async function longRunning(deltas: number): Promise<{ id: string; finish: () => void }> {
  // Each waits until the one before it was received: deltas that come together are joined.
  const received = upTo(deltas).map(() => Promise.withResolvers<void>());
  const gate = Promise.withResolvers<void>();
  const steps = received.flatMap(({ promise }, i): FakeStep[] => [textChunk(`${i} `), { until: promise }]);
  harness.provider.answerWith({
    steps: [...steps, { until: gate.promise }, textChunk('end'), finishChunk(), usageChunk(), DONE],
  });
  const client = await harness.connect();
  client.create({ input: 'Hi' });
  const created = await client.until('response.created');
  for (const { resolve } of received) {
    await client.until('response.output_text.delta');
    resolve();
  }
  return { id: responseIn(created).id, finish: () => gate.resolve() };
}

describe('sluice:resume', () => {
  it('replays an ended response from any number on [RES-1]', async () => {
    const { id, frames } = await ended();
    const client = await harness.connect();
    for (const after of [-1, 0, 3, frames.length - 2]) {
      client.send({ type: 'sluice:resume', response_id: id, starting_after: after });
      expect(await client.next()).toEqual({
        type: 'sluice:resumed',
        response_id: id,
        starting_after: after,
        status: 'completed',
      });
      expect(await client.turn()).toEqual(frames.slice(after + 1));
    }
    expect(typesOf(await client.settle())).toEqual(['sluice:pong']);
  });

  it('reports that there are no more events if it starts after the terminal event [RES-1]', async () => {
    const { id, frames } = await ended();
    const client = await harness.connect();
    client.send({ type: 'sluice:resume', response_id: id, starting_after: frames.length - 1 });
    expect((await client.next()).type).toBe('sluice:resumed');
    expect(typesOf(await client.settle())).toEqual(['sluice:pong']);
  });

  it('continues a response live from the middle, each event once, in the lane of the resume [RES-1, EV-1]', async () => {
    const held = heldAnswer('Hello', ' world');
    harness.provider.answerWith(held.answer);
    const lost = await harness.connect();
    lost.create({ input: 'Hi' });
    const seen = await lost.take(({ type }) => type === 'response.output_text.delta');
    lost.socket.terminate();
    await lost.closed;
    const id = responseIn(seen[0]).id;

    const client = await harness.connect();
    client.send({ type: 'sluice:resume', response_id: id, starting_after: seen.length - 3, stream_id: 'r' });
    expect(await client.next()).toMatchObject({ type: 'sluice:resumed', status: 'in_progress', stream_id: 'r' });
    held.finish();
    const rest = await client.turn();
    expect(rest.every((frame) => frame['stream_id'] === 'r')).toBe(true);
    const all = [...seen.slice(0, -2), ...rest];
    expect(numbersOf(all)).toEqual(upTo(all.length));
    expect(deltasOf(all)).toBe('Hello world');
    expect(terminalOf(rest).output_text).toBe('Hello world');
  });

  it('follows a response by the newest of many resumes on one connection [RES-6]', async () => {
    const held = heldAnswer('Hello', ' world');
    harness.provider.answerWith(held.answer);
    const client = await harness.connect();
    client.create({ input: 'Hi', stream_id: 'a' });
    const seen = await client.take(({ type }) => type === 'response.output_text.delta');
    client.send({ type: 'sluice:resume', response_id: responseIn(seen[0]).id, starting_after: 1, stream_id: 'b' });
    const resumed = await client.take(({ type }) => type === 'response.output_text.delta');
    expect(numbersOf(resumed)).toEqual(upTo(seen.length).slice(2));
    held.finish();
    const rest = await client.turn();
    expect(rest.every((frame) => frame['stream_id'] === 'b')).toBe(true);
    expect(numbersOf(rest)).toEqual(rest.map((_, i) => seen.length + i));
    expect(typesOf(await client.settle())).toEqual(['sluice:pong']);
  });

  it('comes before responses that are created in the lane afterwards [RES-8]', async () => {
    const held = heldAnswer('first');
    harness.provider.answerWith(held.answer);
    const creator = await harness.connect();
    creator.create({ input: 'Hi' });
    const { id } = responseIn(await creator.until('response.created'));
    const client = await harness.connect();
    client.send({ type: 'sluice:resume', response_id: id, stream_id: 'a' });
    client.create({ input: 'next', stream_id: 'a' });
    await client.until('response.output_text.delta');
    held.finish();
    const first = await client.turn();
    harness.says('second');
    const second = await client.turn();
    expect(terminalOf(first).id).toBe(id);
    expect(second[0]?.type).toBe('response.created');
    expect(terminalOf(second).id).not.toBe(id);
  });

  it('refuses a number past the newest event, with nothing partial [RES-5]', async () => {
    const { id, frames } = await ended();
    const client = await harness.connect();
    client.send({ type: 'sluice:resume', response_id: id, starting_after: frames.length, stream_id: 'a' });
    expect(await client.next()).toMatchObject({
      type: 'error',
      status: 400,
      stream_id: 'a',
      error: { code: 'invalid_cursor' },
    });
    expect(typesOf(await client.settle())).toEqual(['sluice:pong']);
  });

  it('refuses an unknown response [RES-5]', async () => {
    const client = await harness.connect();
    client.send({ type: 'sluice:resume', response_id: 'resp_unknown' });
    expect(await client.next()).toMatchObject({ type: 'error', status: 404, error: { code: 'response_not_found' } });
    expect(typesOf(await client.settle())).toEqual(['sluice:pong']);
  });

  it('sends its refusal in the order of the lane [LANE-3, RES-8]', async () => {
    const held = heldAnswer('first');
    harness.provider.answerWith(held.answer);
    const client = await harness.connect();
    client.create({ input: 'Hi', stream_id: 'a' });
    client.send({ type: 'sluice:resume', response_id: 'resp_unknown', stream_id: 'a' });
    await client.until('response.output_text.delta');
    held.finish();
    expect((await client.turn()).at(-1)?.type).toBe('response.completed');
    expect(await client.next()).toMatchObject({ type: 'error', stream_id: 'a' });
  });

  it('reports a log that disappears during the replay [RES-5]', async () => {
    const held = heldAnswer('Hello', ' world');
    harness.provider.answerWith(held.answer);
    const creator = await harness.connect();
    creator.create({ input: 'Hi' });
    const { id } = responseIn(await creator.until('response.created'));
    const viewer = await harness.connect({ query: `resume=${id}:-1` });
    await viewer.until('response.output_text.delta');
    await harness.gateway.gateway.parts.state.events.delete(id);
    held.finish();
    expect(await viewer.until('error')).toMatchObject({ status: 410, error: { code: 'response_expired' } });
  });
});

describe('snapshots', () => {
  const EVENTS = 400;

  it('replaces a long replay by a snapshot, and sends the remaining events without a gap [RES-2]', async () => {
    const { id, finish } = await longRunning(EVENTS);
    const client = await harness.connect(V1);
    client.send({ type: 'sluice:resume', response_id: id });
    const snapshot = await client.next();
    expect(snapshot).toMatchObject({ type: 'sluice:snapshot', response_id: id });
    const upToHere = Number(snapshot['sequence_number']);
    expect(upToHere).toBeGreaterThan(256);
    const shown = responseIn(snapshot);
    expect(shown).toMatchObject({ status: 'in_progress', output: [{ status: 'in_progress' }] });
    finish();
    const rest = await client.turn();
    expect(numbersOf(rest)).toEqual(rest.map((_, i) => upToHere + 1 + i));
    expect(shown.output_text + deltasOf(rest)).toBe(terminalOf(rest).output_text);
  });

  it('sends no snapshot if few events are missing [RES-2]', async () => {
    const { id, finish } = await longRunning(EVENTS);
    const client = await harness.connect(V1);
    client.send({ type: 'sluice:resume', response_id: id, starting_after: EVENTS - 50 });
    expect((await client.next()).type).toBe('sluice:resumed');
    finish();
    expect(numbersOf(await client.turn())[0]).toBe(EVENTS - 49);
  });

  it('sends snapshots only to connections that opted in, and every event to others [RES-4]', async () => {
    const { id, finish } = await longRunning(EVENTS);
    finish();
    const plain = await harness.connect({ query: `resume=${id}:-1` });
    expect((await plain.next()).type).toBe('sluice:resumed');
    const all = await plain.turn();
    expect(numbersOf(all)).toEqual(upTo(all.length));
    expect(deltasOf(all)).toBe(terminalOf(all).output_text);

    for (const options of [V1, { query: '' }]) {
      const query = `resume=${id}:-1${'query' in options ? '&snapshots=1' : ''}`;
      const opted = await harness.connect({ ...options, query });
      expect((await opted.next()).type).toBe('sluice:snapshot');
    }
  });

  it('numbers the snapshot of an ended response with the event before its terminal, which follows [RES-3]', async () => {
    const { id, finish } = await longRunning(EVENTS);
    finish();
    await harness.api(`/v1/responses/${id}/cancel`, { method: 'POST' });
    const client = await harness.connect(V1);
    client.send({ type: 'sluice:resume', response_id: id });
    const [snapshot, terminal] = await client.turn();
    expect(snapshot).toMatchObject({ type: 'sluice:snapshot' });
    expect(isTerminalFrame(terminal as Frame)).toBe(true);
    expect(terminal?.['sequence_number']).toBe(Number(snapshot?.['sequence_number']) + 1);
  });
});

describe('?resume= on the URL', () => {
  it('replays several responses into their lanes, after hello, in a later tick than the opening [RES-7]', async () => {
    const one = await ended();
    const two = await ended();
    const client = new RawClient(harness.gateway.socketUrl, {
      query: `resume=${one.id}:3,${two.id}:-1:b,resp_unknown:0:c`,
    });
    let openedWith = -1;
    client.socket.on('open', () => (openedWith = client.frames.length));
    expect((await client.next()).type).toBe('sluice:hello');
    const frames: Frame[] = [];
    while (frames.filter((frame) => isTerminalFrame(frame) || frame.type === 'error').length < 3) {
      frames.push(await client.next());
    }
    expect(openedWith).toBe(0);
    const lane = (name: string | undefined): Frame[] => frames.filter((frame) => frame['stream_id'] === name);
    expect(lane(undefined)).toEqual([expect.objectContaining({ type: 'sluice:resumed' }), ...one.frames.slice(4)]);
    expect(numbersOf(lane('b'))).toEqual(upTo(two.frames.length));
    expect(errorIn(lane('c')[0])).toMatchObject({ code: 'response_not_found' });
    await client.close();
  });

  it('accepts at most sixteen responses [RES-7, UP-3]', async () => {
    const list = (n: number): string =>
      upTo(n)
        .map((i) => `resp_${i}:0`)
        .join(',');
    const client = await harness.connect({ query: `resume=${list(16)}` });
    for (const _ of upTo(16)) expect((await client.next()).type).toBe('error');
    const refusal = await RawClient.refused(harness.gateway.socketUrl, { query: `resume=${list(17)}` });
    expect(refusal.status).toBe(400);
  });
});

describe('a response after some time', () => {
  let later: GatewayHarness;
  // A gateway of its own for each: its clock never goes back.
  beforeEach(async () => {
    later = await GatewayHarness.start();
  });
  afterEach(async () => {
    await later.close();
  });

  it('sends a stored response as a snapshot if its events have expired [RES-3, EV-11]', async () => {
    const { id, frames } = await ended(later);
    const now = performance.now();
    jest.spyOn(performance, 'now').mockReturnValue(now + 10 * 60_000 + 1_000);
    const client = await later.connect(V1);
    client.send({ type: 'sluice:resume', response_id: id, starting_after: 2, stream_id: 'a' });
    const [snapshot, terminal] = await client.turn();
    expect(snapshot).toMatchObject({
      type: 'sluice:snapshot',
      sequence_number: frames.length - 2,
      stream_id: 'a',
      response: { id, status: 'completed', output_text: 'Hello world' },
    });
    expect(terminal).toEqual({ ...frames.at(-1), stream_id: 'a' });

    const plain = await later.connect({ query: `resume=${id}:2` });
    const answers = [await plain.next()];
    expect(answers[0]).toMatchObject({ type: 'error', status: 410, error: { code: 'response_expired' } });
    expect(typesOf(await plain.settle())).toEqual(['sluice:pong']);
  });

  it('keeps the events of a response for ten minutes, or for one if it is not stored [EV-11, REQ-21]', async () => {
    const stored = await ended(later);
    const unstored = await ended(later, { store: false });
    const now = performance.now();
    const client = await later.connect();
    const statuses = async (): Promise<(string | number)[]> => {
      const found = [];
      for (const { id } of [stored, unstored]) {
        const stream = await later.fetch(`/v1/responses/${id}?stream=true`);
        await stream.text();
        found.push(stream.status, (await later.api(`/v1/responses/${id}`)).status);
      }
      return found;
    };
    expect(await statuses()).toEqual([200, 200, 200, 200]);
    jest.spyOn(performance, 'now').mockReturnValue(now + 59_000);
    expect(await statuses()).toEqual([200, 200, 200, 200]);
    jest.spyOn(performance, 'now').mockReturnValue(now + 62_000);
    expect(await statuses()).toEqual([200, 200, 404, 404]);
    jest.spyOn(performance, 'now').mockReturnValue(now + 601_000 + 1_000);
    expect(await statuses()).toEqual([410, 200, 404, 404]);
    await client.close();
  });
});

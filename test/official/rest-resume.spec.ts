/*
 * A reader that disconnects, or whose network is cut, loses nothing: the turn continues, and the
 * reader resumes from its last event.
 */

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type OpenAI from 'openai';
import { APIError, APIUserAbortError } from 'openai';
import { CuttableProxy } from '../support/cuttable-proxy.js';
import { type TestGateway, startGateway } from '../support/gateway.js';
import { collect, counting, deltaText, numbers, officialClient, seeded, spoken } from './official.js';

type StreamEvent = OpenAI.Responses.ResponseStreamEvent;

let gateway: TestGateway;
let direct: OpenAI;
let proxy: CuttableProxy;
let client: OpenAI;
beforeAll(async () => {
  gateway = await startGateway();
  direct = officialClient(gateway.url);
});
afterAll(() => gateway.close());
beforeEach(async () => {
  proxy = await CuttableProxy.start(gateway.port);
  client = officialClient(proxy.url);
});
afterEach(() => proxy.close());

const NUMBERS = 'demo: deltas=40 interval=2ms text=numbers';
const SLOWER = 'demo: deltas=40 interval=10ms text=numbers';

/** Reads until it breaks; returns why, or undefined where it did not. */
async function read(stream: AsyncIterable<StreamEvent>, into: StreamEvent[]): Promise<unknown> {
  try {
    for await (const event of stream) into.push(event);
    return undefined;
  } catch (error) {
    return error;
  }
}

function idOf(events: readonly StreamEvent[]): string {
  const first = events[0];
  if (first?.type !== 'response.created') throw new Error('the first event did not come');
  return first.response.id;
}

describe('a REST reader that leaves in the middle', () => {
  it('continues the turn of a reader that breaks out of the loop', async () => {
    const events: StreamEvent[] = [];
    for await (const event of await direct.responses.create({ input: NUMBERS, stream: true })) {
      events.push(event);
      if (deltaText(events).length > 5) break;
    }
    const rest = await collect(
      await direct.responses.retrieve(idOf(events), { stream: true, starting_after: events.length - 1 }),
    );
    expect(deltaText([...events, ...rest])).toBe(spoken(40));
    expect(rest.at(-1)).toMatchObject({ type: 'response.completed', response: { output_text: spoken(40) } });
  });

  it('continues the turn of a reader that aborts the helper', async () => {
    const stream = direct.responses.stream({ input: NUMBERS });
    const seen: StreamEvent[] = [];
    stream.on('response.created', (event) => seen.push(event)).on('response.output_text.delta', () => stream.abort());
    await expect(stream.finalResponse()).rejects.toBeInstanceOf(APIUserAbortError);
    const events = await collect(await direct.responses.retrieve(idOf(seen), { stream: true }));
    expect(deltaText(events)).toBe(spoken(40));
    expect((await direct.responses.retrieve(idOf(seen))).status).toBe('completed');
  });

  it('continues the turn of a reader that leaves while it waits for a whole answer', async () => {
    const gone = new AbortController();
    const conversation = await direct.conversations.create();
    const asked = direct.responses.create(
      { input: 'demo: deltas=10 interval=10ms text=numbers', conversation: conversation.id },
      { signal: gone.signal },
    );
    setTimeout(() => gone.abort(), 30);
    await expect(asked).rejects.toBeInstanceOf(APIUserAbortError);
    const next = await direct.responses.create({ input: 'demo: deltas=1 interval=0ms', conversation: conversation.id });
    expect(next.status).toBe('completed');
    expect(await gateway.metric('sluice_requests_total{status="cancelled"}')).toBe(0);
  });
});

describe('a REST reader whose network is cut', () => {
  const random = seeded(7);
  // An answer of 40 deltas is about 12 kB, 1 kB of it until its id is sent: the cuts hit all of it,
  // events, gaps and the end.
  const cuts = Array.from({ length: 30 }, () => 1_200 + Math.floor(random() * 10_800));

  it.each(cuts)('loses and repeats no event after %i bytes', async (bytes) => {
    proxy.cutAfter(bytes);
    const events: StreamEvent[] = [];
    const stream = await client.responses.create({ input: NUMBERS, stream: true });
    const broken = await read(stream, events);
    proxy.mend();
    expect(events.at(-1)?.type === 'response.completed' || broken !== undefined).toBe(true);
    const after = events.length - 1;
    await read(await client.responses.retrieve(idOf(events), { stream: true, starting_after: after }), events);
    expect(numbers(events)).toEqual(counting(0, events.length));
    expect(deltaText(events)).toBe(spoken(40));
    expect(events.at(-1)).toMatchObject({ type: 'response.completed', response: { output_text: spoken(40) } });
  });

  it('loses and repeats no event over repeated cuts', async () => {
    const events: StreamEvent[] = [];
    const cutSoon = (): void => proxy.cutAfter(1_200 + Math.floor(random() * 3_000));
    // Before the request: on a slow machine a whole answer may pass before the client has the
    // stream.
    cutSoon();
    let stream = await client.responses.create({ input: 'demo: deltas=120 interval=2ms text=numbers', stream: true });
    let breaks = 0;
    while ((await read(stream, events)) !== undefined) {
      breaks += 1;
      proxy.mend();
      cutSoon();
      stream = await client.responses.retrieve(idOf(events), { stream: true, starting_after: events.length - 1 });
    }
    expect(breaks).toBeGreaterThan(2);
    expect(numbers(events)).toEqual(counting(0, events.length));
    expect(deltaText(events)).toBe(spoken(120));
  });

  it('retries by itself before the answer, and runs one turn under one key', async () => {
    const stubborn = officialClient(proxy.url, { maxRetries: 3 });
    const before = await gateway.metric('sluice_requests_total{status="success"}');
    proxy.cutAfter(0);
    setTimeout(() => proxy.mend(), 100);
    const response = await stubborn.responses.create(
      { input: 'demo: deltas=3 interval=0ms text=numbers' },
      { headers: { 'idempotency-key': 'once' } },
    );
    expect(response.output_text).toBe(spoken(3));
    expect(await gateway.metric('sluice_requests_total{status="success"}')).toBe(before + 1);
  });
});

describe('a log that is lost in the middle of a stream', () => {
  it('gives the reader an error, never a clean end', async () => {
    const stream = await direct.responses.create({ input: 'demo: hang after=3 interval=0ms', stream: true });
    const events: StreamEvent[] = [];
    const broken = read(stream, events);
    const { events: log } = gateway.gateway.parts.state;
    while (events.length < 5) await new Promise((resolve) => setImmediate(resolve));
    await log.delete(idOf(events));
    const error = await broken;
    expect(error).toBeInstanceOf(APIError);
    expect(error).toMatchObject({ code: 'response_expired', requestID: expect.stringMatching(/^req_/) });
  });
});

describe('a drain with REST readers', () => {
  // The end of the turn and the end of the process race: more than one try.
  it.each(counting(1, 5))('lets answers end before the process does (%i)', async () => {
    const leaving = await startGateway();
    const there = officialClient(leaving.url);
    const events: StreamEvent[] = [];
    const broken = read(await there.responses.create({ input: SLOWER, stream: true }), events);
    const whole = there.responses.create({ input: SLOWER });
    const { turns } = leaving.gateway.parts;
    while (events.length < 5 || turns.count < 2) await new Promise((resolve) => setTimeout(resolve, 1));
    await leaving.close();
    expect(await broken).toBeUndefined();
    expect(events.at(-1)).toMatchObject({ type: 'response.completed', response: { output_text: spoken(40) } });
    expect((await whole).output_text).toBe(spoken(40));
  });
});

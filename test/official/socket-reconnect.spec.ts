/*
 * The official client whose network is cut in the middle of a stream: it reconnects by itself, its
 * `onReconnecting` names what it has seen in `?resume=`, and nothing is lost or doubled, wherever
 * the cut falls. Restarts are met the same way.
 */

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { type OpenAI } from 'openai';
import { ResponsesWebSocketSession } from 'openai/lib/responses/responses-websocket-session';
import { type ResponsesServerEvent } from 'openai/resources/responses/responses';
import { ResponsesWS } from 'openai/resources/responses/ws';
import { CuttableProxy } from '../support/cuttable-proxy.js';
import { type TestGateway, startGateway } from '../support/gateway.js';
import { closed, counting, deltaText, numbers, officialClient, openSocket, seeded, spoken } from './official.js';

const LIMITS = { maxLanes: 64, maxBufferedEvents: 10_000, maxBufferedBytes: 10_000_000 };

let gateway: TestGateway;
let proxy: CuttableProxy;
let client: OpenAI;
beforeAll(async () => {
  gateway = await startGateway();
});
afterAll(() => gateway.close());
beforeEach(async () => {
  proxy = await CuttableProxy.start(gateway.port);
  client = officialClient(proxy.url);
});
const programs: Program[] = [];
afterEach(async () => {
  for (const { ws } of programs.splice(0)) ws.close();
  await proxy.close();
});

/** One question and all that was heard of its answer. */
class Asked {
  readonly events: Exclude<Extract<ResponsesServerEvent, { sequence_number: number }>, { type: 'error' }>[] = [];
  readonly end: Promise<ResponsesServerEvent>;
  #refused = false;
  #ended: (terminal: ResponsesServerEvent) => void = () => undefined;

  constructor(
    readonly lane: string | undefined,
    readonly input: string,
    readonly key: string,
  ) {
    this.end = new Promise((resolve) => (this.#ended = resolve));
  }

  get id(): string | undefined {
    const first = this.events[0];
    return first?.type === 'response.created' ? first.response.id : undefined;
  }

  get over(): boolean {
    return this.#refused || /^response\.(?:completed|failed|incomplete)$/.test(this.events.at(-1)?.type ?? '');
  }

  /** Its position, in the form of `?resume=`. */
  get point(): string {
    const lane = this.lane === undefined ? '' : `:${this.lane}`;
    return `${this.id}:${this.events.at(-1)?.sequence_number}${lane}`;
  }

  hear(event: ResponsesServerEvent): void {
    if (event.type === 'error') this.#refused = true;
    else if ('sequence_number' in event) this.events.push(event);
    if (this.over) this.#ended(event);
  }
}

/**
 * A program on the official client that survives every cut: resumes known responses, and repeats
 * requests without one.
 */
class Program {
  readonly asked: Asked[] = [];
  readonly ws: ResponsesWS;
  reconnects = 0;
  onReconnect: () => void = () => undefined;

  /** @param maxDelay between two tries to come back, in milliseconds; five are made */
  constructor(of: OpenAI, maxDelay = 4) {
    this.ws = new ResponsesWS(of, {
      reconnect: {
        initialDelay: maxDelay / 4,
        maxDelay,
        onReconnecting: () => {
          proxy.mend();
          const points = this.asked.filter(({ id, over }) => id !== undefined && !over).map(({ point }) => point);
          return { parameters: points.length === 0 ? {} : { resume: points.join(',') } };
        },
      },
    });
    programs.push(this);
    this.ws.on('error', () => undefined);
    this.ws.on('event', (event) => {
      const lane = 'stream_id' in event ? event.stream_id : undefined;
      if (/^(?:response\.|error$)/.test(event.type))
        this.asked.find((one) => one.lane === lane && !one.over)?.hear(event);
    });
    this.ws.on('reconnected', () => {
      this.reconnects += 1;
      for (const one of this.asked) if (one.id === undefined && !one.over) this.#send(one);
      this.onReconnect();
    });
  }

  ask(input: string, lane?: string): Asked {
    const one = new Asked(lane, input, `key-${this.asked.length}-${Math.floor(performance.now() * 1_000)}`);
    this.asked.push(one);
    this.#send(one);
    return one;
  }

  /** The same question under the same key, so that it runs once however often it is sent. */
  #send({ lane, input, key }: Asked): void {
    this.ws.sendRaw(JSON.stringify({ type: 'response.create', input, 'sluice:idempotency_key': key, stream_id: lane }));
  }
}

function expectWhole(one: Asked, deltas: number): void {
  expect(numbers(one.events)).toEqual(counting(0, one.events.length));
  expect(deltaText(one.events)).toBe(spoken(deltas));
  expect(one.events.at(-1)).toMatchObject({ type: 'response.completed', response: { output_text: spoken(deltas) } });
}

describe('a socket that is cut in the middle of a stream', () => {
  const random = seeded(11);
  // An answer of 40 deltas is about 12 kB: greeting, first events, text and end are all hit.
  const cuts = Array.from({ length: 40 }, () => Math.floor(random() * 12_000));

  it.each(cuts)('loses and repeats no event after %i bytes', async (bytes) => {
    const turns = await gateway.metric('sluice_requests_total{status="success"}');
    const program = new Program(client);
    proxy.cutAfter(bytes);
    const one = program.ask('demo: deltas=40 interval=1ms text=numbers', bytes % 2 === 0 ? undefined : 'a');
    await one.end;
    expectWhole(one, 40);
    expect(await gateway.metric('sluice_requests_total{status="success"}')).toBe(turns + 1);
  });

  it('keeps every one of many lanes complete over repeated cuts', async () => {
    const program = new Program(client);
    const lanes = counting(0, 9).map((n) =>
      program.ask('demo: deltas=100 interval=3ms text=numbers', n === 0 ? undefined : `lane-${n}`),
    );
    program.onReconnect = () => {
      if (program.reconnects < 12) proxy.cutAfter(2_000 + Math.floor(random() * 5_000));
    };
    proxy.cutAfter(4_000);
    await Promise.all(lanes.map(({ end }) => end));
    // How many deltas an event joins, and so how many bytes there are to cut, is a matter of pace.
    expect(program.reconnects).toBeGreaterThan(2);
    for (const one of lanes) expectWhole(one, 100);
  });

  it('sends the request again under the same key before the first event, and runs one turn', async () => {
    const program = new Program(client);
    await new Promise<void>((resolve) => program.ws.socket.once('open', () => resolve()));
    const turns = await gateway.metric('sluice_requests_total{status="success"}');
    proxy.cutAfter(1);
    const one = program.ask('demo: deltas=5 interval=1ms text=numbers');
    await one.end;
    expect(program.reconnects).toBeGreaterThan(0);
    expectWhole(one, 5);
    expect(await gateway.metric('sluice_requests_total{status="success"}')).toBe(turns + 1);
  });

  it('makes the next request in a resumed lane wait for its end', async () => {
    const program = new Program(client);
    const first = program.ask('demo: deltas=60 interval=2ms text=numbers', 'a');
    let next: Asked | undefined;
    program.onReconnect = () => (next ??= program.ask('demo: deltas=3 interval=1ms text=numbers', 'a'));
    proxy.cutAfter(5_000);
    await first.end;
    expectWhole(first, 60);
    await next?.end;
    expectWhole(next as Asked, 3);
  });
});

describe('the official client’s session', () => {
  it('gets the final response of a resume in a new lane', async () => {
    let resume = '';
    const ws = await openSocket(client, {
      reconnect: { initialDelay: 1, onReconnecting: () => (proxy.mend(), { parameters: { resume } }) },
    });
    const session = new ResponsesWebSocketSession(ws, LIMITS);
    const lane = session.lane('a');
    lane.create({ input: 'demo: deltas=40 interval=3ms text=numbers' });
    const created = await lane.receive();
    if (created.type !== 'response.created') throw new Error('the first event is another');
    resume = `${(created as OpenAI.Responses.ResponseCreatedEvent).response.id}:0:a`;
    const resumed = new Promise<string>((resolve, reject) =>
      ws.on('reconnected', () => {
        const again = session.lane('a');
        again.finalResponse().then(({ output_text: text }) => resolve(text), reject);
      }),
    );
    proxy.cut();
    await expect(lane.finalResponse()).rejects.toThrow('must be restored explicitly');
    expect(await resumed).toBe(spoken(40));
    ws.close();
  });

  it('finds the replay of an opening after it was awaited', async () => {
    const direct = officialClient(gateway.url);
    const { id } = await direct.responses.create({ input: 'demo: deltas=5 interval=1ms text=numbers' });
    const resuming = officialClient(gateway.url, { defaultQuery: { resume: `${id}:-1` } });
    const ws = await openSocket(resuming);
    const session = new ResponsesWebSocketSession(ws, LIMITS);
    expect((await session.lane().finalResponse()).output_text).toBe(spoken(5));
    ws.close();
  });
});

describe('a restart of the replica', () => {
  it('completes the turn and announces itself if it drains, and the client continues on another replica', async () => {
    const leaving = await startGateway();
    proxy.targetPort = leaving.port;
    const program = new Program(client);
    const said: string[] = [];
    program.ws.on('event', ({ type }) => said.push(type));
    const codes: number[] = [];
    program.ws.on('reconnecting', ({ closeCode }) => codes.push(closeCode));
    const all = counting(0, 4).map((n) => program.ask('demo: deltas=40 interval=5ms text=numbers', `lane-${n}`));
    const one = all[0] as Asked;
    while (one.events.length < 5) await new Promise((resolve) => setTimeout(resolve, 2));
    const left = leaving.close();
    proxy.targetPort = gateway.port;
    const late = program.ask('demo: deltas=1 interval=0ms', 'b');
    expect(await late.end).toMatchObject({ type: 'error', status: 503, stream_id: 'b', error: { code: 'draining' } });
    await Promise.all(all.map(({ end }) => end));
    for (const each of all) expectWhole(each, 40);
    await left;
    while (program.reconnects === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(codes[0]).toBe(1012);
    const next = program.ask('demo: deltas=3 interval=0ms text=numbers', 'c');
    await next.end;
    expectWhole(next, 3);
  });

  it('sends an error in the lane and keeps serving the socket if the state is lost', async () => {
    const falling = await startGateway();
    try {
      const program = new Program(officialClient(falling.url), 4_000);
      const one = program.ask('demo: hang after=3 interval=0ms', 'a');
      while (one.events.length < 5) await new Promise((resolve) => setTimeout(resolve, 2));
      await falling.restart();
      expect(await one.end).toMatchObject({
        type: 'error',
        status: 404,
        stream_id: 'a',
        error: { code: 'response_not_found' },
      });
      const next = program.ask('demo: deltas=3 interval=0ms text=numbers', 'b');
      await next.end;
      expectWhole(next, 3);
      const gone = closed(program.ws);
      program.ws.close();
      expect((await gone).code).toBe(1000);
    } finally {
      await falling.close();
    }
  });
});

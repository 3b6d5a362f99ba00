/*
 * The official client on a socket: ResponsesWS, its session, lanes and accumulator, all of what
 * they validate included.
 */

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { type OpenAI } from 'openai';
import { ResponsesWebSocketAccumulator } from 'openai/lib/responses/responses-websocket-accumulator';
import {
  type ResponsesWebSocketEvent,
  type ResponsesWebSocketLane,
  ResponsesWebSocketSession,
} from 'openai/lib/responses/responses-websocket-session';
import { WebSocketError } from 'openai/resources/responses/internal-base';
import { ResponsesWS } from 'openai/resources/responses/ws';
import { type TestGateway, startGateway } from '../support/gateway.js';
import { closed, counting, deltaText, officialClient, openSocket, sendRaw, spoken } from './official.js';

const LIMITS = { maxLanes: 64, maxBufferedEvents: 10_000, maxBufferedBytes: 10_000_000 };
const FIVE = 'demo: deltas=5 interval=1ms text=numbers';

let gateway: TestGateway;
let client: OpenAI;
let ws: ResponsesWS;
let session: ResponsesWebSocketSession;
beforeAll(async () => {
  gateway = await startGateway();
  client = officialClient(gateway.url);
});
afterAll(() => gateway.close());
beforeEach(async () => {
  ws = await openSocket(client);
  session = new ResponsesWebSocketSession(ws, LIMITS);
});
afterEach(() => ws.close());

/** All events of the lane's next response, its terminal last. */
async function drain(lane: ResponsesWebSocketLane): Promise<ResponsesWebSocketEvent[]> {
  const events: ResponsesWebSocketEvent[] = [];
  for (;;) {
    const event = await lane.receive();
    events.push(event);
    if (/^(?:response\.(?:completed|failed|incomplete)|error)$/.test(event.type)) return events;
  }
}

/** What the lane's next answer was refused with. */
async function refusal(lane: ResponsesWebSocketLane | undefined): Promise<unknown> {
  const error = await lane?.finalResponse().then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(WebSocketError);
  return (error as WebSocketError).error;
}

describe('ResponsesWS', () => {
  it('receives only events of OpenAI [WS-1]', async () => {
    const other = new ResponsesWS(client);
    const types: string[] = [];
    for await (const message of other) {
      if (message.type === 'error') throw message.error;
      if (message.type === 'message') types.push(message.message.type);
      if (message.type === 'open') other.send({ type: 'response.create', input: FIVE });
      if (types.at(-1) === 'response.completed') break;
    }
    expect(types.slice(0, 2)).toEqual(['response.created', 'response.in_progress']);
    expect(types.filter((type) => type.startsWith('sluice:'))).toEqual([]);
    const gone = closed(other);
    other.close();
    expect((await gone).code).toBe(1000);
  });

  it('calls the listeners of ResponsesWS by event type', async () => {
    const deltas: string[] = [];
    ws.on('response.output_text.delta', ({ delta }) => deltas.push(delta));
    const completed = new Promise<string>((resolve) =>
      ws.on('response.completed', ({ response }) => resolve(response.output_text)),
    );
    ws.send({ type: 'response.create', model: 'demo', input: FIVE });
    expect(await completed).toBe(spoken(5));
    expect(deltas.join('')).toBe(spoken(5));
  });

  it('gets an error event for a broken frame, and stays open', async () => {
    const errors: unknown[] = [];
    ws.on('error', ({ error }) => errors.push(error));
    const lane = session.lane('a');
    ws.sendRaw('{"type":');
    sendRaw(ws, { type: 'response.dance' });
    ws.sendRaw('[]');
    lane.create({ input: FIVE });
    expect((await lane.finalResponse()).output_text).toBe(spoken(5));
    expect(errors).toMatchObject([
      { type: 'error', status: 400, error: { code: 'invalid_json', type: 'invalid_request_error' } },
      { type: 'error', status: 400, error: { code: 'unknown_event' } },
      { type: 'error', status: 400, error: {} },
    ]);
  });

  it('gets the reason for a refused upgrade', async () => {
    const guarded = await startGateway({
      config: { auth: { mode: 'keys', keys: [{ id: 'a', key_env: 'KEY' }] } },
      env: { KEY: 'sk-right' },
    });
    try {
      await expect(openSocket(officialClient(guarded.url, { apiKey: 'sk-wrong' }))).rejects.toThrow('401');
      const right = await openSocket(officialClient(guarded.url, { apiKey: 'sk-right' }));
      const lane = new ResponsesWebSocketSession(right, LIMITS).lane();
      lane.create({ input: FIVE });
      expect((await lane.finalResponse()).status).toBe('completed');
      right.close();
    } finally {
      await guarded.close();
    }
  });

  it('refuses the steering of ResponsesWS', async () => {
    const failed = new Promise<object>((resolve) => ws.on('response.steer.failed', resolve));
    const input = [{ type: 'message' as const, role: 'user' as const, content: 'rather this' }];
    ws.send({ type: 'response.steer', previous_response_id: 'resp_1', input });
    expect(await failed).toMatchObject({
      steer: { previous_response_id: 'resp_1', input },
      error: { code: 'steering_not_supported' },
    });
  });
});

describe('a lane of ResponsesWS', () => {
  it.each([undefined, 'a', 'A-z_0.9', 'x'.repeat(256)])(
    'ends with the final response under the name %s',
    async (name) => {
      const lane = session.lane(name);
      lane.create({ model: 'demo', input: FIVE, metadata: { a: 'b' } });
      const final = await lane.finalResponse();
      const { _request_id: _, ...stored } = await client.responses.retrieve(final.id);
      expect(JSON.parse(JSON.stringify(final))).toEqual(JSON.parse(JSON.stringify(stored)));
      expect(final).toMatchObject({ status: 'completed', output_text: spoken(5), metadata: { a: 'b' } });
    },
  );

  it('names the lane on every event, numbered without a gap', async () => {
    const lane = session.lane('a');
    lane.create({ input: FIVE });
    const events = await drain(lane);
    expect(events.every((event) => 'stream_id' in event && event.stream_id === 'a')).toBe(true);
    expect(events.map((event) => ('sequence_number' in event ? event.sequence_number : null))).toEqual(
      counting(0, events.length),
    );
  });

  it.each([
    [
      'failed',
      'demo: error=provider_timeout after=2 text=numbers interval=0ms',
      { error: { code: 'provider_timeout' } },
    ],
    ['failed', 'demo: error=rate_limit_exceeded', { error: { code: 'rate_limit_exceeded' }, output: [] }],
    ['incomplete', 'demo: length deltas=3 interval=0ms', { incomplete_details: { reason: 'max_output_tokens' } }],
    ['incomplete', 'demo: filter deltas=3 interval=0ms', { incomplete_details: { reason: 'content_filter' } }],
    ['completed', 'demo: refuse interval=0ms', { output: [{ content: [{ type: 'refusal' }] }] }],
    ['completed', 'demo: tool=a args={"x":1}\ndemo: tool=b', { output: [{ name: 'a' }, { name: 'b' }] }],
    ['completed', 'demo: deltas=0', { output: [] }],
  ])('ends with the final response of a turn that is %s (%s)', async (status, input, more) => {
    const lane = session.lane();
    lane.create({ input });
    expect(await lane.finalResponse()).toMatchObject({ status, ...more });
  });

  it('runs in order and continues after an error', async () => {
    const lane = session.lane('a');
    lane.create({ input: 'demo: deltas=10 interval=5ms text=numbers' });
    lane.create({ input: 'x', model: 'gpt-none' });
    lane.create({ input: FIVE, temperature: 7 });
    lane.create({ input: FIVE });
    expect((await lane.finalResponse()).output_text).toBe(spoken(10));
    expect(await refusal(lane)).toMatchObject({
      status: 404,
      stream_id: 'a',
      error: { code: 'model_not_found', param: 'model' },
    });
    expect(await refusal(lane)).toMatchObject({ status: 400, stream_id: 'a', error: { code: 'invalid_value' } });
    expect((await lane.finalResponse()).output_text).toBe(spoken(5));
  });

  it('takes function outputs by previous_response_id and by conversation', async () => {
    const tools = [{ type: 'function' as const, name: 'get_weather', parameters: {}, strict: false }];
    const { id } = await client.conversations.create();
    for (const more of [{ conversation: id }, {}]) {
      const lane = session.lane('conversation' in more ? 'a' : 'b');
      lane.create({ input: 'demo: tool=get_weather args={"city":"Paris"}', tools, ...more });
      const first = await lane.finalResponse();
      const call = first.output[0];
      if (call?.type !== 'function_call') throw new Error('there was no call');
      expect(call).toMatchObject({ name: 'get_weather', arguments: '{"city":"Paris"}', status: 'completed' });
      lane.create({
        input: [{ type: 'function_call_output', call_id: call.call_id, output: 'rain' }],
        ...('conversation' in more ? more : { previous_response_id: first.id }),
      });
      expect((await lane.finalResponse()).output_text).toContain('1 function output arrived');
    }
  });

  it.each(['response_id', 'stream_id'] as const)(
    'cancels a lane by %s, keeps its text, and keeps the lane usable',
    async (by) => {
      const lane = session.lane('a');
      lane.create({ input: 'demo: hang after=3 interval=0ms text=numbers' });
      const events: ResponsesWebSocketEvent[] = [];
      while (deltaText(events as never[]) !== spoken(3)) events.push(await lane.receive());
      const created = events[0] as OpenAI.Responses.ResponseCreatedEvent;
      sendRaw(ws, {
        type: 'response.cancel',
        ...(by === 'stream_id' ? { stream_id: 'a' } : { response_id: created.response.id }),
      });
      const final = await lane.finalResponse();
      expect(final).toMatchObject({ status: 'cancelled', incomplete_details: { reason: 'cancelled' } });
      expect(final.output_text).toBe(spoken(3));
      lane.create({ input: FIVE, previous_response_id: final.id });
      expect((await lane.finalResponse()).status).toBe('completed');
    },
  );

  it('leaves a lane unaffected by a cancel without a target', async () => {
    const lane = session.lane();
    lane.create({ input: 'demo: deltas=10 interval=5ms text=numbers' });
    sendRaw(ws, { type: 'response.cancel', response_id: 'resp_none' });
    expect((await lane.finalResponse()).output_text).toBe(spoken(10));
    expect(await refusal(lane)).toMatchObject({ status: 404, error: { code: 'response_not_found' } });
  });
});

describe('many lanes of ResponsesWS', () => {
  it('answers many lanes in parallel, each with its own response', async () => {
    const lanes = counting(1, 15).map((n) => ({ n, lane: session.lane(`lane-${n}`) }));
    const fallback = session.lane();
    fallback.create({ input: `demo: deltas=20 interval=2ms text=numbers` });
    for (const { n, lane } of lanes) lane.create({ input: `demo: deltas=${n * 3} interval=2ms text=numbers` });
    const finals = await Promise.all(lanes.map(({ lane }) => lane.finalResponse()));
    expect(finals.map((final) => final.output_text)).toEqual(lanes.map(({ n }) => spoken(n * 3)));
    expect((await fallback.finalResponse()).output_text).toBe(spoken(20));
  });

  it('limits the number of lanes and of their responses', async () => {
    const lanes = counting(1, 32).map((n) => session.lane(`lane-${n}`));
    for (const lane of lanes) {
      lane.create({ input: 'demo: deltas=1 interval=0ms' });
      expect((await lane.finalResponse()).status).toBe('completed');
    }
    const tooMany = session.lane('lane-33');
    tooMany.create({ input: 'x' });
    expect(await refusal(tooMany)).toMatchObject({
      status: 400,
      stream_id: 'lane-33',
      error: { code: 'too_many_lanes' },
    });

    const [busy, other] = lanes;
    for (let i = 0; i < 16; i++) busy?.create({ input: 'demo: hang' });
    other?.create({ input: 'x' });
    expect(await refusal(other)).toMatchObject({
      status: 429,
      stream_id: 'lane-2',
      error: { code: 'too_many_responses', headers: { 'retry-after-ms': expect.stringMatching(/^\d+$/) } },
    });
    sendRaw(ws, { type: 'response.cancel', stream_id: 'lane-1' });
    for (let i = 0; i < 16; i++) expect((await busy?.finalResponse())?.status).toBe('cancelled');
  });
});

describe('the client’s accumulator', () => {
  it.each([
    ['text', 'demo: deltas=12 interval=1ms text=numbers'],
    ['a refusal', 'demo: refuse interval=1ms'],
    ['calls', 'demo: deltas=2 interval=1ms\ndemo: tool=a args={"x":1}\ndemo: tool=b args={"y":[1,2]}'],
    ['a failure', 'demo: deltas=3 error=server_error after=3 interval=1ms'],
  ])('builds %s from the events, correct after every event', async (_name, input) => {
    const lane = session.lane('a');
    const accumulator = new ResponsesWebSocketAccumulator();
    lane.create({ input });
    let text = '';
    for (;;) {
      const event = await lane.receive();
      accumulator.add(event);
      const current = accumulator.current;
      if (current?.phase === 'terminal') {
        expect(current.event).toEqual(event);
        expect('response' in event ? event.response : {}).toMatchObject({ output_text: text });
        return;
      }
      if (event.type === 'response.output_text.delta') text += (event as OpenAI.Responses.ResponseTextDeltaEvent).delta;
      expect(current).toMatchObject({ phase: 'provisional', snapshot: { output_text: text } });
      // Nothing came for which the item or part had not been announced.
      expect(current).not.toHaveProperty('partialOutput');
      if (event.type === 'response.output_item.done') {
        const { item, output_index: index } = event as OpenAI.Responses.ResponseOutputItemDoneEvent;
        expect(accumulator.outputAt(index)).toEqual(item);
      }
    }
  });
});

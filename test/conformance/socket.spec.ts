/* One WebSocket: frames, refusals, lanes, cancels, heartbeat, close codes. */

import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
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
import { textAnswer, textChunk } from '../support/fake-openai-server.js';
import {
  type Frame,
  frameOf,
  isTerminalFrame,
  OPCODES,
  RawClient,
  type RawClientOptions,
} from '../support/raw-client.js';

let harness: GatewayHarness;
beforeAll(async () => {
  harness = await GatewayHarness.start({ config: { websocket: { max_message_bytes: '1MiB' } } });
});
afterEach(() => harness.hangUp());
afterAll(() => harness.close());

const inLane = (frames: readonly Frame[], lane: string | undefined): Frame[] =>
  frames.filter((frame) => frame['stream_id'] === lane);
const idIn = (frame: Frame): string => responseIn(frame).id;

describe('an open socket', () => {
  it.each<[string, RawClientOptions]>([
    ['the subprotocol', { protocols: ['sluice.v1'] }],
    ['?snapshots=1', { query: 'snapshots=1' }],
    ['?resume=', { query: 'resume=resp_unknown:-1' }],
  ])('sends hello before any other frame to a client that opted in by %s [WS-1]', async (_how, options) => {
    const client = await RawClient.open(harness.gateway.socketUrl, options);
    const hello = await client.next();
    expect(hello).toEqual({
      type: 'sluice:hello',
      connection_id: expect.stringMatching(/^conn_[0-9a-f]{32}$/u),
      heartbeat_ms: 20_000,
      max_message_bytes: 1_048_576,
    });
    await client.close();
    expect(typesOf(client.frames.slice(1))).toEqual(options.query?.startsWith('resume') === true ? ['error'] : []);
  });

  it('sends only events of OpenAI to a client that did not opt in [WS-1]', async () => {
    const client = await RawClient.open(harness.gateway.socketUrl);
    client.create({ input: 'Hi' });
    await client.turn();
    client.send({ type: 'response.cancel', stream_id: 'unused' });
    client.send({ type: 'nonsense' });
    await client.until('error');
    await client.close();
    expect(typesOf(client.frames).filter((type) => !/^(response\.|error$)/u.test(type))).toEqual([]);
  });

  it('answers a ping with a pong of the same id [WS-10]', async () => {
    const client = await harness.connect();
    for (const id of ['a', 7, undefined]) {
      client.send({ type: 'sluice:ping', ...(id === undefined ? {} : { id }) });
      expect(await client.next()).toEqual({ type: 'sluice:pong', id: id ?? null });
    }
  });

  it('refuses steering with its input [WS-9]', async () => {
    const client = await harness.connect();
    const input = [{ type: 'message', role: 'user', content: 'left!' }];
    client.send({ type: 'response.steer', previous_response_id: 'resp_1', input, stream_id: 'a' });
    expect(await client.next()).toMatchObject({
      type: 'response.steer.failed',
      stream_id: 'a',
      steer: { previous_response_id: 'resp_1', input },
      error: { code: 'steering_not_supported' },
    });
  });
});

describe('refused frames', () => {
  const refused: readonly (readonly [what: string, frame: string | object, code: string, param: string | null])[] = [
    ['no JSON', '{"type":', 'invalid_json', null],
    ['an empty frame', '', 'invalid_json', null],
    ['a list', '[]', 'invalid_request', null],
    ['a string', '"response.create"', 'invalid_request', null],
    ['null', 'null', 'invalid_request', null],
    ['no type', '{}', 'missing_required_parameter', 'type'],
    ['a type that is no string', '{"type":7}', 'invalid_value', 'type'],
    ['an unknown type', { type: 'response.creat' }, 'unknown_event', 'type'],
    ['an inherited name', { type: 'toString' }, 'unknown_event', 'type'],
    ['an unknown field', { type: 'response.create', input: 'x', temprature: 1 }, 'unknown_parameter', 'temprature'],
    ['a cancel of nothing', { type: 'response.cancel' }, 'missing_required_parameter', 'response_id'],
    [
      'a cancel of two things',
      { type: 'response.cancel', response_id: 'resp_1', stream_id: 'a' },
      'invalid_value',
      'stream_id',
    ],
    ['a resume of nothing', { type: 'sluice:resume' }, 'missing_required_parameter', 'response_id'],
    [
      'a cursor of half',
      { type: 'sluice:resume', response_id: 'r', starting_after: 0.5 },
      'invalid_value',
      'starting_after',
    ],
    [
      'a cursor before the start',
      { type: 'sluice:resume', response_id: 'r', starting_after: -2 },
      'invalid_value',
      'starting_after',
    ],
    ['a bad lane name', { type: 'response.create', input: 'x', stream_id: 'a b' }, 'invalid_value', 'stream_id'],
    [
      'a long lane name',
      { type: 'response.create', input: 'x', stream_id: 'a'.repeat(257) },
      'invalid_value',
      'stream_id',
    ],
    [
      'a bad idempotency key',
      { type: 'response.create', input: 'x', 'sluice:idempotency_key': 'ü' },
      'invalid_value',
      'sluice:idempotency_key',
    ],
  ];
  it.each(refused)(
    'answers %s with an error, and leaves the socket open [WS-4, WS-5, LANE-1]',
    async (_what, frame, code, param) => {
      const client = await harness.connect();
      client.send(frame);
      const error = await client.next();
      expect(error).toMatchObject({ type: 'error', status: 400 });
      expect(errorIn(error)).toMatchObject({ type: 'invalid_request_error', code, param });
      expect(String(errorIn(error)['message'])).toMatch(/^unable to /u);
      expect(typesOf(await client.settle())).toEqual(['sluice:pong']);
    },
  );

  it('answers a frame of an unknown type with the nearest type [WS-5]', async () => {
    const client = await harness.connect();
    client.send({ type: 'response.creat' });
    expect(String(errorIn(await client.next())['message'])).toContain("'response.create'");
  });

  it('answers refused frames in the order in which they arrived [WS-3]', async () => {
    const client = await harness.connect();
    const sent = upTo(40);
    for (const i of sent) client.send(i % 2 === 0 ? { type: 'sluice:ping', id: i } : `no JSON ${i}`);
    const frames = [];
    for (const _ of sent) frames.push(await client.next());
    expect(typesOf(frames)).toEqual(sent.map((i) => (i % 2 === 0 ? 'sluice:pong' : 'error')));
    expect(frames.filter(({ type }) => type === 'sluice:pong').map((frame) => frame['id'])).toEqual(
      sent.filter((i) => i % 2 === 0),
    );
  });

  it('reads a frame just below the size limit completely [WS-6]', async () => {
    const client = await harness.connect();
    client.send('x'.repeat(1_048_576));
    expect(errorIn(await client.next())['code']).toBe('invalid_json');
  });

  it('closes a socket with 1008 after refused frames without a valid one between [WS-8]', async () => {
    const client = await harness.connect();
    for (const _ of upTo(60)) client.send('nonsense');
    const answers = await client.settle();
    expect(answers.filter(({ type }) => type === 'error')).toHaveLength(60);
    for (const _ of upTo(10)) client.send('nonsense');
    expect((await client.closed).code).toBe(1008);
  });

  it.each([
    ['responses to resume', { type: 'sluice:resume', response_id: 'resp_none' }],
    ['responses to cancel', { type: 'response.cancel', response_id: 'resp_none' }],
    ['responses to continue', { type: 'response.create', input: 'Hi', previous_response_id: 'resp_none' }],
    ['conversations', { type: 'sluice:subscribe', conversation: 'conv_none' }],
  ])('closes the socket with 1008 when a client guesses at %s [WS-8]', async (_what, frame) => {
    const client = await harness.connect();
    let sent = 0;
    for (; sent < 100 && client.socket.readyState === client.socket.OPEN; sent++) {
      client.send(frame);
      await Promise.race([client.take(({ type }) => type === 'error'), client.closed]).catch(() => undefined);
    }
    expect((await client.closed).code).toBe(1008);
    expect(sent).toBeGreaterThan(60);
  });

  it('answers many resumes of one response, and replays it for the last alone [WS-3, RES-6]', async () => {
    harness.says('Hello');
    const client = await harness.connect();
    const frames = await client.run({ input: 'Hi' });
    const { id } = terminalOf(frames);
    const resumes = upTo(500).map((i) => ({
      type: 'sluice:resume',
      response_id: id,
      starting_after: i % frames.length,
      stream_id: `lane-${i % 3}`,
    }));
    const bytes = resumes.map((resume) => frameOf(OPCODES.text, JSON.stringify(resume)));
    client.wire.write(Buffer.concat(bytes));
    let answered = 0;
    const answers = await client.take(({ type }) => type === 'sluice:resumed' && ++answered === resumes.length);
    const resumed = answers.filter(({ type }) => type === 'sluice:resumed');
    expect(resumed.map((answer) => [answer['starting_after'], answer['stream_id']])).toEqual(
      resumes.map((resume) => [resume.starting_after, resume.stream_id]),
    );
    expect(answers.filter(({ type }) => type === 'error')).toEqual([]);
    const last = resumes.at(-1);
    const rest = await client.turn();
    expect(numbersOf(rest)).toEqual(upTo(frames.length).slice((last?.starting_after ?? 0) + 1));
    expect(new Set(rest.map((frame) => frame['stream_id']))).toEqual(new Set([last?.stream_id]));
  });
});

describe('a frame that closes the socket', () => {
  it('closes the socket with 1003 for a binary frame [WS-6]', async () => {
    const client = await harness.connect();
    client.socket.send(Buffer.from('{"type":"sluice:ping"}'));
    expect((await client.closed).code).toBe(1003);
  });

  it('closes the socket with 1007 for a frame that is not UTF-8 [WS-6]', async () => {
    const client = await harness.connect();
    client.socket.send(Buffer.from([0x22, 0xff, 0xfe, 0x22]), { binary: false });
    expect((await client.closed).code).toBe(1007);
  });

  it('closes the socket with 1009 for a frame above 1 MiB [WS-6]', async () => {
    const client = await harness.connect();
    client.send('x'.repeat(1_048_577));
    expect((await client.closed).code).toBe(1009);
  });

  it('ignores the frames behind one that closes the socket [WS-6]', async () => {
    const before = harness.provider.requests.length;
    const client = await harness.connect();
    client.socket.send(Buffer.from('binary'));
    client.create({ input: 'Hi' });
    await client.closed;
    const other = await harness.connect();
    await other.run({ input: 'the next one' });
    const asked = harness.provider.requests.slice(before).map(({ body }) => body.messages.at(-1)?.['content']);
    expect(asked).toEqual(['the next one']);
    expect(client.frames).toEqual([]);
  });

  it('answers the close frame of a client with 1000, without effect on other clients [WS-12]', async () => {
    const client = await harness.connect();
    client.socket.close(1000);
    expect((await client.closed).code).toBe(1000);
  });
});

describe('lanes', () => {
  it('runs turns of a lane in order, and lanes in parallel [LANE-1, WS-2]', async () => {
    const held = heldAnswer('first', ' done');
    const before = harness.provider.requests.length;
    harness.provider.answerWith((request) =>
      request.body.messages.at(-1)?.['content'] === 'hold' ? held.answer : textAnswer(['quick']),
    );
    const client = await harness.connect();
    client.create({ input: 'hold', stream_id: 'a' });
    client.create({ input: 'behind', stream_id: 'a' });
    client.create({ input: 'beside', stream_id: 'b' });
    client.create({ input: 'default' });

    const early = await client.take(isTerminalFrame);
    early.push(...(await client.take(isTerminalFrame)));
    expect(new Set(early.filter(isTerminalFrame).map((frame) => frame['stream_id']))).toEqual(
      new Set(['b', undefined]),
    );
    expect(inLane(early, 'a').filter(({ type }) => type === 'response.created')).toHaveLength(1);
    await harness.provider.request(before + 2);
    expect(harness.provider.requests.length - before).toBe(3);

    held.finish();
    const late = await client.take(isTerminalFrame);
    late.push(...(await client.take(isTerminalFrame)));
    const lane = inLane([...early, ...late], 'a');
    const [firstId, secondId] = lane.filter(({ type }) => type === 'response.created').map(idIn);
    expect(lane.filter(isTerminalFrame).map(idIn)).toEqual([firstId, secondId]);
    const end = lane.findIndex(isTerminalFrame);
    expect(deltasOf(lane.slice(0, end))).toBe('first done');
    expect(deltasOf(lane.slice(end))).toBe('quick');
    expect(numbersOf(lane)).toEqual([...upTo(end + 1), ...upTo(lane.length - end - 1)]);
  });

  it('names the lane in every event of a turn, except the default lane [WS-2]', async () => {
    harness.says('Hello');
    const client = await harness.connect();
    const named = await client.run({ input: 'Hi', stream_id: 'A_z.0-9' });
    expect(named.every((frame) => frame['stream_id'] === 'A_z.0-9')).toBe(true);
    const unnamed = await client.run({ input: 'Hi' });
    expect(unnamed.some((frame) => 'stream_id' in frame)).toBe(false);
  });

  it('sends the error of a lane in the order of its frame, after the turns before it [LANE-3]', async () => {
    const held = heldAnswer('first');
    harness.provider.answerWith(held.answer);
    const client = await harness.connect();
    client.create({ input: 'hold', stream_id: 'a' });
    client.create({ input: 7, stream_id: 'a' });
    client.create({ input: 'x', model: 'unknown-model', stream_id: 'a' });
    client.create({ input: 8, stream_id: 'b' });
    const early = await client.take(({ type }) => type === 'error');
    expect(early.at(-1)?.['stream_id']).toBe('b');
    held.finish();
    const lane = inLane([...(await client.turn()), await client.next(), await client.next()], 'a');
    expect(lane.map(({ type }) => type).slice(-3)).toEqual(['response.completed', 'error', 'error']);
    expect(lane.slice(-2).map((frame) => errorIn(frame)['code'])).toEqual(['invalid_value', 'model_not_found']);
  });

  it('limits a socket to 32 named lanes, and still serves used ones [LANE-2]', async () => {
    harness.says('Hello');
    const client = await harness.connect();
    for (const i of upTo(32)) await client.run({ input: 'Hi', stream_id: `lane-${i}` });
    const [error] = await client.run({ input: 'Hi', stream_id: 'one-more' });
    expect(error).toMatchObject({ type: 'error', status: 400, stream_id: 'one-more' });
    expect(errorIn(error)).toMatchObject({ code: 'too_many_lanes', param: 'stream_id' });
    expect(terminalOf(await client.run({ input: 'Hi', stream_id: 'lane-31' })).status).toBe('completed');
    expect(terminalOf(await client.run({ input: 'Hi' })).status).toBe('completed');
  });

  it('limits a socket to 16 responses in progress, including waiting ones [WS-7]', async () => {
    const held = heldAnswer('held');
    harness.provider.answerWith(held.answer);
    const client = await harness.connect();
    for (const i of upTo(16)) client.create({ input: 'hold', stream_id: `lane-${i % 4}` });
    client.create({ input: 'one more', stream_id: 'other' });
    const frames = await client.turn();
    expect(frames.at(-1)).toMatchObject({ type: 'error', status: 429, stream_id: 'other' });
    expect(errorIn(frames.at(-1))).toMatchObject({ code: 'too_many_responses', headers: { 'retry-after': '1' } });
    held.finish();
    for (const _ of upTo(16)) await client.take(isTerminalFrame);
    expect(terminalOf(await client.run({ input: 'room again', stream_id: 'other' })).status).toBe('completed');
  });
});

describe('response.cancel', () => {
  async function running(first = 'Half'): Promise<{ client: RawClient; id: string }> {
    harness.provider.answerWith({ steps: [textChunk(first), { hang: true }] });
    const client = await harness.connect();
    client.create({ input: 'Tell me', stream_id: 'a' });
    const frames = await client.take(({ type }) => type === 'response.output_text.delta');
    const [created] = frames;
    if (created === undefined) throw new Error('no event');
    return { client, id: idIn(created) };
  }

  it('cancels by lane [CAN-1]', async () => {
    const { client } = await running();
    client.send({ type: 'response.cancel', stream_id: 'a' });
    expect(terminalOf(await client.turn())).toMatchObject({ status: 'cancelled', output_text: 'Half' });
    expect(typesOf(await client.settle())).toEqual(['sluice:pong']);
  });

  it('cancels from another connection: the requester gets an answer, the viewer the terminal event [CAN-1, CAN-3, CAN-4]', async () => {
    const { client, id } = await running();
    const creator = await harness.connect();
    creator.send({ type: 'response.cancel', response_id: id });
    expect(await creator.next()).toEqual({ type: 'sluice:cancelled', response_id: id, status: 'cancelled' });
    expect(terminalOf(await client.turn()).status).toBe('cancelled');
    expect(typesOf(await client.settle())).toEqual(['sluice:pong']);
  });

  it('changes nothing and causes no error when repeated or after the end [CAN-2]', async () => {
    const { client, id } = await running();
    client.send({ type: 'response.cancel', response_id: id });
    client.send({ type: 'response.cancel', response_id: id });
    expect(terminalOf(await client.turn()).status).toBe('cancelled');
    client.send({ type: 'response.cancel', response_id: id });
    expect(await client.until('sluice:cancelled')).toMatchObject({ response_id: id, status: 'cancelled' });

    harness.says('Done');
    const ended = terminalOf(await client.run({ input: 'Hi' }));
    client.send({ type: 'response.cancel', response_id: ended.id });
    expect(await client.next()).toMatchObject({ type: 'sluice:cancelled', status: 'completed' });
    expect((await harness.api(`/v1/responses/${ended.id}`)).body).toMatchObject({ status: 'completed' });
  });

  it('refuses to cancel an unknown response [CAN-4]', async () => {
    const client = await harness.connect();
    client.send({ type: 'response.cancel', response_id: 'resp_unknown' });
    expect(errorIn(await client.next())).toMatchObject({ code: 'response_not_found' });
  });

  it('changes nothing for an empty or unknown lane [CAN-2]', async () => {
    const client = await harness.connect();
    client.send({ type: 'response.cancel', stream_id: 'unknown' });
    expect(typesOf(await client.settle())).toEqual(['sluice:pong']);
  });

  it('ends a waiting response before it reaches the provider [CAN-5]', async () => {
    const { client } = await running();
    const before = harness.provider.requests.length;
    client.create({ input: 'behind', stream_id: 'a' });
    client.send({ type: 'response.cancel', stream_id: 'a' });
    expect(terminalOf(await client.turn()).output_text).toBe('Half');
    const waiting = await client.turn();
    expect(waiting[0]?.type).toBe('response.created');
    expect(terminalOf(waiting)).toMatchObject({ status: 'cancelled', output: [], usage: null });
    expect(harness.provider.requests.length).toBe(before);
  });

  it('cancels a response that was resumed into the lane [CAN-1]', async () => {
    const { client, id } = await running();
    const viewer = await harness.connect();
    viewer.send({ type: 'sluice:resume', response_id: id, stream_id: 'r' });
    await viewer.until('response.output_text.delta');
    viewer.send({ type: 'response.cancel', stream_id: 'r' });
    expect(terminalOf(await viewer.turn()).status).toBe('cancelled');
    expect(terminalOf(await client.turn()).status).toBe('cancelled');
  });
});

describe('a socket that closes', () => {
  it('leaves the turn of a closed socket running and does not start waiting ones [WS-12]', async () => {
    const held = heldAnswer('Hello', ' world');
    const before = harness.provider.requests.length;
    harness.provider.answerWith(held.answer);
    const client = await harness.connect();
    client.create({ input: 'continues' });
    client.create({ input: 'never starts' });
    const { id } = responseIn(await client.until('response.created'));
    await harness.provider.request(before);
    await client.close();
    held.finish();

    const viewer = await harness.connect();
    viewer.send({ type: 'sluice:resume', response_id: id });
    expect(terminalOf(await viewer.turn()).output_text).toBe('Hello world');
    await viewer.run({ input: 'afterwards' });
    const asked = harness.provider.requests.slice(before).map(({ body }) => body.messages.at(-1)?.['content']);
    expect(asked).toEqual(['continues', 'afterwards']);
  });

  it('cancels the turns of a closed socket that requested that [WS-13]', async () => {
    const before = harness.provider.requests.length;
    harness.provider.answerWith({ steps: [textChunk('Half'), { hang: true }] });
    const client = await harness.connect({ query: 'on_disconnect=cancel' });
    client.create({ input: 'goes with me' });
    const { id } = responseIn(await client.until('response.created'));
    const upstream = await harness.provider.request(before);
    const viewer = await harness.connect();
    viewer.send({ type: 'sluice:resume', response_id: id });
    await viewer.until('response.output_text.delta');
    client.socket.terminate();
    expect(terminalOf(await viewer.turn()).status).toBe('cancelled');
    expect((await upstream.closed).complete).toBe(false);
  });
});

describe('a socket with a short heartbeat and a short maximum age', () => {
  let short: GatewayHarness;
  beforeAll(async () => {
    short = await GatewayHarness.start({
      config: { websocket: { heartbeat_interval: '1s', heartbeat_timeout: '1s', max_connection_age: '2m' } },
    });
  });
  afterEach(async () => {
    jest.restoreAllMocks();
    await short.hangUp();
    while (short.gateway.gateway.parts.table.size > 0) await new Promise((resolve) => setImmediate(resolve));
  });
  afterAll(() => short.close());

  it('receives pings and is ended only without an answer [WS-11]', async () => {
    const alive = await short.connect();
    const silent = await short.connect();
    let pings = 0;
    alive.socket.on('ping', () => (pings += 1));
    // ws answers pings by itself; this one reads nothing any more.
    silent.socket.pause();
    const open = short.gateway.gateway.parts.table;
    while (open.size > 1) await new Promise((resolve) => setTimeout(resolve, 50));
    while (pings < 3) await new Promise((resolve) => alive.socket.once('ping', resolve));
    expect(open.size).toBe(1);
    expect(typesOf(await alive.settle())).toEqual(['sluice:pong']);
  });

  it('closes a socket with 1012 at its maximum age [WS-15]', async () => {
    const client = await short.connect();
    const now = performance.now();
    const clock = jest.spyOn(performance, 'now').mockReturnValue(now + 107_000);
    // The wall clock says nothing of an age.
    jest.spyOn(Date, 'now').mockReturnValue(Date.now() + 86_400_000);
    expect(typesOf(await client.settle())).toEqual(['sluice:pong']);
    clock.mockReturnValue(now + 133_000);
    expect((await client.closed).code).toBe(1012);
  });

  it('closes a socket with 1013 during a long outage of the state store [WS-17]', async () => {
    const client = await short.connect();
    const { outage } = short.gateway.gateway.parts;
    const real = globalThis.setTimeout;
    // Half a minute, shortened.
    jest.spyOn(globalThis, 'setTimeout').mockImplementationOnce((handler, ms) => {
      expect(ms).toBe(30_000);
      return real(handler, 1);
    });
    outage.start();
    expect((await client.closed).code).toBe(1013);
    const refusal = await RawClient.refused(short.gateway.socketUrl);
    expect(refusal).toMatchObject({ status: 503, body: { error: { code: 'state_unavailable' } } });
    expect(Number(refusal.headers['retry-after'])).toBeGreaterThan(0);
    outage.end();
    expect(typesOf(await (await short.connect()).settle())).toEqual(['sluice:pong']);
  });
});

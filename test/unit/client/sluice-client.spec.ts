/*
 * The browser client's guarantee for responses, over real sockets to a scripted gateway: each event
 * once and in order, or a clear end.
 */

import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { type ResponseObject } from '../../../client/src/api.js';
import { SluiceError } from '../../../client/src/errors.js';
import { type ResponseObject as DomainResponse } from '../../../src/domain/response.js';
import { ClientHarness, textOf, until } from '../../support/client-harness.js';
import { type FakeSocket, Script } from '../../support/fake-gateway.js';

describe('responses of the browser client', () => {
  let harness: ClientHarness;

  beforeEach(async () => {
    harness = await ClientHarness.start();
  });
  afterEach(() => harness.close());

  it('streams an answer: deltas in order, id, text, status and the final response', async () => {
    const response = harness.client.send('Hello', { conversation: 'conv_1' });
    const loop = textOf(response);
    const socket = await harness.gateway.socket();
    const frame = await socket.next();
    expect(frame).toMatchObject({ type: 'response.create', input: 'Hello', conversation: 'conv_1' });
    expect(frame['sluice:idempotency_key']).toBe(response.idempotencyKey);
    const script = new Script('resp_1', frame['stream_id']);
    socket.send(script.created(), script.delta('Good '), script.delta('morning'), script.end());
    expect(await loop).toBe('Good morning');
    expect(await response.final).toMatchObject({ id: 'resp_1', status: 'completed' });
    expect(response).toMatchObject({ id: 'resp_1', text: 'Good morning', status: 'completed' });
    expect(await textOf(response)).toBe('Good morning');
  });

  it('resolves `final` for every terminal status, also for a failed one', async () => {
    const { response, socket, script } = await harness.running();
    socket.send(script.end('failed', { error: { code: 'provider_timeout', message: 'too slow' } }));
    expect(await response.final).toMatchObject({ status: 'failed', error: { code: 'provider_timeout' } });
    expect(response.text).toBe('Hel');
  });

  it('forwards the message of a refusal', async () => {
    const { response, socket, script } = await harness.running();
    const output = [{ type: 'message', content: [{ type: 'refusal', refusal: 'Not here.' }] }];
    socket.send(script.end('incomplete', { output, incomplete_details: { reason: 'content_filter' } }));
    await response.final;
    expect(response).toMatchObject({ refusal: 'Not here.', text: 'Hel', status: 'incomplete' });
  });

  it('rejects a request that the gateway refuses, with its reason, and sends the next one', async () => {
    const refused = harness.client.send('Hi', { model: 'nope' });
    const socket = await harness.gateway.socket();
    const { stream_id } = await socket.next();
    socket.send({
      type: 'error',
      status: 400,
      stream_id,
      error: { type: 'invalid_request_error', code: 'parameter_not_allowed', message: 'unable to', param: 'model' },
    });
    await expect(refused.final).rejects.toMatchObject({
      kind: 'refused',
      code: 'parameter_not_allowed',
      param: 'model',
      status: 400,
    });
    await expect(textOf(refused)).rejects.toBeInstanceOf(SluiceError);
    expect(refused.status).toBe('refused');
    harness.client.send('again');
    expect(await socket.next()).toMatchObject({ input: 'again', stream_id });
  });

  it('resumes after its last event when the socket is cut, without losing or repeating text', async () => {
    const { response, socket, script } = await harness.running('Hel');
    socket.socket.terminate();
    const second = await harness.gateway.socket();
    const resume = await second.next();
    expect(resume).toMatchObject({ type: 'sluice:resume', response_id: 'resp_1', starting_after: 1 });
    second.send({
      type: 'sluice:resumed',
      response_id: 'resp_1',
      starting_after: 1,
      status: 'in_progress',
      stream_id: resume['stream_id'],
    });
    second.send(script.delta('lo'), script.end());
    expect((await response.final).output_text).toBe('Hello');
    expect(response.text).toBe('Hello');
  });

  it('drops repeated events', async () => {
    const { response, socket, script } = await harness.running('a');
    const deltas: string[] = [];
    response.on('delta', (delta) => deltas.push(delta));
    const b = script.delta('b');
    socket.send(b, b, script.end());
    await response.final;
    expect(deltas).toEqual(['b']);
  });

  it('closes a gap by a resume from the last event it accepted', async () => {
    const { response, socket, script } = await harness.running('a');
    const missing = script.delta('b');
    const late = script.delta('c');
    socket.send(late);
    expect(await socket.next()).toMatchObject({ type: 'sluice:resume', starting_after: 1, stream_id: script.lane });
    socket.send({ type: 'sluice:resumed', response_id: 'resp_1', starting_after: 1 }, missing, late, script.end());
    await response.final;
    expect(response.text).toBe('abc');
    expect(socket.waiting).toBe(0);
  });

  it('reports a response as lost after a few resumes that do not close a gap', async () => {
    const { response, socket, script } = await harness.running('a');
    script.delta('b');
    const late = script.delta('c');
    socket.send(late);
    for (let i = 0; i < 3; i++) {
      await socket.next();
      socket.send({ type: 'sluice:resumed', response_id: 'resp_1', starting_after: 1 }, late);
    }
    await expect(response.final).rejects.toMatchObject({ kind: 'lost', code: 'events_missing' });
    expect(response.text).toBe('a');
  });

  it('takes only the new end of the text from a snapshot', async () => {
    const { response, socket, script } = await harness.running('Hel');
    const deltas: string[] = [];
    response.on('delta', (delta) => deltas.push(delta));
    socket.socket.terminate();
    const second = await harness.gateway.socket();
    await second.next();
    const { sequence_number } = script.delta('lo wor');
    second.send({
      type: 'sluice:snapshot',
      response_id: 'resp_1',
      sequence_number,
      response: script.response('in_progress'),
    });
    second.send(script.delta('ld'), script.end());
    await response.final;
    expect(deltas).toEqual(['lo wor', 'ld']);
  });

  it.each(['response_not_found', 'response_expired'])(
    'says that an answer is lost after %s, and keeps its text',
    async (code) => {
      const { response, socket } = await harness.running('Hel');
      socket.socket.terminate();
      const second = await harness.gateway.socket();
      const { stream_id } = await second.next();
      second.send({ type: 'error', status: 404, stream_id, error: { code, message: 'gone', param: null } });
      await expect(response.final).rejects.toMatchObject({ kind: 'lost', code });
      expect(response).toMatchObject({ status: 'lost', text: 'Hel' });
    },
  );

  it.each([
    ['response_expired', 'completed'],
    ['state_unavailable', 'in_progress'],
  ])('resumes an answer whose events end with the error %s', async (code, status) => {
    const { response, socket, script } = await harness.running('Hel');
    socket.send({ type: 'error', status: 410, stream_id: script.lane, error: { code, message: 'gone', param: null } });
    expect(await socket.next()).toMatchObject({ type: 'sluice:resume', response_id: 'resp_1', starting_after: 1 });
    const { sequence_number } = script.delta('lo');
    const snapshot = { type: 'sluice:snapshot', response_id: 'resp_1', response: script.response(status) };
    socket.send({ ...snapshot, sequence_number, stream_id: script.lane }, script.end());
    expect((await response.final).output_text).toBe('Hello');
    expect(response.text).toBe('Hello');
  });

  it('reports an answer as lost whose events are gone and that is not stored', async () => {
    const { response, socket, script } = await harness.running('Hel');
    const error = { code: 'response_expired', message: 'gone', param: null };
    socket.send({ type: 'error', status: 410, stream_id: script.lane, error });
    expect(await socket.next()).toMatchObject({ type: 'sluice:resume' });
    socket.send({
      type: 'error',
      status: 404,
      stream_id: script.lane,
      error: { ...error, code: 'response_not_found' },
    });
    await expect(response.final).rejects.toMatchObject({ kind: 'lost', code: 'response_not_found' });
    expect(response.text).toBe('Hel');
  });

  it('reports a question that was refused with 401 while its socket stays open', async () => {
    const response = harness.client.send('Hi');
    const socket = await harness.gateway.socket();
    const { stream_id } = await socket.next();
    const error = { code: 'invalid_api_key', message: 'expired', param: null };
    socket.send({ type: 'error', status: 401, stream_id, error });
    await expect(response.final).rejects.toMatchObject({ code: 'invalid_api_key', status: 401 });
  });

  it('uses the lanes of refused resumes again', async () => {
    await harness.client.connect();
    const socket = await harness.gateway.socket();
    for (let i = 0; i < 16; i++) {
      const { final } = harness.client.resume({ id: `resp_${i}` });
      const { stream_id } = await socket.next();
      const error = { code: 'response_not_found', message: 'gone', param: null };
      socket.send({ type: 'error', status: 404, stream_id, error });
      await expect(final).rejects.toMatchObject({ kind: 'lost' });
    }
    harness.client.send('Hi');
    expect(await socket.next()).toMatchObject({ type: 'response.create', stream_id: 'lane0' });
  });

  it('resumes again when a resume is temporarily refused', async () => {
    const { response, socket, script } = await harness.running('Hel');
    socket.socket.terminate();
    const second = await harness.gateway.socket();
    const { stream_id } = await second.next();
    second.send({
      type: 'error',
      status: 503,
      stream_id,
      error: { code: 'state_unavailable', message: 'soon', headers: { 'retry-after-ms': '1' } },
    });
    expect(await second.next()).toMatchObject({ type: 'sluice:resume', starting_after: 1 });
    second.send(script.delta('lo'), script.end());
    await response.final;
    expect(response.text).toBe('Hello');
  });

  it('resumes from a cursor of another page', async () => {
    const { response, script } = await harness.running('Hel');
    const cursor: unknown = JSON.parse(JSON.stringify(response.cursor));
    harness.client.close();
    await expect(response.final).rejects.toMatchObject({ kind: 'closed' });
    harness.connect();
    // A cursor that went through JSON.
    const again = harness.client.resume(cursor as NonNullable<typeof response.cursor>);
    const socket = await harness.gateway.socket();
    expect(await socket.next()).toMatchObject({ type: 'sluice:resume', response_id: 'resp_1', starting_after: 0 });
    socket.send(script.delta('lo'), script.end());
    await again.final;
    expect(again.text).toBe('Hello');
  });

  it('ends a response that is resumed from a cursor at its end', async () => {
    const { response, socket, script } = await harness.running('Hel');
    const end = script.end();
    socket.send(end);
    await response.final;
    const { cursor } = response;
    harness.client.close();
    harness.connect();
    // The cursor of a response that was accepted.
    const again = harness.client.resume(cursor as NonNullable<typeof cursor>);
    const second = await harness.gateway.socket();
    const { stream_id, starting_after } = await second.next();
    expect(starting_after).toBe(1);
    second.send({ type: 'sluice:resumed', response_id: 'resp_1', starting_after, status: 'completed', stream_id });
    second.send({ ...end, stream_id });
    expect(await again.final).toMatchObject({ id: 'resp_1', status: 'completed' });
    expect(await textOf(again)).toBe('Hel');
  });

  it('shows the text of the response for a cursor without text', async () => {
    const again = harness.client.resume({ id: 'resp_1', after: 1 });
    const replaced: string[] = [];
    again.on('replace', (text) => replaced.push(text));
    const early = again[Symbol.asyncIterator]();
    const socket = await harness.gateway.socket();
    const script = new Script('resp_1', (await socket.next())['stream_id']);
    script.created();
    script.delta('Hel');
    socket.send(script.delta('lo'));
    expect(await early.next()).toEqual({ done: false, value: 'lo' });
    socket.send(script.end());
    await again.final;
    expect(replaced).toEqual(['Hello']);
    expect(again.text).toBe('Hello');
    expect((await early.next()).done).toBe(true);
    expect(await textOf(again)).toBe('Hello');
  });

  it('shows no text twice for a cursor before the first event', async () => {
    const again = harness.client.resume({ id: 'resp_1', after: -1, text: 'Hel' });
    const socket = await harness.gateway.socket();
    const script = new Script('resp_1', (await socket.next())['stream_id']);
    socket.send(script.created(), script.delta('Hel'), script.end());
    expect(await textOf(again)).toBe('Hel');
  });

  it('follows a response once for any number of resumes', async () => {
    const { response } = await harness.running();
    expect(harness.client.resume({ id: 'resp_1' })).toBe(response);
  });

  it("adds the client's own earlier questions to a subscription, accepted or not", async () => {
    harness.gateway.rest = (_request, response) =>
      response.setHeader('content-type', 'application/json').end('{"data":[],"last_id":null,"has_more":false}');
    const [accepted, elsewhere] = ['conv_1', 'conv_2'].map((conversation) =>
      harness.client.send('Hi', { conversation }),
    );
    const socket = await harness.gateway.socket();
    const script = new Script('resp_1', (await socket.next())['stream_id']);
    await socket.next();
    socket.send(script.created());
    while (accepted?.id === null) await new Promise(setImmediate);
    const unanswered = harness.client.send('And?', { conversation: 'conv_1' });
    const emitted: unknown[] = [];
    const subscription = harness.client.subscribe('conv_1');
    subscription.on('event', (event) => emitted.push(event.type === 'turn' ? event.response : event.type));
    const asked = new Script('resp_2', (await socket.next())['stream_id']);
    const { stream_id } = await socket.next();
    socket.send({ type: 'sluice:subscribed', conversation: 'conv_1', running: [], stream_id }, asked.created());
    while (emitted.length < 3) await new Promise(setImmediate);
    expect(emitted).toEqual([unanswered, 'caught_up', accepted]);
    expect(emitted).not.toContain(elsewhere);
  });

  describe('with a subscription in place of one that was closed', () => {
    const subscribed = async (): Promise<{ socket: FakeSocket; former: unknown; later: unknown }> => {
      harness.gateway.rest = (_request, response) =>
        response.setHeader('content-type', 'application/json').end('{"data":[],"last_id":null,"has_more":false}');
      const first = harness.client.subscribe('conv_1');
      const socket = await harness.gateway.socket();
      const { stream_id: former } = await socket.next();
      first.close();
      expect(await socket.next()).toEqual({ type: 'sluice:unsubscribe', conversation: 'conv_1' });
      const second = harness.client.subscribe('conv_2');
      second.on('event', (event) => emitted.push(event.type));
      second.on('end', (error) => emitted.push(error?.code ?? 'end'));
      const { stream_id: later } = await socket.next();
      return { socket, former, later };
    };
    let emitted: string[];

    beforeEach(() => {
      emitted = [];
    });

    it('attributes no error and no turn of the closed one to it', async () => {
      const { socket, former, later } = await subscribed();
      const error = { code: 'conversation_not_found', message: 'gone', param: 'conversation' };
      socket.send({ type: 'error', status: 404, stream_id: former, error });
      socket.send({ type: 'sluice:turn', conversation: 'conv_1', response_id: 'resp_1', input: [], stream_id: former });
      socket.send({ type: 'sluice:unsubscribed', conversation: 'conv_1' });
      socket.send({ type: 'sluice:subscribed', conversation: 'conv_2', running: [], stream_id: later });
      while (!emitted.includes('caught_up')) await new Promise(setImmediate);
      expect(emitted).toEqual(['caught_up']);
    });

    it('uses the lane of the closed one again when the gateway has ended it', async () => {
      const { socket, former } = await subscribed();
      socket.send({ type: 'sluice:unsubscribed', conversation: 'conv_1' });
      await new Promise<void>((resolve) => {
        harness.client.on('frame', ({ data }) => data.type === 'sluice:unsubscribed' && resolve());
      });
      harness.client.subscribe('conv_3');
      expect(await socket.next()).toMatchObject({ conversation: 'conv_3', stream_id: former });
    });

    it('does not subscribe to the closed one again after a refusal to be tried again', async () => {
      const subscription = harness.client.subscribe('conv_1');
      const socket = await harness.gateway.socket();
      const { stream_id } = await socket.next();
      const error = { code: 'state_unavailable', message: 'soon', headers: { 'retry-after-ms': '1' } };
      socket.send({ type: 'error', status: 503, stream_id, error });
      expect(await socket.next()).toMatchObject({ type: 'sluice:subscribe', conversation: 'conv_1' });
      socket.send({ type: 'error', status: 503, stream_id, error });
      await new Promise<void>((resolve) => {
        harness.client.on('frame', ({ direction }) => direction === 'in' && resolve());
      });
      subscription.close();
      expect(await socket.next()).toMatchObject({ type: 'sluice:unsubscribe' });
      await new Promise((resolve) => setTimeout(resolve, 20));
      expect(socket.waiting).toBe(0);
    });
  });

  it('subscribes again after a refusal with 401, because its credential may be renewed on this socket', async () => {
    harness.client.subscribe('conv_1');
    const socket = await harness.gateway.socket();
    const subscribe = await socket.next();
    const error = { code: 'invalid_api_key', message: 'expired', param: null };
    socket.send({ type: 'error', status: 401, stream_id: subscribe['stream_id'], error });
    expect(await socket.next()).toEqual(subscribe);
  });

  it.each(['conversation_not_found', 'invalid_value', 'too_many_lanes'])(
    'ends a subscription whose conversation is refused with %s',
    async (code) => {
      const subscription = harness.client.subscribe('conv_1');
      const socket = await harness.gateway.socket();
      const { stream_id } = await socket.next();
      const ended = new Promise((resolve) => subscription.on('end', resolve));
      socket.send({ type: 'error', status: 400, stream_id, error: { code, message: 'no', param: 'conversation' } });
      expect(await ended).toMatchObject({ code });
    },
  );

  it('reads the items of a conversation again when a request for them is never answered', async () => {
    const { timeout } = AbortSignal;
    const limits: number[] = [];
    const limited = jest.spyOn(AbortSignal, 'timeout').mockImplementation((ms) => {
      limits.push(ms);
      // Only the first limit passes soon: a busy machine takes its time for an answer.
      return timeout.call(AbortSignal, limits.length === 1 ? 20 : ms);
    });
    harness.gateway.rest = (_request, response) => {
      if (limits.length === 1) return;
      response.setHeader('content-type', 'application/json').end('{"data":[],"last_id":null,"has_more":false}');
    };
    const subscription = harness.client.subscribe('conv_1');
    const caughtUp = new Promise((resolve) => subscription.on('event', resolve));
    const socket = await harness.gateway.socket();
    const { stream_id } = await socket.next();
    socket.send({ type: 'sluice:subscribed', conversation: 'conv_1', running: [], stream_id });
    expect(await caughtUp).toEqual({ type: 'caught_up' });
    expect(limits).toEqual([30_000, 30_000]);
    limited.mockRestore();
  });

  it('refuses an invalid request locally and leaves running ones unharmed', async () => {
    await harness.client.connect();
    const big = harness.client.send('x'.repeat(1024 * 1024));
    await expect(big.final).rejects.toMatchObject({ kind: 'refused', code: 'payload_too_large' });
    expect(harness.client.state).toBe('open');
  });

  it('keeps requests that are sent offline and sends them in order, each with its own key', async () => {
    harness.gateway.refuse = { status: 503 };
    const keys = ['one', 'two'].map((input) => harness.client.send(input).idempotencyKey);
    await until(harness.client, ({ state, error }) => state === 'reconnecting' && error?.status === 503);
    harness.gateway.refuse = null;
    const socket = await harness.gateway.socket();
    const frames = [await socket.next(), await socket.next()];
    expect(frames.map((frame) => [frame['input'], frame['sluice:idempotency_key']])).toEqual([
      ['one', keys[0]],
      ['two', keys[1]],
    ]);
    expect(frames[0]?.['stream_id']).not.toBe(frames[1]?.['stream_id']);
    expect(new Set(keys).size).toBe(2);
  });

  it('repeats an unconfirmed request with the same key after the socket was cut', async () => {
    const response = harness.client.send('Hi');
    const socket = await harness.gateway.socket();
    const first = await socket.next();
    socket.socket.terminate();
    const second = await harness.gateway.socket();
    expect((await second.next())['sluice:idempotency_key']).toBe(first['sluice:idempotency_key']);
    expect(response.status).toBe('waiting');
  });

  it('takes a snapshot as the beginning of the answer when a repeated request finds its turn far ahead', async () => {
    const response = harness.client.send('Hi');
    const socket = await harness.gateway.socket();
    await socket.next();
    socket.socket.terminate();
    const second = await harness.gateway.socket();
    const { stream_id } = await second.next();
    const script = new Script('resp_1', stream_id);
    script.created();
    const { sequence_number } = script.delta('Hel');
    second.send({
      type: 'sluice:snapshot',
      response_id: 'resp_1',
      sequence_number,
      response: script.response('in_progress'),
      stream_id,
    });
    await new Promise<void>((resolve) => response.on('delta', () => resolve()));
    expect(response.id).toBe('resp_1');
    second.send(script.delta('lo'), script.end());
    await expect(response.final).resolves.toMatchObject({ output_text: 'Hello' });
    expect(response.text).toBe('Hello');
  });

  it('keeps a lane free in which the answer of an overtaken resume will come', async () => {
    const { response, socket, script } = await harness.running('Hel');
    const missing = script.delta('lo');
    const late = script.delta('!');
    // A gap: the client resumes, and the end arrives before the answer of the resume.
    socket.send(late);
    expect(await socket.next()).toMatchObject({ type: 'sluice:resume', stream_id: script.lane });
    const end = script.end();
    socket.send(missing, late, end);
    await response.final;
    const next = harness.client.send('Next');
    const create = await socket.next();
    expect(create['stream_id']).not.toBe(script.lane);
    socket.send({ type: 'sluice:resumed', response_id: 'resp_1', starting_after: 1 }, missing, late, end);
    const answer = new Script('resp_2', create['stream_id']);
    socket.send(answer.created(), answer.delta('Two'), answer.end());
    await expect(next.final).resolves.toMatchObject({ id: 'resp_2', output_text: 'Two' });
    harness.client.send('Last');
    expect((await socket.next())['stream_id']).toBe(script.lane);
  });

  it('runs at most sixteen responses at once and reuses a small set of lanes', async () => {
    const responses = Array.from({ length: 18 }, (_, i) => harness.client.send(String(i)));
    const socket = await harness.gateway.socket();
    const lanes = new Set<unknown>();
    for (let i = 0; i < 16; i++) {
      const frame = await socket.next();
      lanes.add(frame['stream_id']);
      if (i === 15) expect(socket.waiting).toBe(0);
    }
    expect(lanes.size).toBe(16);
    const script = new Script('resp_1', [...lanes][3]);
    socket.send(script.created(), script.end());
    await responses[3]?.final;
    expect(await socket.next()).toMatchObject({ input: '16', stream_id: script.lane });
  });

  it('cancels by response id, when there is an id, and locally when nothing was sent', async () => {
    const { response, socket, script } = await harness.running();
    response.cancel();
    expect(await socket.next()).toEqual({ type: 'response.cancel', response_id: 'resp_1' });
    socket.send(script.end('cancelled'));
    expect((await response.final).status).toBe('cancelled');
    const unconfirmed = harness.client.send('Hi');
    const next = new Script('resp_2', (await socket.next())['stream_id']);
    unconfirmed.cancel();
    socket.send(next.created());
    expect(await socket.next()).toEqual({ type: 'response.cancel', response_id: 'resp_2' });
    harness.client.close();
    harness.gateway.refuse = { status: 503 };
    const unsent = harness.connect().send('Hi');
    unsent.cancel();
    await expect(unsent.final).rejects.toMatchObject({ code: 'cancelled' });
  });

  it('requests a cancel when a snapshot names the id of its response', async () => {
    const response = harness.client.send('Hi');
    const socket = await harness.gateway.socket();
    const script = new Script('resp_1', (await socket.next())['stream_id']);
    response.cancel();
    const { sequence_number, stream_id } = script.created();
    const snapshot = { type: 'sluice:snapshot', response_id: 'resp_1', response: script.response('in_progress') };
    socket.send({ ...snapshot, sequence_number, stream_id });
    expect(await socket.next()).toEqual({ type: 'response.cancel', response_id: 'resp_1' });
  });

  it.each([
    [429, 'rate_limit_exceeded'],
    [503, 'state_unavailable'],
  ])('requests each cancel again after refusals with %d', async (status, code) => {
    const { response, socket } = await harness.running();
    const second = harness.client.send('Hi');
    const script = new Script('resp_2', (await socket.next())['stream_id']);
    const begun = new Promise((resolve) => second.on('status', resolve));
    socket.send(script.created());
    await begun;
    const cancels = ['resp_1', 'resp_2'].map((response_id) => ({ type: 'response.cancel', response_id }));
    const refusal = { type: 'error', status, error: { code, message: 'soon', headers: { 'retry-after-ms': '1' } } };
    response.cancel();
    second.cancel();
    for (let i = 0; i < 3; i++) {
      expect([await socket.next(), await socket.next()]).toEqual(cancels);
      socket.send(refusal, refusal);
    }
    socket.send(script.end('cancelled'));
    expect((await second.final).status).toBe('cancelled');
    expect(response.status).toBe('in_progress');
  });

  it('requests a cancel again when it is called again', async () => {
    const { response, socket } = await harness.running();
    const cancel = { type: 'response.cancel', response_id: 'resp_1' };
    response.cancel();
    expect(await socket.next()).toEqual(cancel);
    response.cancel();
    expect(await socket.next()).toEqual(cancel);
  });

  it('requests a cancel on the next socket when the present one was cut', async () => {
    const { response, socket } = await harness.running();
    socket.socket.terminate();
    await until(harness.client, ({ state }) => state === 'reconnecting');
    response.cancel();
    const second = await harness.gateway.socket();
    expect((await second.next()).type).toBe('sluice:resume');
    expect(await second.next()).toEqual({ type: 'response.cancel', response_id: 'resp_1' });
  });

  it('types the response object as the gateway writes it', () => {
    // A compile-time check: the client's types of the wire must fit the gateway's.
    const view: (response: DomainResponse) => ResponseObject = (response) => response;
    expect(view).toBeDefined();
  });
});

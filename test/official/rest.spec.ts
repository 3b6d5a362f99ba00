/*
 * `client.responses` over REST: create, stream, background, retrieve, cancel, delete, input items;
 * models and conversations.
 */

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type OpenAI from 'openai';
import { type TestGateway, startGateway } from '../support/gateway.js';
import { collect, counting, countRequests, deltaText, numbers, officialClient, spoken } from './official.js';

let gateway: TestGateway;
let client: OpenAI;
beforeAll(async () => {
  gateway = await startGateway();
  client = officialClient(gateway.url);
});
afterAll(() => gateway.close());

type StreamEvent = OpenAI.Responses.ResponseStreamEvent;

const FIVE = 'demo: deltas=5 interval=0ms text=numbers';

describe('responses.create', () => {
  it('answers with a whole response', async () => {
    const response = await client.responses.create({ model: 'demo', input: FIVE, metadata: { ticket: '7' } });
    expect(response).toMatchObject({
      object: 'response',
      status: 'completed',
      output_text: spoken(5),
      error: null,
      incomplete_details: null,
      metadata: { ticket: '7' },
      model: 'demo',
      usage: { output_tokens: 5 },
    });
    expect(response.id).toMatch(/^resp_/);
    expect(response._request_id).toMatch(/^req_/);
    expect(response.usage?.total_tokens).toBe(5 + (response.usage?.input_tokens ?? NaN));
    expect(response.output).toEqual([
      expect.objectContaining({ type: 'message', role: 'assistant', status: 'completed' }),
    ]);
  });

  it('streams every event once, in order, with deltas that add up to the final text', async () => {
    const events = await collect(await client.responses.create({ input: FIVE, stream: true }));
    expect(numbers(events)).toEqual(counting(0, events.length));
    const types = events.map((event) => event.type);
    // How many deltas one event joins is a matter of pace.
    expect(types.filter((type, i) => type !== types[i - 1])).toEqual([
      'response.created',
      'response.in_progress',
      'response.output_item.added',
      'response.content_part.added',
      'response.output_text.delta',
      'response.output_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'response.completed',
    ]);
    const last = events.at(-1);
    expect(last).toMatchObject({ response: { output_text: spoken(5), status: 'completed' } });
    expect(deltaText(events)).toBe(spoken(5));
  });

  it('runs in the background and is polled', async () => {
    const started = await client.responses.create({
      input: 'demo: deltas=5 interval=20ms text=numbers',
      background: true,
    });
    expect(['queued', 'in_progress']).toContain(started.status);
    expect(started.background).toBe(true);
    let response = started;
    while (response.status === 'queued' || response.status === 'in_progress') {
      await new Promise((resolve) => setTimeout(resolve, 20));
      response = await client.responses.retrieve(started.id);
    }
    expect(response).toMatchObject({ id: started.id, status: 'completed', output_text: spoken(5), background: true });
  });

  it('streams a background response, which continues without its reader', async () => {
    let id = '';
    let last = -1;
    for await (const event of await client.responses.create({ input: FIVE, background: true, stream: true })) {
      last = event.sequence_number;
      if (event.type !== 'response.created') break;
      id = event.response.id;
    }
    const rest = await collect(await client.responses.retrieve(id, { stream: true, starting_after: last }));
    expect(rest.at(-1)).toMatchObject({
      type: 'response.completed',
      sequence_number: last + rest.length,
      response: { background: true, output_text: spoken(5) },
    });
  });

  it('stores nothing of a request with store: false', async () => {
    const response = await client.responses.create({ input: FIVE, store: false });
    expect(response).toMatchObject({ status: 'completed', store: false });
    await expect(client.responses.create({ input: 'more', previous_response_id: response.id })).rejects.toMatchObject({
      status: 400,
      code: 'previous_response_not_found',
    });
  });

  it('throws for a failed turn without a retry, and names the response with its text [REST-6, ERR-3]', async () => {
    const patient = officialClient(gateway.url, { maxRetries: 3 });
    const requests = countRequests(gateway);
    const input = 'demo: error=server_error after=2 text=numbers interval=0ms';
    const failure: unknown = await patient.responses.create({ input }).catch((error: unknown) => error);
    expect(failure).toMatchObject({ status: 502, code: 'server_error', type: 'server_error' });
    expect(requests).toEqual(['POST /v1/responses']);
    // The body of the error, as the official client keeps it.
    const { response_id: id } = (failure as { error: { response_id: string } }).error;
    const response = await client.responses.retrieve(id);
    expect(response).toMatchObject({ status: 'failed', error: { code: 'server_error' }, output_text: spoken(2) });
    expect(response.output).toEqual([expect.objectContaining({ type: 'message', status: 'incomplete' })]);
  });

  it('reports why an answer ended early', async () => {
    const response = await client.responses.create({ input: 'demo: length deltas=3 interval=0ms text=numbers' });
    expect(response).toMatchObject({
      status: 'incomplete',
      incomplete_details: { reason: 'max_output_tokens' },
      output_text: spoken(3),
    });
  });

  it('returns a refusal as a refusal', async () => {
    const response = await client.responses.create({ input: 'demo: refuse interval=0ms' });
    expect(response.output).toMatchObject([
      { type: 'message', content: [{ type: 'refusal', refusal: 'I can not help with that.' }] },
    ]);
    expect(response.output_text).toBe('');
  });
});

describe('responses.stream', () => {
  it('calls the listeners of a stream helper and ends with the final response', async () => {
    // A pause between the deltas, or one event may carry all of them.
    const stream = client.responses.stream({ input: 'demo: deltas=5 interval=20ms text=numbers' });
    const snapshots: string[] = [];
    const seen: string[] = [];
    stream
      .on('response.output_text.delta', ({ snapshot }) => snapshots.push(snapshot))
      .on('event', ({ type }) => seen.push(type))
      .on('response.completed', ({ response }) => seen.push(response.output_text));
    const final = await stream.finalResponse();
    expect(final.output_text).toBe(spoken(5));
    // A stall of the machine may still join some.
    expect(snapshots.length).toBeGreaterThan(0);
    expect(snapshots.every((text, i) => text.startsWith(snapshots[i - 1] ?? ''))).toBe(true);
    expect(snapshots.at(-1)).toBe(spoken(5));
    expect(seen.at(0)).toBe('response.created');
    expect(seen.at(-1)).toBe(spoken(5));
  });

  it.each([
    ['a failed one', 'demo: error=provider_timeout after=2 text=numbers interval=0ms', 'failed'],
    ['a refused one', 'demo: refuse interval=0ms', 'completed'],
    ['one that is out of tokens', 'demo: length deltas=3 interval=0ms', 'incomplete'],
    ['one that calls functions', 'demo: tool=a args={"x":1}\ndemo: tool=b', 'completed'],
  ])('ends with the final response of %s too', async (_name, input, status) => {
    const final = await client.responses.stream({ input }).finalResponse();
    expect(final.status).toBe(status);
    const { output_text: text, ...stored } = await client.responses.retrieve(final.id);
    const { _request_id: _, ...rest } = stored;
    expect(JSON.parse(JSON.stringify(final))).toMatchObject({
      id: final.id,
      output_text: text,
      status: rest.status,
      usage: rest.usage,
    });
    expect(final.output).toMatchObject(rest.output);
  });

  it('replays a response by id from the reader’s cursor', async () => {
    const { id } = await client.responses.create({ input: FIVE });
    const all = await collect(await client.responses.retrieve(id, { stream: true }));
    const stream = client.responses.stream({ response_id: id, starting_after: 5 });
    const events = await collect(stream);
    expect(numbers(events)).toEqual(numbers(all.slice(6)));
    expect((await stream.finalResponse()).output_text).toBe(spoken(5));
  });
});

describe('responses.retrieve', () => {
  it('streams a running response from the start like its first reader', async () => {
    const first = await client.responses.create({ input: 'demo: deltas=20 interval=5ms text=numbers', stream: true });
    const seen: StreamEvent[] = [];
    let others: Promise<StreamEvent[]>[] = [];
    for await (const event of first) {
      seen.push(event);
      if (event.type === 'response.created') {
        const { id } = event.response;
        others = [1, 2].map(async () => collect(await client.responses.retrieve(id, { stream: true })));
      }
    }
    for (const other of await Promise.all(others)) expect(other).toEqual(seen);
  });

  it('accepts parameters without effect', async () => {
    const { id } = await client.responses.create({ input: FIVE });
    const include = [
      'reasoning.encrypted_content',
      'code_interpreter_call.outputs',
      'message.output_text.logprobs',
    ] as const;
    expect((await client.responses.retrieve(id, { include: [...include] })).id).toBe(id);
    const stream = await client.responses.retrieve(id, {
      stream: true,
      include: [...include],
      include_obfuscation: false,
    });
    expect(deltaText(await collect(stream))).toBe(spoken(5));
    expect((await collect(client.responses.inputItems.list(id, { include: [...include] }))).length).toBe(1);
    // A value of a later version of the client.
    const later = 'message.later' as 'message.output_text.logprobs';
    await expect(client.responses.retrieve(id, { include: [later] })).rejects.toMatchObject({
      status: 400,
      code: 'unsupported_parameter',
    });
  });

  it('resumes after each event of the response', async () => {
    const { id } = await client.responses.create({ input: FIVE });
    const all = await collect(await client.responses.retrieve(id, { stream: true }));
    for (const after of numbers(all)) {
      const rest = await collect(await client.responses.retrieve(id, { stream: true, starting_after: after }));
      expect(rest).toEqual(all.slice(after + 1));
    }
    await expect(client.responses.retrieve(id, { stream: true, starting_after: all.length })).rejects.toMatchObject({
      status: 400,
      code: 'invalid_cursor',
      param: 'starting_after',
    });
  });
});

describe('responses.cancel', () => {
  it('ends a running response and returns it with its text', async () => {
    const stream = await client.responses.create({
      input: 'demo: hang after=3 interval=0ms text=numbers',
      stream: true,
    });
    const events: StreamEvent[] = [];
    let cancelled: Promise<OpenAI.Responses.Response> | undefined;
    for await (const event of stream) {
      events.push(event);
      if (deltaText(events) === spoken(3)) {
        cancelled ??= client.responses.cancel((events[0] as OpenAI.Responses.ResponseCreatedEvent).response.id);
      }
    }
    expect(events.at(-1)).toMatchObject({
      type: 'response.incomplete',
      response: { status: 'cancelled', incomplete_details: { reason: 'cancelled' }, output_text: spoken(3) },
    });
    const response = await cancelled;
    expect(response).toMatchObject({ status: 'cancelled', output_text: spoken(3) });
    expect(await client.responses.cancel(response?.id ?? '')).toMatchObject({
      status: 'cancelled',
      output_text: spoken(3),
    });
  });
});

describe('responses.delete', () => {
  it('removes an ended response, not a running one', async () => {
    const running = await client.responses.create({ input: 'demo: hang', background: true });
    await expect(client.responses.delete(running.id)).rejects.toMatchObject({
      status: 409,
      code: 'response_still_running',
    });
    await client.responses.cancel(running.id);
    await client.responses.delete(running.id);
    await expect(client.responses.retrieve(running.id)).rejects.toMatchObject({
      status: 404,
      code: 'response_not_found',
    });
  });
});

describe('responses.inputItems', () => {
  it('lists input items in pages, in either order', async () => {
    const texts = counting(0, 7).map((n) => `message ${n}`);
    const { id } = await client.responses.create({
      input: texts.map((content, n) => ({ role: n % 2 === 0 ? 'user' : 'assistant', content })),
      tools: [{ type: 'function', name: 'quick', parameters: {}, strict: false }],
      tool_choice: 'required',
    });
    const said = async (order: 'asc' | 'desc', limit: number): Promise<string[]> =>
      (await collect(client.responses.inputItems.list(id, { order, limit }))).map((item) => {
        const part = item.type === 'message' ? item.content[0] : undefined;
        return part !== undefined && 'text' in part ? part.text : '';
      });
    expect(await said('asc', 3)).toEqual(texts);
    expect(await said('desc', 2)).toEqual(texts.toReversed());
    expect(await said('asc', 7)).toEqual(texts);
    expect((await collect(client.responses.inputItems.list(id))).length).toBe(7);
  });
});

describe('client.models and client.conversations', () => {
  it('lists the models and retrieves one', async () => {
    const models = await collect(client.models.list());
    expect(models).toEqual([expect.objectContaining({ id: 'demo', object: 'model' })]);
    expect(await client.models.retrieve('demo')).toMatchObject({ id: 'demo', object: 'model' });
    await expect(client.models.retrieve('gpt-none')).rejects.toMatchObject({ status: 404, code: 'model_not_found' });
  });

  it('creates a conversation for a response', async () => {
    const conversation = await client.conversations.create({
      metadata: { topic: 'tents' },
      items: [{ type: 'message', role: 'user', content: 'I have a tent.' }],
    });
    expect(conversation).toMatchObject({ object: 'conversation', metadata: { topic: 'tents' } });
    const { conversation: of } = await client.responses.create({ input: FIVE, conversation: conversation.id });
    expect(of).toEqual({ id: conversation.id });
  });
});

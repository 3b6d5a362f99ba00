/*
 * The context of turns: conversations and chains, their window, their queue, and what is kept of a
 * turn that failed or was cancelled.
 */

import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { systemTime } from '../../src/domain/time.js';
import {
  GatewayHarness,
  errorIn,
  heldAnswer,
  ONE_TRY,
  promptOf,
  responseIn,
  terminalOf,
  typesOf,
  upTo,
} from '../support/gateway-harness.js';
import {
  deltaChunk,
  DONE,
  type FakeRequest,
  finishChunk,
  textAnswer,
  textChunk,
  usageChunk,
} from '../support/fake-openai-server.js';
import { isTerminalFrame } from '../support/raw-client.js';

let harness: GatewayHarness;
beforeAll(async () => {
  harness = await GatewayHarness.start();
});
afterEach(async () => {
  jest.restoreAllMocks();
  await harness.hangUp();
});
afterAll(() => harness.close());

const lastAsked = (): FakeRequest => {
  const request = harness.provider.requests.at(-1);
  if (request === undefined) throw new Error('the provider was not asked');
  return request;
};
const TOOLS = [{ type: 'function', name: 'f', parameters: { type: 'object' } }];
const callAnswer = (callId: string, args = '{}') => ({
  steps: [
    deltaChunk({ tool_calls: [{ index: 0, id: callId, type: 'function', function: { name: 'f', arguments: args } }] }),
    finishChunk('tool_calls'),
    usageChunk(),
    DONE,
  ],
});

describe('a conversation', () => {
  it('gives each turn the earlier items [CONV-1, CONV-5, KEEP-1]', async () => {
    const conversation = await harness.conversation();
    harness.says('Four.');
    const first = await harness.post({ input: 'Two and two?', conversation });
    expect(first.body).toMatchObject({ conversation: { id: conversation }, sluice: { kept: 'all' } });
    harness.says('Quite.');
    const client = await harness.connect();
    await client.run({ input: 'Sure?', conversation: { id: conversation } });
    expect(promptOf(lastAsked())).toEqual(['user: Two and two?', 'assistant: Four.', 'user: Sure?']);
  });

  it('creates a conversation that begins with items [CONV-1]', async () => {
    const items = [
      { role: 'user', content: 'My name is Ann.' },
      { role: 'assistant', content: 'Hello Ann.' },
    ];
    const { status, body } = await harness.api('/v1/conversations', {
      method: 'POST',
      body: { items, metadata: { a: 'b' } },
    });
    expect({ status, body }).toMatchObject({ status: 200, body: { object: 'conversation', metadata: { a: 'b' } } });
    expect(body['created_at']).toBeGreaterThan(1_700_000_000);
    await harness.post({ input: 'Who am I?', conversation: body['id'] });
    expect(promptOf(lastAsked())).toEqual(['user: My name is Ann.', 'assistant: Hello Ann.', 'user: Who am I?']);
    const many = { items: upTo(21).map(() => items[0]) };
    expect((await harness.api('/v1/conversations', { method: 'POST', body: many })).status).toBe(400);
  });

  it('stores the items of a turn before it sends the terminal event [CONV-11]', async () => {
    const conversation = await harness.conversation();
    harness.says('One');
    const client = await harness.connect();
    const watched = new Promise<unknown>((resolve) => {
      client.socket.on('message', (data: Buffer) => {
        if (data.toString().startsWith('{"type":"response.completed"')) {
          resolve(harness.gateway.gateway.parts.state.conversations.recentItems(conversation, 10));
        }
      });
    });
    await client.run({ input: 'Hi', conversation });
    expect(await watched).toMatchObject([{ item: { role: 'user' } }, { item: { role: 'assistant' } }]);
  });

  it('expires a conversation after its time to live, which every read and write renews [CONV-9]', async () => {
    // Limits of the shared gateway would keep dates that lie days ahead once the clock is restored.
    const own = await GatewayHarness.start();
    try {
      const conversation = await own.conversation();
      own.says('Hello');
      const day = 24 * 3_600_000;
      const now = systemTime.now();
      const at = (ms: number): void => void jest.spyOn(systemTime, 'now').mockReturnValue(now + ms);
      at(day - 60_000);
      expect((await own.post({ input: 'Hi', conversation })).status).toBe(200);
      at(2 * day - 120_000);
      expect((await own.post({ input: 'Hi', conversation })).status).toBe(200);
      at(3 * day);
      expect((await own.post({ input: 'Hi', conversation })).body['error']).toMatchObject({
        code: 'conversation_not_found',
      });
    } finally {
      await own.close();
    }
  });

  it('stores the items of a request with store: false, but no response [REQ-22, KEEP-5]', async () => {
    const conversation = await harness.conversation();
    harness.says('Noted.');
    const { body } = await harness.post({ input: 'Remember me', conversation, store: false });
    expect(body).toMatchObject({ store: false, sluice: { kept: 'all' } });
    await harness.post({ input: 'Continue', conversation });
    expect(promptOf(lastAsked())[0]).toBe('user: Remember me');
    const chained = await harness.post({ input: 'x', previous_response_id: body['id'] });
    expect(chained.body['error']).toMatchObject({ code: 'previous_response_not_found' });
    const alone = await harness.post({ input: 'Hi', store: false });
    expect(alone.body).toMatchObject({ sluice: { kept: 'nothing' } });
  });
});

describe('previous_response_id', () => {
  it('continues a chain, and forks [CONV-6]', async () => {
    harness.says('one');
    const a = await harness.post({ input: 'first' });
    harness.says('two');
    const b = await harness.post({ input: 'second', previous_response_id: a.body['id'] });
    expect(b.body['previous_response_id']).toBe(a.body['id']);
    await harness.post({ input: 'third', previous_response_id: b.body['id'] });
    const chain = ['user: first', 'assistant: one', 'user: second', 'assistant: two', 'user: third'];
    expect(promptOf(lastAsked())).toEqual(chain);
    await harness.post({ input: 'another second', previous_response_id: a.body['id'] });
    expect(promptOf(lastAsked())).toEqual(['user: first', 'assistant: one', 'user: another second']);
  });

  it('runs forks at the same time [CONV-6]', async () => {
    harness.says('root');
    const { body } = await harness.post({ input: 'first' });
    const before = harness.provider.requests.length;
    const held = heldAnswer('held');
    harness.provider.answerWith(held.answer);
    const forks = upTo(3).map((i) => harness.post({ input: `fork ${i}`, previous_response_id: body['id'] }));
    await harness.provider.request(before + 2);
    held.finish();
    for (const fork of await Promise.all(forks)) expect(fork.body['status']).toBe('completed');
  });

  it('continues a chain after its earlier responses have expired [CONV-6]', async () => {
    harness.says('one');
    const a = await harness.post({ input: 'first' });
    const b = await harness.post({ input: 'second', previous_response_id: a.body['id'] });
    await harness.api(`/v1/responses/${String(a.body['id'])}`, { method: 'DELETE' });
    await harness.post({ input: 'third', previous_response_id: b.body['id'] });
    expect(promptOf(lastAsked())).toHaveLength(5);
  });

  it('refuses previous_response_id of a running, an unstored and an unknown response [CONV-7]', async () => {
    const held = heldAnswer('Half');
    harness.provider.answerWith(held.answer);
    const { body } = await harness.post({ input: 'Hi', background: true });
    const running = await harness.post({ input: 'x', previous_response_id: body['id'] });
    expect(running).toMatchObject({ status: 409, body: { error: { code: 'response_still_running' } } });
    expect(running.headers.get('x-should-retry')).toBe('false');
    held.finish();
    harness.says('Unstored');
    const unstored = await harness.post({ input: 'Hi', store: false });
    for (const id of [unstored.body['id'], 'resp_unknown']) {
      expect(await harness.post({ input: 'x', previous_response_id: id })).toMatchObject({
        status: 400,
        body: { error: { code: 'previous_response_not_found', param: 'previous_response_id' } },
      });
    }
  });
});

describe('the context window', () => {
  let narrow: GatewayHarness;
  beforeAll(async () => {
    narrow = await GatewayHarness.start({
      config: { state: { max_messages: 6 }, middleware: { ...ONE_TRY, state: { max_messages: 4 } } },
    });
  });
  afterEach(() => narrow.hangUp());
  afterAll(() => narrow.close());
  const sent = (): string[] => {
    const request = narrow.provider.requests.at(-1);
    return request === undefined ? [] : request.body.messages.map((message) => String(message['role']));
  };

  it('sends the newest items within the context window [CONV-8, CONV-9]', async () => {
    const conversation = await narrow.conversation();
    for (const i of upTo(5)) {
      narrow.says(`a${i}`);
      await narrow.post({ input: `q${i}`, conversation });
    }
    const request = narrow.provider.requests.at(-1) as FakeRequest; // five turns were created
    expect(promptOf(request)).toEqual(['assistant: a2', 'user: q3', 'assistant: a3', 'user: q4']);
    const kept = await narrow.gateway.gateway.parts.state.conversations.recentItems(conversation, 100);
    expect(kept).toHaveLength(6);
  });

  it('never separates a function call from its output at the context window [CONV-8, REQ-16]', async () => {
    const conversation = await narrow.conversation();
    narrow.provider.answerWith(callAnswer('call_1'));
    await narrow.post({ input: 'Call it', conversation, tools: TOOLS });
    narrow.says('Done');
    const output = { type: 'function_call_output', call_id: 'call_1', output: 'ok' };
    const filler = upTo(4).map((i) => ({ role: 'user', content: `and ${i}` }));
    // The output alone fills the window: its call comes along.
    await narrow.post({ input: [output, ...filler], conversation, tools: TOOLS });
    expect(sent()).toEqual(['assistant', 'tool', 'user', 'user', 'user', 'user']);
    // Next time the call is out of the window, so its output stays out, too.
    await narrow.post({ input: 'And now?', conversation, tools: TOOLS });
    expect(sent()).not.toContain('tool');
  });

  it('omits an unanswered call [CONV-8]', async () => {
    const conversation = await narrow.conversation();
    narrow.provider.answerWith(callAnswer('call_2'));
    await narrow.post({ input: 'Call it', conversation, tools: TOOLS });
    narrow.says('Never mind');
    await narrow.post({ input: 'Forget it', conversation, tools: TOOLS });
    expect(sent()).toEqual(['user', 'user']);
  });

  it('fails a turn whose function output has no call, and keeps the conversation usable [REQ-16]', async () => {
    const conversation = await narrow.conversation();
    const output = { type: 'function_call_output', call_id: 'call_9', output: 'x' };
    const failed = await narrow.post({ input: [output], conversation });
    expect(failed).toMatchObject({ status: 400, body: { error: { code: 'unknown_call_id' } } });
    narrow.says('Still here');
    expect((await narrow.post({ input: 'Hi', conversation })).body['status']).toBe('completed');
    expect(sent()).not.toContain('tool');
  });
});

describe('turns of one conversation', () => {
  it('runs turns of one conversation one after the other, in order [CONV-10, EV-2]', async () => {
    const conversation = await harness.conversation();
    const held = heldAnswer('zero');
    const before = harness.provider.requests.length;
    harness.provider.answerWith((_request, index) =>
      index === before ? held.answer : textAnswer([`${index - before}`]),
    );
    const client = await harness.connect();
    for (const i of upTo(4)) {
      client.create({ input: `q${i}`, conversation, stream_id: `lane-${i}` });
      await client.until('response.created');
    }
    await harness.provider.request(before);
    expect(harness.provider.requests.length - before).toBe(1);
    held.finish();
    const frames = [];
    while (frames.filter(isTerminalFrame).length < 4) frames.push(await client.next());
    expect(frames.filter(isTerminalFrame).map((frame) => frame['stream_id'])).toEqual(upTo(4).map((i) => `lane-${i}`));
    expect(frames.filter(isTerminalFrame).map((frame) => responseIn(frame).output_text)).toEqual([
      'zero',
      '1',
      '2',
      '3',
    ]);
    const order = client.frames.filter((frame) => frame['stream_id'] === 'lane-2').map(({ type }) => type);
    expect(order.slice(0, 3)).toEqual(['response.created', 'response.queued', 'response.in_progress']);
    const queued = client.frames.find(({ type }) => type === 'response.queued');
    expect(responseIn(queued).status).toBe('queued');
    expect(client.frames.filter((frame) => frame['stream_id'] === 'lane-0').map(({ type }) => type)).not.toContain(
      'response.queued',
    );
    expect(promptOf(lastAsked())).toEqual([
      ...upTo(3).flatMap((i) => [`user: q${i}`, `assistant: ${i === 0 ? 'zero' : i}`]),
      'user: q3',
    ]);
  });

  it('refuses a turn of a conversation in which eight wait already [CONV-10, ERR-3]', async () => {
    const conversation = await harness.conversation();
    const held = heldAnswer('held');
    harness.provider.answerWith(held.answer);
    const turns = [];
    for (const _ of upTo(9))
      turns.push((await harness.post({ input: 'x', conversation, background: true })).body['id']);
    const refused = await harness.post({ input: 'x', conversation });
    expect(refused).toMatchObject({
      status: 409,
      body: { error: { code: 'conversation_busy', param: 'conversation' } },
    });
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(refused.headers.get('x-should-retry')).toBe('true');
    held.finish();
    for (const id of turns) await (await harness.fetch(`/v1/responses/${String(id)}?stream=true`)).text();
    expect((await harness.post({ input: 'x', conversation })).status).toBe(200);
  });

  it('accepts a turn with busy: reject as soon as the client has the terminal event before it [CONV-10]', async () => {
    const rejecting = await GatewayHarness.start({ config: { conversations: { busy: 'reject' } } });
    try {
      const conversation = await rejecting.conversation();
      for (let i = 0; i < 20; i++) {
        rejecting.says(`answer ${i}`);
        const { body } = await rejecting.post({ input: 'next', conversation });
        expect(body).toMatchObject({ status: 'completed', output_text: `answer ${i}` });
      }
    } finally {
      await rejecting.close();
    }
  });

  it('refuses a turn with busy: reject at once while another runs, by an error in its lane [CONV-10]', async () => {
    const rejecting = await GatewayHarness.start({ config: { conversations: { busy: 'reject' } } });
    try {
      const conversation = await rejecting.conversation();
      const held = heldAnswer('held');
      rejecting.provider.answerWith(held.answer);
      const client = await rejecting.connect();
      client.create({ input: 'x', conversation, stream_id: 'a' });
      await client.until('response.created');
      client.create({ input: 'y', conversation, stream_id: 'b' });
      const error = await client.until('error');
      expect(error).toMatchObject({ status: 409, stream_id: 'b' });
      expect(errorIn(error)).toMatchObject({ code: 'conversation_busy', headers: { 'retry-after': '1' } });
      held.finish();
      await client.turn();
      expect(terminalOf(await client.run({ input: 'y', conversation, stream_id: 'b' })).status).toBe('completed');
    } finally {
      await rejecting.close();
    }
  });

  it('stores nothing and releases the place of a turn that is cancelled while it waits [CAN-5, KEEP-5]', async () => {
    const conversation = await harness.conversation();
    const held = heldAnswer('first');
    const before = harness.provider.requests.length;
    harness.provider.answerWith((_request, index) => (index === before ? held.answer : textAnswer(['next'])));
    const client = await harness.connect();
    const ids = [];
    for (const name of ['a', 'b', 'c']) {
      client.create({ input: `from ${name}`, conversation, stream_id: name });
      ids.push(responseIn(await client.until('response.created')).id);
    }
    client.send({ type: 'response.cancel', response_id: ids[1] });
    const cancelled = terminalOf(await client.turn());
    expect(cancelled).toMatchObject({
      id: ids[1],
      status: 'cancelled',
      output: [],
      usage: null,
      sluice: { kept: 'nothing' },
    });
    await harness.provider.request(before);
    expect(harness.provider.requests.length - before).toBe(1);
    held.finish();
    await client.turn();
    await client.turn();
    expect(promptOf(lastAsked())).toEqual(['user: from a', 'assistant: first', 'user: from c']);
  });
});

describe('a turn with a bad end', () => {
  it('keeps the input of an unfinished turn and the sent part of its answer [KEEP-2]', async () => {
    for (const end of ['cancel', 'failure'] as const) {
      const conversation = await harness.conversation();
      const step = end === 'cancel' ? ({ hang: true } as const) : ({ cut: true } as const);
      harness.provider.answerWith({ steps: [textChunk('Half an answer'), step] });
      const client = await harness.connect();
      client.create({ input: 'Tell me', conversation });
      const created = await client.until('response.created');
      await client.until('response.output_text.delta');
      if (end === 'cancel') client.send({ type: 'response.cancel', response_id: responseIn(created).id });
      expect(terminalOf(await client.turn()).sluice.kept).toBe('partial');
      harness.says('The rest');
      await client.run({ input: 'Continue', conversation });
      expect(promptOf(lastAsked())).toEqual(['user: Tell me', 'assistant: Half an answer', 'user: Continue']);
    }
  });

  it('keeps finished function calls with the partial text, but no unfinished ones [KEEP-2]', async () => {
    const conversation = await harness.conversation();
    const call = (index: number, id: string, args: string) =>
      deltaChunk({ tool_calls: [{ index, id, type: 'function', function: { name: 'f', arguments: args } }] });
    harness.provider.answerWith({ steps: [call(0, 'call_a', '{}'), call(1, 'call_b', '{"half'), { cut: true }] });
    const failed = await harness.post({ input: 'Call', conversation, tools: TOOLS });
    const { response_id: id } = failed.body['error'] as { response_id: string };
    const output = (await harness.api(`/v1/responses/${id}`)).body['output'] as { status: string }[];
    const kept = await harness.gateway.gateway.parts.state.conversations.recentItems(conversation, 10);
    expect(kept.map(({ item }) => item.type)).toEqual([
      'message',
      ...output.filter(({ status }) => status === 'completed').map(() => 'function_call'),
    ]);
    expect(JSON.stringify(kept)).not.toContain('half');
  });

  it('keeps the input of a turn that sent no text [KEEP-3]', async () => {
    const conversation = await harness.conversation();
    harness.provider.answerWith({ status: 503 });
    const failed = await harness.post({ input: 'Are you there?', conversation });
    expect(failed).toMatchObject({ status: 503, body: { error: { response_id: expect.stringMatching(/^resp_/u) } } });
    const { response_id: id } = failed.body['error'] as { response_id: string };
    expect((await harness.api(`/v1/responses/${id}`)).body).toMatchObject({ sluice: { kept: 'input' } });
    harness.says('Now I am');
    await harness.post({ input: 'Hello?', conversation });
    expect(promptOf(lastAsked())).toEqual(['user: Are you there?', 'user: Hello?']);
  });

  it('keeps a refused input for people, in order, and never sends it to a provider [KEEP-4]', async () => {
    const guarded = await GatewayHarness.start({
      config: { middleware: { ...ONE_TRY, validator: { banned_words: ['pirate'] } } },
    });
    try {
      const conversation = await guarded.conversation();
      const refused = await guarded.post({ input: 'pirate', conversation });
      expect(refused.body).toMatchObject({ sluice: { kept: 'display_only' } });
      guarded.says('Hello');
      await guarded.post({ input: 'Hi', conversation });
      expect(guarded.provider.requests.map(promptOf)).toEqual([['user: Hi']]);
      const kept = await guarded.gateway.gateway.parts.state.conversations.recentItems(conversation, 10);
      expect(kept.map(({ withheld }) => withheld)).toEqual([true, true, false, false]);
      expect(kept.map(({ item }) => item.type === 'message' && item.role)).toEqual([
        'user',
        'assistant',
        'user',
        'assistant',
      ]);
      const chained = await guarded.post({ input: 'Hi', previous_response_id: refused.body['id'] });
      expect(chained.body['status']).toBe('completed');
      expect(guarded.provider.requests.map(promptOf).at(-1)).toEqual(['user: Hi']);
    } finally {
      await guarded.close();
    }
  });

  it('fails a turn whose conversation was deleted meanwhile, and reports it [EV-8]', async () => {
    const conversation = await harness.conversation();
    const held = heldAnswer('first');
    harness.provider.answerWith(held.answer);
    const client = await harness.connect();
    client.create({ input: 'one', conversation, stream_id: 'a' });
    await client.until('response.output_text.delta');
    client.create({ input: 'two', conversation, stream_id: 'b' });
    await client.until('response.queued');
    await harness.gateway.gateway.parts.state.conversations.delete(conversation);
    held.finish();
    const ends = [terminalOf(await client.turn()), terminalOf(await client.turn())];
    expect(ends[0]).toMatchObject({ status: 'completed', output_text: 'first' });
    expect(ends[1]).toMatchObject({ status: 'failed', error: { code: 'conversation_not_found' } });
    expect(typesOf(await client.settle())).toEqual(['sluice:pong']);
  });
});

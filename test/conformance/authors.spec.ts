/* Who speaks in an item, wherever a client reads one. */

import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { callsAnswer, deltaChunk, DONE, finishChunk, textChunk } from '../support/fake-openai-server.js';
import { type ApiAnswer, GatewayHarness, ONE_TRY, terminalOf } from '../support/gateway-harness.js';
import { type Frame } from '../support/raw-client.js';

const KEY = 'sk-server-91f2';
interface Authored {
  readonly type: string;
  readonly sluice?: { readonly author: string };
}

let harness: GatewayHarness;
beforeAll(async () => {
  harness = await GatewayHarness.start({
    config: {
      auth: { mode: 'keys', keys: [{ id: 'server', tenant: 'a', key_env: 'KEY_SERVER' }] },
      middleware: ONE_TRY,
    },
    env: { KEY_SERVER: KEY },
  });
});
afterEach(() => harness.hangUp());
afterAll(() => harness.close());

const authorsOf = (items: unknown): string[] =>
  (items as Authored[]).map(({ type, sluice }) => `${type}: ${sluice?.author ?? 'missing'}`);
const api = (path: string, body?: object): Promise<ApiAnswer> =>
  harness.api(path, { key: KEY, ...(body === undefined ? {} : { method: 'POST', body }) });
const asking = { tools: [{ type: 'function', name: 'weather', parameters: { type: 'object' } }] };

describe('the author of an item', () => {
  it('names the author of each item in events, in the response and in its input [AUTHOR-1]', async () => {
    const reasoned = [deltaChunk({ reasoning_content: 'Hm' }), textChunk('Hello'), finishChunk(), DONE];
    harness.provider.answerWith({ steps: reasoned });
    const client = await harness.connect({ headers: { authorization: `Bearer ${KEY}` } });
    const input = [
      { role: 'system', content: 'Be brief' },
      { role: 'user', content: 'Hi' },
    ];
    client.create({ input });
    const frames = await client.turn();
    const carried = frames.flatMap((frame: Frame) => ('item' in frame ? [frame['item']] : []));
    expect(authorsOf(carried)).toEqual(['reasoning: model', 'reasoning: model', 'message: model', 'message: model']);
    const { id, output } = terminalOf(frames);
    expect(authorsOf(output)).toEqual(['reasoning: model', 'message: model']);
    const { body } = await api(`/v1/responses/${id}/input_items?order=asc`);
    expect(authorsOf(body['data'])).toEqual(['message: system', 'message: user']);
  });

  it('names the author of each item of a conversation, also to its watchers [AUTHOR-1]', async () => {
    harness.provider.answerWith(callsAnswer([{ id: 'c1', name: 'weather' }]));
    const conversation = await harness.conversation(KEY);
    const watcher = await harness.connect({ headers: { authorization: `Bearer ${KEY}` } });
    watcher.send({ type: 'sluice:subscribe', conversation });
    await watcher.until('sluice:subscribed');
    await harness.post({ conversation, input: 'Weather?', ...asking }, KEY);
    expect(authorsOf((await watcher.until('sluice:turn'))['input'])).toEqual(['message: user']);
    harness.says('Sunny');
    const output = [{ type: 'function_call_output', call_id: 'c1', output: 'sunny' }];
    await harness.post({ conversation, input: output, ...asking }, KEY);
    const { body } = await api(`/v1/conversations/${conversation}/items?order=asc`);
    expect(authorsOf(body['data'])).toEqual([
      'message: user',
      'function_call: model',
      'function_call_output: system',
      'message: model',
    ]);
  });

  it('keeps the author of an item that a server key adds for a person human, also when it is sent on [AUTHOR-2]', async () => {
    const conversation = await harness.conversation(KEY);
    const human = { role: 'assistant', content: 'Ann here, I take over', sluice: { author: 'human' } };
    const added = await api(`/v1/conversations/${conversation}/items`, { items: [human] });
    expect(authorsOf(added.body['data'])).toEqual(['message: human']);
    harness.says('Fine');
    await harness.post({ conversation, input: 'Thanks' }, KEY);
    expect(harness.provider.requests.at(-1)?.body.messages[0]).toEqual({
      role: 'assistant',
      content: 'Ann here, I take over',
    });
    const { body } = await api(`/v1/conversations/${conversation}/items?order=asc`);
    expect(authorsOf(body['data'])).toEqual(['message: human', 'message: user', 'message: model']);
    const copied = await api('/v1/conversations', { items: body['data'] });
    const copy = await api(`/v1/conversations/${String(copied.body['id'])}/items?order=asc`);
    expect(authorsOf(copy.body['data'])).toEqual(['message: human', 'message: user', 'message: model']);
    expect(
      (await harness.post({ input: [...(body['data'] as object[]), { role: 'user', content: 'x' }] }, KEY)).status,
    ).toBe(200);
  });

  it.each([
    [{ role: 'user', content: 'x', sluice: { author: 'human' } }],
    [{ role: 'assistant', content: 'x', sluice: { author: 'robot' } }],
    [{ role: 'system', content: 'x', sluice: { author: 'model' } }],
  ])('refuses an author that the role of the item does not have: %j [AUTHOR-2]', async (item) => {
    const { status, body } = await api('/v1/conversations', { items: [item] });
    const error: unknown = expect.objectContaining({ code: 'invalid_value', param: 'items[0].sluice.author' });
    expect([status, body['error']]).toEqual([400, error]);
  });
});

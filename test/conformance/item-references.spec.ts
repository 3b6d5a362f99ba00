/*
 * References to stored items in `input`, over REST and a socket, with state in memory and in Redis.
 */

import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { RedisServer } from '../../scripts/development/cluster/redis.js';
import { callsAnswer } from '../support/fake-openai-server.js';
import { type ApiAnswer, GatewayHarness, ONE_TRY, terminalOf } from '../support/gateway-harness.js';

const ANN = 'sk-ann-31d5f2';
const BOB = 'sk-bob-77ac10';
const TOOLS = [{ type: 'function', name: 'weather', parameters: { type: 'object' } }];
const key = (id: string, tenant: string): object => ({ id, tenant, key_env: `KEY_${id.toUpperCase()}` });
const ref = (id: string): object => ({ type: 'item_reference', id });
const user = (content: string): object => ({ role: 'user', content });

describe.each(['memory', 'redis'])('a reference to a stored item, with state in %s', (type) => {
  let harness: GatewayHarness;
  let redis: RedisServer | undefined;
  beforeAll(async () => {
    redis = type === 'redis' ? await RedisServer.start() : undefined;
    harness = await GatewayHarness.start({
      config: {
        auth: { mode: 'keys', keys: [key('ann', 'a'), key('bob', 'b')] },
        middleware: ONE_TRY,
        ...(redis === undefined ? {} : { state: { type: 'redis', url: redis.url } }),
      },
      env: { KEY_ANN: ANN, KEY_BOB: BOB },
    });
  });
  afterEach(() => harness.hangUp());
  afterAll(async () => {
    await harness.close();
    await redis?.close();
  });

  const post = (body: object, apiKey = ANN): Promise<ApiAnswer> => harness.post(body, apiKey);
  const get = (path: string): Promise<ApiAnswer> => harness.api(path, { key: ANN });
  const idsOf = ({ body }: ApiAnswer): string[] => (body['output'] as { id: string }[]).map(({ id }) => id);
  const dataOf = ({ body }: ApiAnswer): { id: string; type: string }[] =>
    body['data'] as { id: string; type: string }[];
  const sent = (): string[] =>
    (harness.provider.requests.at(-1)?.body.messages ?? []).map(
      ({ role, content }) => `${role as string}: ${content as string}`,
    );

  /** A turn with one question and one answer. */
  async function said(question: string, answer: string, more: object = {}) {
    harness.says(answer);
    const asked = await post({ input: question, ...more });
    const id = String(asked.body['id']);
    const input = dataOf(await get(`/v1/responses/${id}/input_items`))[0]?.id ?? '';
    return { id, input, output: idsOf(asked)[0] ?? '' };
  }

  it('names an input and an output item of a stored response, with or without a type [REF-1]', async () => {
    const { input, output } = await said('How high is Mont Blanc?', '4806 m');
    harness.says('Yes');
    const answer = await post({ input: [{ id: input }, ref(output), user('Really?')] });
    expect(answer.status).toBe(200);
    expect(sent()).toEqual(['user: How high is Mont Blanc?', 'assistant: 4806 m', 'user: Really?']);
    const items = dataOf(await get(`/v1/responses/${String(answer.body['id'])}/input_items?order=asc`));
    expect(items.slice(0, 2).map(({ id }) => id)).toEqual([input, output]);
  });

  it('names an item over a socket [REF-1]', async () => {
    const { input, output } = await said('One', 'Two');
    harness.says('Three');
    const client = await harness.connect({ headers: { authorization: `Bearer ${ANN}` } });
    client.send({ type: 'response.create', input: [ref(input), ref(output), user('Next')] });
    expect(terminalOf(await client.turn()).status).toBe('completed');
    expect(sent()).toEqual(['user: One', 'assistant: Two', 'user: Next']);
    client.send({ type: 'response.create', stream_id: 'a', input: [user('x'), ref('msg_unknown')] });
    expect(await client.until('error')).toMatchObject({
      status: 404,
      stream_id: 'a',
      error: { code: 'item_not_found', param: 'input[1]' },
    });
  });

  it('carries a tool loop whose calls are references, over any number of turns [REF-1]', async () => {
    harness.provider.answerWith(callsAnswer([{ id: 'c1', name: 'weather' }]));
    const first = await post({ tools: TOOLS, input: 'Weather?' });
    const history: object[] = [user('Weather?'), ...idsOf(first).map(ref)];
    for (let turn = 2; turn < 22; turn += 1) {
      history.push({ type: 'function_call_output', call_id: `c${turn - 1}`, output: 'unknown' });
      harness.provider.answerWith(callsAnswer([{ id: `c${turn}`, name: 'weather' }]));
      const next = await post({ tools: TOOLS, input: history });
      expect(next.status).toBe(200);
      history.push(...idsOf(next).map(ref));
    }
    expect(sent()).toHaveLength(41);
  });

  it('names an item of a conversation, added by a client or by a turn [REF-1]', async () => {
    const items = [{ role: 'user', content: 'My name is Ann' }];
    const { body } = await harness.api('/v1/conversations', { method: 'POST', body: { items }, key: ANN });
    const conversation = String(body['id']);
    const { output } = await said('Hello', 'Hello Ann', { conversation });
    const [name] = dataOf(await get(`/v1/conversations/${conversation}/items?order=asc`));
    harness.says('Ann');
    expect((await post({ input: [ref(name?.id ?? ''), ref(output), user('Who am I?')] })).status).toBe(200);
    expect(sent()).toEqual(['user: My name is Ann', 'assistant: Hello Ann', 'user: Who am I?']);
  });

  it('leaves out a reference to an item that the context holds already [REF-2]', async () => {
    const conversation = await harness.conversation(ANN);
    const inConversation = await said('One', 'Two', { conversation });
    harness.says('Three');
    await post({ conversation, input: [ref(inConversation.output), user('Next')] });
    expect(sent()).toEqual(['user: One', 'assistant: Two', 'user: Next']);
    const chained = await said('Four', 'Five');
    await post({ previous_response_id: chained.id, input: [ref(chained.input), ref(chained.output), user('Six')] });
    expect(sent()).toEqual(['user: Four', 'assistant: Five', 'user: Six']);
    await post({ input: [ref(chained.input), ref(chained.input), user('Six')] });
    expect(sent()).toEqual(['user: Four', 'user: Six']);
  });

  it('names the place of the request in a refusal behind an item that was left out [REF-2]', async () => {
    const { id, output } = await said('One', 'Two');
    const stray = { type: 'function_call_output', call_id: 'nope', output: 'x' };
    const { status, body } = await post({ previous_response_id: id, input: [ref(output), stray] });
    expect([status, body['error']]).toEqual([
      400,
      expect.objectContaining({ code: 'unknown_call_id', param: 'input[1].call_id' }),
    ]);
  });

  it('answers 404 with the path of a reference whose item is unknown, foreign, not stored or deleted [REF-3]', async () => {
    const { id, output } = await said('Secret', 'Word');
    const unstored = idsOf(await post({ input: 'Hi', store: false }))[0] ?? '';
    const conversation = await harness.conversation(ANN);
    const removed = await said('Hi', 'Ho', { conversation });
    await harness.api(`/v1/conversations/${conversation}/items/${removed.output}`, { method: 'DELETE', key: ANN });
    const refused = async (itemId: string, apiKey = ANN): Promise<unknown> => {
      const { status, body } = await post({ input: [user('Hi'), ref(itemId)] }, apiKey);
      return [status, (body['error'] as { message: string }).message, body['error']];
    };
    const unknown = await refused('msg_0123456789abcdef');
    expect(unknown).toEqual([
      404,
      expect.stringContaining('unable to find the item'),
      expect.objectContaining({ type: 'not_found_error', code: 'item_not_found', param: 'input[1]' }),
    ]);
    expect(await refused(output, BOB)).toEqual(unknown);
    expect(await refused(unstored)).toEqual(unknown);
    expect(await refused(removed.output)).toEqual(unknown);
    expect(await refused('msg_{b1}:meta:resp_1\n')).toEqual(unknown);
    expect(await refused(output.replace(/.$/u, (last) => (last === '0' ? '1' : '0')))).toEqual(unknown);
    await harness.api(`/v1/responses/${id}`, { method: 'DELETE', key: ANN });
    expect(await refused(output)).toEqual(unknown);
  });

  it('refuses references to more than sixteen responses that do not hold each other [REF-4]', async () => {
    const outputs: string[] = [];
    for (let turn = 0; turn < 17; turn += 1) outputs.push((await said(`q${turn}`, `a${turn}`)).output);
    expect((await post({ input: [...outputs.slice(1).map(ref), user('Sum')] })).status).toBe(200);
    const { status, body } = await post({ input: [...outputs.map(ref), user('Sum')] });
    expect([status, body['error']]).toEqual([400, expect.objectContaining({ code: 'invalid_value', param: 'input' })]);
  });
});

describe('items of an earlier answer', () => {
  let harness: GatewayHarness;
  beforeAll(async () => {
    harness = await GatewayHarness.start();
  });
  afterAll(() => harness.close());

  it("accepts items of an earlier answer with OpenAI's fields, and keeps their summary [REQ-1]", async () => {
    harness.says('Fine');
    const text = { type: 'output_text', text: 'Hello', annotations: [{ type: 'url_citation' }], logprobs: null };
    const content = [text, { type: 'refusal', refusal: 'No' }];
    const message = {
      type: 'message',
      id: 'msg_1',
      role: 'assistant',
      status: 'completed',
      phase: 'final_answer',
      content,
    };
    const summary = [{ type: 'summary_text', text: 'Adding.' }];
    const reasoning = { type: 'reasoning', id: 'rs_1', status: null, summary, content: null, encrypted_content: 'x' };
    const { status, body } = await harness.post({ input: [user('Hi'), reasoning, message, user('And?')] });
    expect(status).toBe(200);
    const items = await harness.api(`/v1/responses/${String(body['id'])}/input_items?order=asc`);
    expect((items.body['data'] as unknown[])[1]).toMatchObject({ type: 'reasoning', summary, content: [] });
  });
});

/* Turns of one socket that continue from responses which are not stored. */

import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { textAnswer } from '../support/fake-openai-server.js';
import { GatewayHarness, promptOf, terminalOf } from '../support/gateway-harness.js';
import { type RawClient } from '../support/raw-client.js';

let harness: GatewayHarness;
beforeAll(async () => {
  harness = await GatewayHarness.start({ config: { limits: { per_user: { tokens_per_minute: 1_000_000 } } } });
});
afterEach(() => harness.hangUp());
afterAll(() => harness.close());

const sent = (): string[] => {
  const request = harness.provider.requests.at(-1);
  return request === undefined ? [] : promptOf(request);
};

async function said(client: RawClient, question: string, answer: string, more: object = {}): Promise<string> {
  harness.says(answer);
  client.create({ input: question, store: false, ...more });
  return terminalOf(await client.turn()).id;
}

async function refusedOn(client: RawClient, previous: string): Promise<unknown> {
  client.create({ input: 'More', store: false, previous_response_id: previous });
  return (await client.until('error'))['error'];
}

const NOT_FOUND: unknown = expect.objectContaining({
  code: 'previous_response_not_found',
  param: 'previous_response_id',
});

describe('a response that is not stored', () => {
  it('continues an unstored response on its socket, as a chain, and from a fork [CONV-17]', async () => {
    const client = await harness.connect();
    const first = await said(client, 'One', 'Two');
    const second = await said(client, 'Three', 'Four', { previous_response_id: first });
    await said(client, 'Five', 'Six', { previous_response_id: second });
    expect(sent()).toEqual(['user: One', 'assistant: Two', 'user: Three', 'assistant: Four', 'user: Five']);
    await said(client, 'Fork', 'Yes', { previous_response_id: first, stream_id: 'b' });
    expect(sent()).toEqual(['user: One', 'assistant: Two', 'user: Fork']);
  });

  it('continues an unstored response by a stored one, from which any connection continues [CONV-17]', async () => {
    const client = await harness.connect();
    const first = await said(client, 'One', 'Two');
    const stored = await said(client, 'Three', 'Four', { previous_response_id: first, store: true });
    harness.says('Six');
    expect((await harness.post({ input: 'Five', previous_response_id: stored })).status).toBe(200);
    expect(sent()).toEqual(['user: One', 'assistant: Two', 'user: Three', 'assistant: Four', 'user: Five']);
  });

  it('refuses to continue an unstored response on another connection, over REST or after its socket closed [CONV-17]', async () => {
    const [client, other] = [await harness.connect(), await harness.connect()];
    const first = await said(client, 'One', 'Two');
    expect(await refusedOn(other, first)).toEqual(NOT_FOUND);
    const rest = await harness.post({ input: 'Hi', previous_response_id: first });
    expect([rest.status, rest.body['error']]).toEqual([400, NOT_FOUND]);
    await client.close();
    expect(await refusedOn(await harness.connect(), first)).toEqual(NOT_FOUND);
  });

  it('forgets an unstored response when its continuation fails [CONV-18]', async () => {
    const client = await harness.connect();
    const first = await said(client, 'One', 'Two');
    const other = await said(client, 'Uno', 'Dos');
    harness.provider.answerWith({ status: 500 });
    client.create({ input: 'Three', store: false, previous_response_id: first });
    expect(terminalOf(await client.turn()).status).toBe('failed');
    harness.provider.answerWith(textAnswer(['Fine']));
    expect(await refusedOn(client, first)).toEqual(NOT_FOUND);
    await said(client, 'Tres', 'Cuatro', { previous_response_id: other });
    expect(sent()).toEqual(['user: Uno', 'assistant: Dos', 'user: Tres']);
  });

  it('forgets an unstored response when its continuation is refused for a mistake [CONV-18]', async () => {
    const client = await harness.connect();
    const first = await said(client, 'One', 'Two');
    const stray = [{ type: 'function_call_output', call_id: 'nope', output: 'x' }];
    client.create({ input: stray, store: false, previous_response_id: first });
    expect(await client.until('error')).toMatchObject({ error: { code: 'unknown_call_id' } });
    expect(await refusedOn(client, first)).toEqual(NOT_FOUND);
  });

  it('does not remember an unstored response whose context is larger than 1 MiB [CONV-17]', async () => {
    const client = await harness.connect();
    const large = 'word '.repeat(150_000);
    const first = await said(client, large, 'Two');
    await said(client, large, 'Three', { previous_response_id: first });
    expect(sent()).toHaveLength(3);
    const second = terminalOf(client.frames).id;
    expect(await refusedOn(client, second)).toEqual(NOT_FOUND);
    expect(await harness.gateway.metric('sluice_turns_in_flight')).toBe(0);
  });
});

describe('generate: false', () => {
  it('takes the input without an answer, a provider or tokens, and can be continued [CONV-19]', async () => {
    const client = await harness.connect();
    const calls = harness.provider.requests.length;
    client.create({ input: 'My name is Ann', store: false, generate: false });
    const frames = await client.turn();
    expect(frames.map(({ type }) => type)).toEqual(['response.created', 'response.in_progress', 'response.completed']);
    const warm = terminalOf(frames);
    expect(warm).toMatchObject({ status: 'completed', output: [], usage: { total_tokens: 0 } });
    expect(harness.provider.requests).toHaveLength(calls);
    await said(client, 'Who am I?', 'Ann', { previous_response_id: warm.id });
    expect(sent()).toEqual(['user: My name is Ann', 'user: Who am I?']);
  });

  it('needs no input, and is refused over REST [CONV-19]', async () => {
    const client = await harness.connect();
    client.create({ generate: false, tools: [{ type: 'function', name: 'f' }] });
    expect(terminalOf(await client.turn()).status).toBe('completed');
    const { status, body } = await harness.post({ input: 'Hi', generate: false });
    expect([status, body['error']]).toEqual([
      400,
      expect.objectContaining({ code: 'unsupported_parameter', param: 'generate' }),
    ]);
  });
});

/*
 * Loops of function tools as clients really send them, before a provider that keeps OpenAI's rule
 * on tool messages.
 */

import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { GatewayHarness } from '../support/gateway-harness.js';
import { callsAnswer, deltaChunk, DONE, finishChunk, textChunk } from '../support/fake-openai-server.js';

let harness: GatewayHarness;
beforeAll(async () => {
  harness = await GatewayHarness.start();
});
afterEach(() => harness.hangUp());
afterAll(() => harness.close());

const TOOLS = ['weather', 'time'].map((name) => ({ type: 'function', name, parameters: { type: 'object' } }));
const user = (content: string): object => ({ role: 'user', content });
const output = (call_id: string, said = 'sunny'): object => ({ type: 'function_call_output', call_id, output: said });
const call = (call_id: string): object => ({ type: 'function_call', call_id, name: 'weather', arguments: '{}' });

/** The messages of the newest request, a word each. */
function sent(): string[] {
  const { messages = [] } = harness.provider.requests.at(-1)?.body ?? {};
  return messages.map(({ role, content, tool_calls: calls, tool_call_id: id }) => {
    // Only this shape of calls is ever sent.
    const names = ((calls ?? []) as readonly { readonly id: string }[]).map((one) => `>${one.id}`);
    return [
      String(role),
      ...(content === null ? [] : [String(content)]),
      ...names,
      ...(id === undefined ? [] : [`<${String(id)}`]),
    ].join(' ');
  });
}
const ask = async (body: object): Promise<Record<string, unknown>> => {
  const { body: response, status } = await harness.post({ tools: TOOLS, ...body });
  return { http: status, ...response };
};

describe('a function call and its output', () => {
  it('sends a function call and its output adjacent although the user wrote before the output came [CONV-8]', async () => {
    const conversation = await harness.conversation();
    harness.provider.answerWith(callsAnswer([{ id: 'c1', name: 'weather' }]));
    await ask({ conversation, input: 'Weather?' });
    harness.says('Hold on');
    await ask({ conversation, input: 'Are you there?' });
    harness.says('It is sunny');
    expect(await ask({ conversation, input: [output('c1')] })).toMatchObject({ status: 'completed' });
    expect(sent()).toEqual([
      'user Weather?',
      'assistant >c1',
      'tool sunny <c1',
      'user Are you there?',
      'assistant Hold on',
    ]);
    expect(await ask({ conversation, input: 'Thanks' })).toMatchObject({ status: 'completed' });
  });

  it('sends a function call and its output adjacent although the request has the user’s next message first [CONV-8]', async () => {
    const conversation = await harness.conversation();
    harness.provider.answerWith(callsAnswer([{ id: 'c1', name: 'weather' }]));
    await ask({ conversation, input: 'Weather?' });
    harness.says('It is sunny');
    expect(await ask({ conversation, input: [user('And?'), output('c1')] })).toMatchObject({ status: 'completed' });
    expect(sent()).toEqual(['user Weather?', 'assistant >c1', 'tool sunny <c1', 'user And?']);
  });

  it('sends function calls and their outputs adjacent although two requests answer them [CONV-8]', async () => {
    const conversation = await harness.conversation();
    harness.provider.answerWith(
      callsAnswer([
        { id: 'c1', name: 'weather' },
        { id: 'c2', name: 'time' },
      ]),
    );
    await ask({ conversation, input: 'Weather and time?' });
    harness.says('Sunny');
    expect(await ask({ conversation, input: [output('c1')] })).toMatchObject({ status: 'completed' });
    harness.says('Noon');
    expect(await ask({ conversation, input: [output('c2', 'noon')] })).toMatchObject({ status: 'completed' });
    expect(sent()).toEqual([
      'user Weather and time?',
      'assistant >c1 >c2',
      'tool sunny <c1',
      'tool noon <c2',
      'assistant Sunny',
    ]);
    expect(await ask({ conversation, input: 'Thanks' })).toMatchObject({ status: 'completed' });
  });

  it('sends a function call and its output adjacent although the provider wrote text after the call [CONV-8]', async () => {
    const conversation = await harness.conversation();
    const calling = { index: 0, id: 'c1', type: 'function', function: { name: 'weather', arguments: '{}' } };
    const steps = [deltaChunk({ tool_calls: [calling] }), textChunk('One moment'), finishChunk('tool_calls'), DONE];
    harness.provider.answerWith({ steps });
    await ask({ conversation, input: 'Weather?' });
    harness.says('It is sunny');
    expect(await ask({ conversation, input: [output('c1')] })).toMatchObject({ status: 'completed' });
    expect(sent()).toEqual(['user Weather?', 'assistant One moment >c1', 'tool sunny <c1']);
  });

  it('sends a function call and its output adjacent in a history that the client carries [CONV-8]', async () => {
    harness.says('It is sunny');
    const between = [
      { role: 'assistant', content: 'One moment' },
      { role: 'user', content: 'Well?' },
    ];
    for (const written of between) {
      const input = [user('Weather?'), call('c1'), written, output('c1')];
      expect(await ask({ input, store: false })).toMatchObject({ status: 'completed' });
    }
  });
});

describe('a second output of a call', () => {
  it('refuses a second output of a call, and keeps the conversation usable [REQ-25]', async () => {
    const conversation = await harness.conversation();
    harness.provider.answerWith(callsAnswer([{ id: 'c1', name: 'weather' }]));
    const { id } = await ask({ conversation, input: 'Weather?' });
    const twice = { error: { code: 'invalid_value', param: 'input[1].call_id' } };
    expect(await ask({ conversation, input: [output('c1'), output('c1')] })).toMatchObject({ http: 400, ...twice });
    expect(await ask({ previous_response_id: id, input: [output('c1'), output('c1')] })).toMatchObject(twice);
    expect(await ask({ input: [call('c1'), output('c1'), output('c1')] })).toMatchObject({
      http: 400,
      error: { code: 'invalid_value', param: 'input[2].call_id' },
    });
    harness.says('It is sunny');
    expect(await ask({ conversation, input: [output('c1')] })).toMatchObject({ status: 'completed' });
    expect(await ask({ conversation, input: [output('c1')] })).toMatchObject({
      http: 400,
      error: { code: 'invalid_value', param: 'input[0].call_id' },
    });
    expect(await ask({ conversation, input: 'Thanks' })).toMatchObject({ status: 'completed' });
  });

  it('refuses a second output of a call, and one out of order, in a chat completion [CHAT-13]', async () => {
    const calls = (id: string): object => ({
      role: 'assistant',
      tool_calls: [{ id, type: 'function', function: { name: 'weather', arguments: '{}' } }],
    });
    const tool = (id: string): object => ({ role: 'tool', tool_call_id: id, content: 'sunny' });
    for (const [messages, param, code] of [
      [[user('?'), calls('c1'), tool('c1'), tool('c1')], 'messages[3].tool_call_id', 'invalid_value'],
      [[user('?'), calls('c1'), user('well?'), tool('c1')], 'messages[3].tool_call_id', 'unknown_call_id'],
      [[user('?'), tool('c1'), calls('c1')], 'messages[1].tool_call_id', 'unknown_call_id'],
    ] as const) {
      const refused = await harness.api('/v1/chat/completions', { method: 'POST', body: { messages } });
      expect(refused).toMatchObject({ status: 400, body: { error: { code, param } } });
    }
  });
});

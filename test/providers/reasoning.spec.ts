/* Reasoning through a tool loop: who sees it, what is kept, and what goes back to the provider. */

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import {
  deltaChunk,
  DONE,
  FakeOpenAiServer,
  type FakeStep,
  finishChunk,
  textChunk,
} from '../support/fake-openai-server.js';
import { startGateway, type TestGateway } from '../support/gateway.js';

let provider: FakeOpenAiServer;
let gateway: TestGateway;
beforeEach(async () => {
  provider = await FakeOpenAiServer.start();
});
afterEach(async () => {
  await gateway.close();
  await provider.close();
});

const thinks = (text: string): FakeStep => deltaChunk({ reasoning_content: text });
const summarizes = (summary: string): FakeStep =>
  deltaChunk({ reasoning_details: [{ type: 'reasoning.summary', summary }] });
const BANNED = { middleware: { validator: { banned_words: ['secret'] } } };
const asItem = (given: string | object): object =>
  typeof given === 'string' ? { role: 'user', content: given } : given;
const SIGNATURE = { google: { thought_signature: 'c2ln' } };
const calls = (more: object = {}): FakeStep =>
  deltaChunk({ tool_calls: [{ index: 0, id: 'c1', ...more, function: { name: 'f', arguments: '{}' } }] });
const TOOL = { type: 'function', name: 'f', parameters: { type: 'object', properties: {} } };

async function start(reasoning: boolean, sections: Readonly<Record<string, unknown>> = {}): Promise<void> {
  gateway = await startGateway({
    config: {
      provider: { type: 'openai', model: 'm', base_url: provider.baseUrl, send_reasoning: true },
      clients: { allow: { reasoning } },
      ...sections,
    },
  });
}

async function post(path: string, body: object): Promise<Answer> {
  const answer = await fetch(`${gateway.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return (await answer.json()) as Answer;
}

/** As far as these tests look at answers. */
interface Answer {
  readonly id: string;
  readonly status: string;
  readonly output: readonly { readonly type: string; readonly content?: readonly { readonly text: string }[] }[];
  readonly data: readonly { readonly type: string }[];
  readonly choices: readonly {
    readonly message: { readonly reasoning_content?: string; readonly tool_calls: object[] };
  }[];
  readonly usage: object;
}

const RESULT = { type: 'function_call_output', call_id: 'c1', output: 'done' };
const sentBack = (): readonly object[] => provider.requests.at(-1)?.body.messages ?? [];

describe('reasoning', () => {
  it('writes reasoning as an item before the call, and sends it back with the call in the next round [REAS-1] [REAS-3]', async () => {
    await start(true);
    provider.answerWith({ steps: [thinks('I need f.'), calls(), finishChunk('tool_calls'), DONE] });
    const first = await post('/v1/responses', { input: 'Hi', tools: [TOOL] });
    expect(first.output.map(({ type }) => type)).toEqual(['reasoning', 'function_call']);
    provider.answerWith({ steps: [textChunk('Done'), finishChunk(), DONE] });
    await post('/v1/responses', { input: [RESULT], previous_response_id: first.id, tools: [TOOL] });
    expect(sentBack()[1]).toMatchObject({
      role: 'assistant',
      reasoning_content: 'I need f.',
      tool_calls: [{ id: 'c1' }],
    });
  });

  it('hides reasoning if clients.allow.reasoning is false, and still sends it back [REAS-2] [REAS-3]', async () => {
    await start(false);
    const { id: conversation } = await post('/v1/conversations', {});
    provider.answerWith({ steps: [thinks('I need f.'), calls(), finishChunk('tool_calls'), DONE] });
    const first = await post('/v1/responses', { input: 'Hi', tools: [TOOL], conversation });
    expect(first.output.map(({ type }) => type)).toEqual(['function_call']);
    provider.answerWith({ steps: [textChunk('Done'), finishChunk(), DONE] });
    await post('/v1/responses', { input: [RESULT], conversation, tools: [TOOL] });
    expect(sentBack()[1]).toMatchObject({ reasoning_content: 'I need f.' });
    const items = await fetch(`${gateway.url}/v1/conversations/${conversation}/items`);
    expect(await items.text()).not.toContain('I need f.');
  });

  it('does not send reasoning back that led to text [REAS-3]', async () => {
    await start(true);
    provider.answerWith({ steps: [thinks('Hm.'), textChunk('Hello'), finishChunk(), DONE] });
    const { id } = await post('/v1/responses', { input: 'Hi' });
    await post('/v1/responses', { input: 'More', previous_response_id: id });
    expect(JSON.stringify(sentBack())).not.toContain('Hm.');
  });

  it('checks reasoning by guardrails, without its length against max_length [REAS-4]', async () => {
    await start(true, { middleware: { validator: { banned_words: ['secret'], max_length: 20 } } });
    provider.answerWith({ steps: [thinks('This is a secret plan'), textChunk('Hello'), finishChunk(), DONE] });
    const stopped = await post('/v1/responses', { input: 'Hi' });
    expect(stopped).toMatchObject({ status: 'incomplete', incomplete_details: { reason: 'content_filter' } });
    expect(JSON.stringify(stopped.output)).not.toContain('secret');
    provider.answerWith({ steps: [thinks('x'.repeat(100)), textChunk('Hello'), finishChunk(), DONE] });
    expect(await post('/v1/responses', { input: 'Hi' })).toMatchObject({ status: 'completed', output_text: 'Hello' });
  });

  it('checks a summary of reasoning by guardrails too, with a finding that holds no text [REAS-4]', async () => {
    await start(true, BANNED);
    provider.answerWith({ steps: [summarizes('This is a sec'), summarizes('ret plan'), textChunk('Hello'), DONE] });
    const stopped = await post('/v1/responses', { input: 'Hi' });
    expect(stopped).toMatchObject({
      status: 'incomplete',
      output: [{ type: 'reasoning', summary: [{ text: 'This is a ' }] }, { type: 'message' }],
      sluice: { findings: [{ guardrail: 'banned_words', stage: 'output', decision: 'deny', reason: 'banned_word' }] },
    });
    expect(JSON.stringify(stopped)).not.toContain('sec');
  });

  it.each([
    ['the reasoning', (text: string) => thinks(text)],
    ['its summary', (text: string) => summarizes(text)],
  ])(
    'is not judged where %s is hidden: it reaches no viewer and stops no answer [REAS-2] [REAS-4]',
    async (_, says) => {
      await start(false, BANNED);
      provider.answerWith({ steps: [says('This is a secret plan'), textChunk('Hello'), finishChunk(), DONE] });
      const answer = await post('/v1/responses', { input: 'Hi' });
      expect(answer).toMatchObject({ status: 'completed', output_text: 'Hello', sluice: { findings: [] } });
      expect(JSON.stringify(answer)).not.toContain('secret');
    },
  );

  it('withholds reasoning that a client carries and that does not pass from the provider [REAS-4] [GUARD-4]', async () => {
    await start(true, BANNED);
    provider.answerWith({ steps: [textChunk('Hello'), finishChunk(), DONE] });
    const carried = [
      { type: 'reasoning', content: [{ type: 'reasoning_text', text: 'The secret plan.' }], summary: [] },
      { type: 'function_call', call_id: 'c1', name: 'f', arguments: '{}' },
      RESULT,
    ];
    const answer = await post('/v1/responses', { input: ['Hi', ...carried].map(asItem), tools: [TOOL] });
    expect(answer).toMatchObject({
      status: 'completed',
      sluice: { findings: [{ guardrail: 'banned_words', stage: 'input', decision: 'note' }] },
    });
    expect(JSON.stringify(sentBack())).not.toContain('secret');
    expect(JSON.stringify(sentBack())).toContain('done');
  });

  it('sends reasoning both ways through chat completions, with the opaque data of a call [REAS-1] [REAS-3]', async () => {
    await start(true);
    provider.answerWith({
      steps: [thinks('I need f.'), calls({ extra_content: SIGNATURE }), finishChunk('tool_calls'), DONE],
    });
    const user = { role: 'user', content: 'Hi' };
    const tools = [{ type: 'function', function: { name: 'f', parameters: TOOL.parameters } }];
    const first = await post('/v1/chat/completions', { model: 'm', messages: [user], tools });
    const message = first.choices[0]?.message;
    expect(message).toMatchObject({ reasoning_content: 'I need f.', tool_calls: [{ extra_content: SIGNATURE }] });
    const result = { role: 'tool', tool_call_id: 'c1', content: 'done' };
    await post('/v1/chat/completions', { model: 'm', messages: [user, { ...message }, result], tools });
    expect(sentBack()[1]).toMatchObject({
      reasoning_content: 'I need f.',
      tool_calls: [{ id: 'c1', extra_content: SIGNATURE }],
    });
  });
});

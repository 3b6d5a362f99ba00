/*
 * Histories that clients carry themselves, before guardrails: only what is new decides, and a
 * refused message does not end later turns.
 */

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { GatewayHarness, promptOf } from '../support/gateway-harness.js';

let harness: GatewayHarness;
beforeAll(async () => {
  const validator = { enabled: true, banned_words: ['forbidden'], max_length: 40 };
  harness = await GatewayHarness.start({
    config: {
      middleware: { validator, provider: { retry: { max_attempts: 1 }, breaker: { failures: 1_000 } } },
    },
  });
  harness.says('Fine');
});
afterAll(() => harness.close());

const user = (content: string): object => ({ role: 'user', content });
const said = (content: string): object => ({ role: 'assistant', content });
const asked = (): string[] => {
  const request = harness.provider.requests.at(-1);
  return request === undefined ? [] : promptOf(request);
};
const LONG = 'word '.repeat(20);

describe('the length limit of a guardrail', () => {
  it('applies to each new message of the user, not to the history [GUARD-3]', async () => {
    const history = [user('a'.repeat(30)), said(LONG), user('b'.repeat(30)), said(LONG), user('c'.repeat(30))];
    const input = [{ role: 'system', content: LONG }, { role: 'developer', content: LONG }, ...history];
    expect((await harness.post({ input })).body).toMatchObject({ output_text: 'Fine' });
    const two = [user('d'.repeat(30)), user('e'.repeat(30))];
    expect((await harness.post({ input: two })).body).toMatchObject({ output_text: 'Fine' });
    const messages = [{ role: 'system', content: LONG }, ...history];
    const chat = await harness.api('/v1/chat/completions', { method: 'POST', body: { messages } });
    expect(chat.body).toMatchObject({ choices: [{ message: { content: 'Fine' } }] });
    const refused = await harness.post({ input: [...history.slice(0, 4), user('f'.repeat(41))] });
    expect(refused.body).toMatchObject({ sluice: { findings: [{ reason: 'too_long', decision: 'deny' }] } });
  });
});

describe('a refused message in a history', () => {
  const history = [user('a forbidden thing'), said('That word is not allowed.'), user('Hello?')];

  it('withholds a refused message of a history from the provider, and answers the new message [GUARD-4, CHAT-11]', async () => {
    const { body } = await harness.post({ input: history });
    expect(body).toMatchObject({
      output_text: 'Fine',
      sluice: { findings: [{ reason: 'banned_word', decision: 'note', stage: 'input' }] },
    });
    expect(asked()).toEqual(['assistant: That word is not allowed.', 'user: Hello?']);
    await harness.post({ input: 'And now?', previous_response_id: body['id'] });
    expect(asked().join()).not.toContain('forbidden');
    const chat = await harness.api('/v1/chat/completions', { method: 'POST', body: { messages: history } });
    expect(chat.body).toMatchObject({ choices: [{ message: { content: 'Fine' }, finish_reason: 'stop' }] });
    expect(asked().join()).not.toContain('forbidden');
  });

  it('withholds a refused item of a history together with its call or output [GUARD-4]', async () => {
    const call = { type: 'function_call', call_id: 'c1', name: 'f', arguments: '{}' };
    const output = { type: 'function_call_output', call_id: 'c1', output: 'forbidden' };
    await harness.post({ input: [user('Look'), call, output, said('Hm'), user('Continue')] });
    expect(asked()).toEqual(['user: Look', 'assistant: Hm', 'user: Continue']);
  });

  it('withholds a refused message of a history even without the refusal after it [GUARD-4, CHAT-11]', async () => {
    for (const refused of ['a forbidden thing', 'a'.repeat(41)]) {
      const carried = [user('Hi'), said('Hello'), user(refused), user('Hello?')];
      const { body } = await harness.post({ input: carried });
      expect(body).toMatchObject({ output_text: 'Fine', sluice: { findings: [{ decision: 'note', stage: 'input' }] } });
      expect(asked()).toEqual(['user: Hi', 'assistant: Hello', 'user: Hello?']);
      const messages = [...carried.slice(0, 3), said(''), user('Hello?')];
      const chat = await harness.api('/v1/chat/completions', { method: 'POST', body: { messages } });
      expect(chat.body).toMatchObject({ choices: [{ message: { content: 'Fine' }, finish_reason: 'stop' }] });
      expect(asked()).toEqual(['user: Hi', 'assistant: Hello', 'user: Hello?']);
    }
  });

  it('refuses a new message after any history [GUARD-4]', async () => {
    for (const before of [said('Hello'), user('Hello?')]) {
      const { body } = await harness.post({ input: [user('Hi'), before, user('a forbidden thing')] });
      expect(body).toMatchObject({ output_text: '', sluice: { kept: 'display_only' } });
    }
  });
});

it('keeps the parts of one message apart [REQ-26]', async () => {
  const parts = (type: string): object[] => ['one', 'two'].map((text) => ({ type, text }));
  await harness.post({ input: [{ role: 'user', content: parts('input_text') }] });
  expect(asked()).toEqual(['user: one\ntwo']);
  const body = { messages: [{ role: 'user', content: parts('text') }] };
  await harness.api('/v1/chat/completions', { method: 'POST', body });
  expect(asked()).toEqual(['user: one\ntwo']);
});

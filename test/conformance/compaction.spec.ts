/* Compaction: summaries in place of context, by the official client; readable by this deployment and owner only. */

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import OpenAI from 'openai';
import { textAnswer } from '../support/fake-openai-server.js';
import { GatewayHarness, promptOf } from '../support/gateway-harness.js';

const KEY = 'a-secret-of-at-least-32-characters!';
const ANN = 'sk-ann-00000000000000000000000000000001';
const BOB = 'sk-bob-00000000000000000000000000000002';

let harness: GatewayHarness;
const clients: OpenAI[] = [];
const clientOf = (gateway: GatewayHarness, apiKey: string): OpenAI =>
  new OpenAI({ baseURL: `${gateway.gateway.url}/v1`, apiKey, maxRetries: 0 });
const start = (secret: string | undefined, more: object = {}): Promise<GatewayHarness> =>
  GatewayHarness.start({
    config: {
      compaction: secret === undefined ? {} : { key_env: 'SUMMARY_KEY' },
      auth: {
        mode: 'keys',
        keys: [
          { id: 'ann', key_env: 'KEY_ANN', tenant: 'a' },
          { id: 'bob', key_env: 'KEY_BOB', tenant: 'b' },
        ],
      },
      middleware: {
        validator: { banned_words: ['forbidden'], max_length: 200 },
        provider: { retry: { max_attempts: 1 }, breaker: { failures: 1_000 } },
      },
      ...more,
    },
    env: { KEY_ANN: ANN, KEY_BOB: BOB, ...(secret === undefined ? {} : { SUMMARY_KEY: secret }) },
  });
beforeAll(async () => {
  harness = await start(KEY);
  clients.push(clientOf(harness, ANN), clientOf(harness, BOB));
});
afterAll(() => harness.close());

const HISTORY = [
  { role: 'user', content: 'My name is Ada.' },
  { role: 'assistant', content: 'Hello Ada!' },
  { role: 'user', content: 'I like tea.' },
] as const;
const asked = (): string[] => {
  const request = harness.provider.requests.at(-1);
  return request === undefined ? [] : promptOf(request);
};
const compact = (client: OpenAI | undefined, more: object = {}): Promise<OpenAI.Responses.CompactedResponse> =>
  (client as OpenAI).responses.compact({ model: null, input: [...HISTORY], ...more });

describe('POST /v1/responses/compact', () => {
  it('answers with a summary that a later request continues from [COMP-1, COMP-2]', async () => {
    harness.says('Ada likes tea. '.repeat(20));
    const compacted = await compact(clients[0]);
    expect(compacted).toMatchObject({ object: 'response.compaction', usage: { total_tokens: expect.any(Number) } });
    expect(compacted.usage.total_tokens).toBeGreaterThan(0);
    expect(compacted.output).toMatchObject([{ type: 'compaction', id: expect.stringMatching(/^cmp_/u) }]);
    expect(JSON.stringify(compacted)).not.toContain('tea');
    const [system, ...rest] = asked();
    expect(system).toMatch(/^system: You write summaries/u);
    expect(rest.slice(0, 3)).toEqual(['user: My name is Ada.', 'assistant: Hello Ada!', 'user: I like tea.']);
    expect(rest.at(-1)).toMatch(/^user: Summarize/u);

    harness.says('Tea.');
    const [item] = compacted.output;
    // The cast: the output of a compaction is input of the next request, as OpenAI documents it.
    const input = [item, { role: 'user', content: 'What do I like?' }] as OpenAI.Responses.ResponseInput;
    const answer = await clients[0]?.responses.create({ input });
    expect(answer?.output_text).toBe('Tea.');
    expect(asked()).toEqual([
      `user: Summary of the conversation so far:\n\n${'Ada likes tea. '.repeat(20)}`,
      'user: What do I like?',
    ]);
    harness.says('Yes.');
    await clients[0]?.responses.create({ input: 'Sure?', previous_response_id: answer?.id ?? '' });
    expect(asked()[0]).toContain('Ada likes tea.');
  });

  it('summarizes a chain [COMP-1]', async () => {
    harness.says('Hello Ada!');
    const first = await clients[0]?.responses.create({ input: 'My name is Ada.' });
    harness.says('About Ada.');
    await compact(clients[0], { input: undefined, previous_response_id: first?.id });
    expect(asked().slice(1, 3)).toEqual(['user: My name is Ada.', 'assistant: Hello Ada!']);
  });

  it('passes the guards, and its failures are failures [COMP-1]', async () => {
    harness.says('a forbidden summary');
    await expect(compact(clients[0])).rejects.toMatchObject({ status: 400, param: 'input' });
    harness.says('Fine');
    await expect(compact(clients[0], { input: 'a forbidden input' })).rejects.toMatchObject({ status: 400 });
    harness.provider.answerWith({ status: 503 });
    await expect(compact(clients[0])).rejects.toMatchObject({ status: 503 });
    harness.says('Fine');
    await expect(compact(clients[0], { tools: [] })).rejects.toMatchObject({
      code: 'unknown_parameter',
      param: 'tools',
    });
    await expect(compact(clients[0], { input: undefined })).rejects.toMatchObject({ status: 400, param: 'input' });
  });
});

describe('a summary', () => {
  it('of another owner, of another deployment, or altered, is refused with its path [COMP-2]', async () => {
    harness.says('About Ada.');
    const { output } = await compact(clients[0]);
    // The cast: see above.
    const [{ encrypted_content: content }] = output as unknown as [{ encrypted_content: string }];
    const send = (client: OpenAI | undefined, encrypted_content: string) =>
      client?.responses.create({
        input: [
          { role: 'user', content: 'x' },
          { type: 'compaction', encrypted_content },
        ],
      });
    const refused = { status: 400, code: 'invalid_value', param: 'input[1].encrypted_content' };
    await expect(send(clients[1], content)).rejects.toMatchObject(refused);
    const at = content.length - 8;
    const altered = content.slice(0, at) + (content[at] === 'A' ? 'B' : 'A') + content.slice(at + 1);
    for (const wrong of [altered, content.slice(0, 30), 'x', 'sc1.', `${content}AAAA`]) {
      await expect(send(clients[0], wrong)).rejects.toMatchObject(refused);
    }
    const other = await start(`another ${KEY}`);
    await expect(send(clientOf(other, ANN), content)).rejects.toMatchObject(refused);
    await other.close();
    const replica = await start(KEY);
    replica.says('Hi');
    expect(await send(clientOf(replica, ANN), content)).toMatchObject({ output_text: 'Hi' });
    await replica.close();
  });

  it('needs a key in the configuration [COMP-3]', async () => {
    const none = await start(undefined);
    const client = clientOf(none, ANN);
    await expect(compact(client)).rejects.toMatchObject({ status: 400, code: 'unsupported_parameter' });
    const item = { type: 'compaction', encrypted_content: 'x' } as const;
    await expect(client.responses.create({ input: [item] })).rejects.toMatchObject({ code: 'unsupported_content' });
    expect(none.provider.requests).toHaveLength(0);
    await none.close();
  });
});

it('a compaction counts as a turn in limits and metrics [COMP-1]', async () => {
  const limited = await start(KEY, { limits: { per_user: { requests_per_minute: 1 } } });
  limited.provider.answerWith(textAnswer(['About Ada.']));
  const client = clientOf(limited, ANN);
  await compact(client);
  await expect(compact(client)).rejects.toMatchObject({ status: 429 });
  await limited.close();
});

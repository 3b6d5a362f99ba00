/*
 * Compaction: summaries in place of context, by the official client; readable by this deployment
 * and owner only.
 */

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import OpenAI from 'openai';
import { textAnswer } from '../support/fake-openai-server.js';
import { FAKE_TURN_TOKENS, GatewayHarness, promptOf } from '../support/gateway-harness.js';

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
        validator: { banned_words: ['forbidden'], max_length: 10_000 },
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
    harness.says('Ada likes tea. '.repeat(800));
    const compacted = await compact(clients[0]);
    expect(compacted).toMatchObject({ object: 'response.compaction', usage: { total_tokens: expect.any(Number) } });
    expect(compacted.usage.total_tokens).toBeGreaterThan(0);
    expect(compacted.output).toMatchObject([{ type: 'compaction', id: expect.stringMatching(/^cmp_/u) }]);
    // With its space: three letters alone come up in encrypted content now and then.
    expect(JSON.stringify(compacted)).not.toContain('likes tea');
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
      `user: Summary of the conversation so far:\n\n${'Ada likes tea. '.repeat(800)}`,
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

  it('checks a compaction by the guards, and reports its failures [COMP-1]', async () => {
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
    await expect(compact(clients[0], { model: undefined })).rejects.toMatchObject({ status: 400, param: 'model' });
    await expect(compact(clients[0], { input: undefined })).rejects.toMatchObject({ status: 400, param: 'input' });
  });
});

describe('a summary', () => {
  it('refuses a summary of another owner, of another deployment, or altered, with its path [COMP-2]', async () => {
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

describe('context_management', () => {
  const management = [{ type: 'compaction', compact_threshold: 1_000 }];
  const ask = async (conversation: string, input: unknown, more: object = {}) => {
    const answer = await harness.post({ conversation, input, context_management: management, ...more }, ANN);
    expect(answer.status).toBe(200);
    return answer.body;
  };
  /** Answers requests for a summary and others differently. */
  const answers = (summary: string, text: string): void =>
    harness.provider.answerWith(({ body }) =>
      textAnswer([String(body.messages[0]?.['content']).startsWith('You write summaries') ? summary : text]),
    );
  const LONG = 'word '.repeat(1_200);

  it('compacts a conversation that passes the threshold, and keeps its items for people [COMP-4]', async () => {
    const conversation = await harness.conversation(ANN);
    answers('Ada wrote words.', LONG);
    expect(await ask(conversation, 'My name is Ada.')).toMatchObject({ output: [{ type: 'message' }] });
    const before = harness.provider.requests.length;
    answers('Ada wrote words.', 'Ada.');
    const body = await ask(conversation, 'Who am I?');
    expect(harness.provider.requests).toHaveLength(before + 2);
    expect(body).toMatchObject({
      output_text: 'Ada.',
      output: [{ type: 'compaction', sluice: { author: 'model', replaces: { items: 2 } } }, { type: 'message' }],
      usage: { total_tokens: 2 * (FAKE_TURN_TOKENS.input + FAKE_TURN_TOKENS.output) },
    });
    expect(asked()).toEqual(['user: Summary of the conversation so far:\n\nAda wrote words.', 'user: Who am I?']);

    const items = await harness.api(`/v1/conversations/${conversation}/items?order=asc`, { key: ANN });
    // The cast: the list of items has this shape.
    const data = items.body['data'] as readonly { id: string; type: string; sluice: { replaces?: object } }[];
    expect(data.map(({ type }) => type)).toEqual(['message', 'message', 'message', 'compaction', 'message']);
    expect(data[3]?.sluice.replaces).toEqual({ first_id: data[0]?.id, last_id: data[1]?.id, items: 2 });

    await ask(conversation, 'Really?');
    expect(asked()).toEqual([
      'user: Summary of the conversation so far:\n\nAda wrote words.',
      'user: Who am I?',
      'assistant: Ada.',
      'user: Really?',
    ]);
    await harness.post({ conversation, input: 'Sure?' }, ANN);
    expect(asked()[0]).toContain('Ada wrote words.');
  });

  it('reports each compaction in the log and in metrics, without its text [OPS-3, OPS-4]', async () => {
    const reported = () =>
      harness.gateway.lines
        .map((line) => JSON.parse(line) as Record<string, unknown>)
        .filter(({ msg }) => msg === 'context compacted' || msg === 'context not compacted');
    const counted = async (labels: string): Promise<number> => {
      const text = await (await fetch(`${harness.gateway.opsUrl}/metrics`)).text();
      return Number(
        text
          .split('\n')
          .find((line) => line.includes(`compactions_total{${labels}}`))
          ?.split(' ')
          .at(-1),
      );
    };
    const outcomes = ['compacted', 'refused', 'failed'];
    const all = (source: string) =>
      Promise.all(outcomes.map((outcome) => counted(`source="${source}",outcome="${outcome}"`)));
    const [turns, requests] = [await all('turn'), await all('request')];
    const before = reported().length;
    const conversation = await harness.conversation(ANN);
    answers('', LONG);
    await ask(conversation, 'One');
    answers('', 'Two');
    await ask(conversation, 'Two');
    answers('a forbidden summary', 'Three');
    await ask(conversation, 'Three');
    answers('About Ada.', 'Four');
    const { id } = await ask(conversation, 'Four');
    harness.says('About Ada.');
    await compact(clients[0]);
    harness.says('a forbidden summary');
    await expect(compact(clients[0])).rejects.toMatchObject({ status: 400 });

    const increase = (now: readonly number[], then: readonly number[]) => now.map((count, i) => count - (then[i] ?? 0));
    expect(increase(await all('turn'), turns)).toEqual([1, 1, 1]);
    expect(increase(await all('request'), requests)).toEqual([1, 1, 0]);
    const lines = reported().slice(before);
    expect(lines).toMatchObject([
      { level: 'warn', source: 'turn', outcome: 'failed', items: 2 },
      { level: 'warn', source: 'turn', outcome: 'refused', items: 4 },
      { level: 'info', source: 'turn', items: 6, response_id: id, output_tokens: FAKE_TURN_TOKENS.output },
      { level: 'info', source: 'request', input_tokens: FAKE_TURN_TOKENS.input },
      { level: 'warn', source: 'request', outcome: 'refused' },
    ]);
    expect(JSON.stringify(lines)).not.toMatch(/Ada|forbidden/u);
  });

  it('compacts again, with the former summary in the new one [COMP-4]', async () => {
    const conversation = await harness.conversation(ANN);
    answers('First.', LONG);
    await ask(conversation, 'One');
    await ask(conversation, 'Two');
    answers('Second.', 'Fine');
    const summarized = harness.provider.requests.length;
    const body = await ask(conversation, 'Three');
    expect(promptOf(await harness.provider.request(summarized)).slice(1, 3)).toEqual([
      'user: Summary of the conversation so far:\n\nFirst.',
      'user: Two',
    ]);
    expect(body).toMatchObject({ output: [{ type: 'compaction', sluice: { replaces: { items: 4 } } }, {}] });
    expect(asked()).toEqual(['user: Summary of the conversation so far:\n\nSecond.', 'user: Three']);
  });

  it('compacts a chain, and keeps the round of a tool as it is [COMP-4]', async () => {
    answers('First.', LONG);
    const first = await harness.post({ input: 'One' }, ANN);
    const call = { type: 'function_call', call_id: 'c1', name: 'look', arguments: '{}' };
    const input = [
      { role: 'user', content: 'Look' },
      call,
      { type: 'function_call_output', call_id: 'c1', output: 'x' },
    ];
    answers('First.', 'Seen');
    const more = { previous_response_id: first.body['id'], context_management: management };
    const second = await harness.post({ input, ...more }, ANN);
    expect(second.status).toBe(200);
    expect(asked().map((line) => line.split(':')[0])).toEqual(['user', 'user', 'assistant', 'tool']);
    const third = { input: 'And?', previous_response_id: second.body['id'], context_management: management };
    expect((await harness.post(third, ANN)).body).toMatchObject({ output_text: 'Seen', output: [{ type: 'message' }] });
    expect(asked()[0]).toContain('First.');
  });

  it('keeps the calls that an input answers [COMP-4]', async () => {
    const conversation = await harness.conversation(ANN);
    const items = [
      { role: 'user', content: 'One' },
      { role: 'assistant', content: 'Fine' },
      { role: 'user', content: 'Look' },
      { type: 'function_call', call_id: 'c1', name: 'look', arguments: '{}' },
    ];
    await harness.api(`/v1/conversations/${conversation}/items`, { method: 'POST', body: { items }, key: ANN });
    answers('About one.', 'Seen');
    const body = await ask(conversation, [{ type: 'function_call_output', call_id: 'c1', output: LONG }]);
    expect(body).toMatchObject({ output: [{ type: 'compaction', sluice: { replaces: { items: 2 } } }, {}] });
    expect(asked().map((line) => line.slice(0, 13))).toEqual([
      'user: Summary',
      'user: Look',
      'assistant: nu',
      'tool: word wo',
    ]);
  });

  it('leaves the context whole where there is no summary [COMP-4]', async () => {
    const conversation = await harness.conversation(ANN);
    answers('x', LONG);
    await ask(conversation, 'One');
    for (const [summary, status] of [
      ['a forbidden summary', 200],
      ['', 503],
    ] as const) {
      harness.provider.answerWith(({ body }) =>
        String(body.messages[0]?.['content']).startsWith('You write summaries')
          ? status === 200
            ? textAnswer([summary])
            : { status }
          : textAnswer(['Fine']),
      );
      expect(await ask(conversation, 'Two')).toMatchObject({ output_text: 'Fine', output: [{ type: 'message' }] });
      expect(asked()[0]).toBe('user: One');
    }
  });

  it('needs a context and a key, and a threshold of 1,000 tokens or more [COMP-3, COMP-4]', async () => {
    const wrong = [
      { input: 'x', context_management: management },
      { conversation: 'conv_1', input: 'x', context_management: [{ type: 'other' }] },
      { conversation: 'conv_1', input: 'x', context_management: [{ type: 'compaction', compact_threshold: 9 }] },
    ];
    for (const body of wrong) expect((await harness.post(body, ANN)).status).toBe(400);
    expect((await harness.post({ input: 'x', context_management: [] }, ANN)).status).toBe(200);
    const none = await start(undefined);
    const conversation = await none.conversation(ANN);
    const refused = await none.post({ conversation, input: 'x', context_management: management }, ANN);
    expect(refused.body).toMatchObject({ error: { code: 'unsupported_parameter', param: 'context_management' } });
    await none.close();
  });
});

it('requests a summary with masked data, like an answer [COMP-4, COMP-1]', async () => {
  const masking = await start(KEY, {
    middleware: { validator: { guardrails: [{ type: 'pii' }] } },
  });
  const placeholders: string[] = [];
  masking.provider.answerWith(({ body }) => {
    const text = JSON.stringify(body.messages);
    expect(text).not.toContain('ada@example.com');
    if (!text.includes('You write summaries')) return textAnswer(['word '.repeat(1_200)]);
    // The request for a summary holds a placeholder in place of the address.
    const [, placeholder = ''] = /My address is (\S+?)\./u.exec(text) ?? [];
    placeholders.push(placeholder);
    return textAnswer([`Write to ${placeholder} always`]);
  });
  const conversation = await masking.conversation(ANN);
  const context_management = [{ type: 'compaction', compact_threshold: 1_000 }];
  await masking.post({ conversation, input: 'My address is ada@example.com. Use it.', context_management }, ANN);
  const { body } = await masking.post({ conversation, input: 'And?', context_management }, ANN);
  expect(body).toMatchObject({ output: [{ type: 'compaction' }, { type: 'message' }] });
  expect(placeholders).toHaveLength(1);
  // In the next request the summary's address is masked again.
  const sent = masking.provider.requests.at(-1);
  expect(sent === undefined ? '' : promptOf(sent)[0]).toMatch(/Write to \S+ always/u);
  await masking.close();
});

it('compacts a conversation at its window before items are dropped [COMP-4]', async () => {
  const small = await start(KEY, { middleware: { state: { max_messages: 8 } } });
  small.provider.answerWith(textAnswer(['Fine']));
  const conversation = await small.conversation(ANN);
  const context_management = [{ type: 'compaction', compact_threshold: 100_000 }];
  for (let turn = 0; turn < 12; turn++) {
    await small.post({ conversation, input: `Question ${turn}`, context_management }, ANN);
  }
  const seen = small.provider.requests.map(promptOf);
  for (let turn = 0; turn < 12; turn++) {
    const line = `user: Question ${turn}`;
    const summarized = seen.some(
      (prompt) => prompt[0]?.startsWith('system: You write summaries') && prompt.includes(line),
    );
    const answeredWith = seen.at(-1)?.includes(line);
    expect([turn, summarized || answeredWith]).toEqual([turn, true]);
  }
  expect(seen.at(-1)?.[0]).toMatch(/^user: Summary of the conversation so far/u);
  await small.close();
});

it('counts a compaction as a turn in limits and metrics [COMP-1]', async () => {
  const limited = await start(KEY, { limits: { per_user: { requests_per_minute: 1 } } });
  limited.provider.answerWith(textAnswer(['About Ada.']));
  const client = clientOf(limited, ANN);
  await compact(client);
  await expect(compact(client)).rejects.toMatchObject({ status: 429 });
  await limited.close();
});

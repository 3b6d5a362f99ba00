/* Log probabilities of an answer, and that they show nothing that a guardrail withheld. */

import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import {
  deltaChunk,
  DONE,
  type FakeAnswer,
  type FakeStep,
  finishChunk,
  textAnswer,
  usageChunk,
} from '../support/fake-openai-server.js';
import { framesOf, GatewayHarness, ONE_TRY, responseIn, sseMessages, terminalOf } from '../support/gateway-harness.js';

const bytesOf = (token: string): number[] => [...Buffer.from(token)];
const likely = (token: string, logprob = -0.25): object => ({ token, logprob, bytes: bytesOf(token) });
const entry = (token: string): object => ({ ...likely(token), top_logprobs: [likely(token), likely('Secret', -3)] });
const plain = (token: string): object => ({ ...likely(token), top_logprobs: [] });

/** A chunk with the log probability of its token, as OpenAI's. */
function tokenChunk(token: string): FakeStep {
  const { chunk } = deltaChunk({ content: token }) as { chunk: { choices: object[] } };
  const logprobs = { content: [entry(token)], refusal: null };
  return { chunk: { ...chunk, choices: chunk.choices.map((choice) => ({ ...choice, logprobs })) } };
}
const tokens = (...all: readonly string[]): FakeAnswer => ({
  steps: [...all.map(tokenChunk), finishChunk(), usageChunk(), DONE],
});

const INCLUDE = ['message.output_text.logprobs'];
const EXPECTED = [entry('Hel'), entry('lo'), entry('!')];
const messages = [{ role: 'user', content: 'Hi' }];

let harness: GatewayHarness;
afterEach(() => harness.hangUp());

const asked = (): Record<string, unknown> => harness.provider.requests.at(-1)?.body ?? {};
const chat = (body: object) => harness.api('/v1/chat/completions', { method: 'POST', body: { messages, ...body } });
const stream = async (path: string, body: object): Promise<string> =>
  (await harness.fetch(path, { method: 'POST', body: { ...body, stream: true } })).text();

interface Chunk {
  readonly choices: readonly { readonly delta: object; readonly logprobs: unknown; readonly finish_reason: unknown }[];
}
const chunksOf = (sse: string): Chunk[] =>
  sse
    .split('\n')
    .filter((line) => line.startsWith('data: {'))
    .map((line) => JSON.parse(line.slice('data: '.length)) as Chunk);

describe('log probabilities', () => {
  beforeAll(async () => {
    harness = await GatewayHarness.start();
  });
  afterAll(() => harness.close());

  it('returns log probabilities over REST and with the stored response if a field requests them [LOGP-1]', async () => {
    harness.provider.answerWith(tokens('Hel', 'lo', '!'));
    const { status, body } = await harness.post({ input: 'Hi', top_logprobs: 2, include: INCLUDE });
    expect(status).toBe(200);
    expect(asked()).toMatchObject({ logprobs: true, top_logprobs: 2 });
    expect(body).toMatchObject({ top_logprobs: 2, output: [{ content: [{ text: 'Hello!', logprobs: EXPECTED }] }] });
    const stored = await harness.api(`/v1/responses/${String(body['id'])}?include[]=${INCLUDE[0]}`);
    expect(stored.body['output']).toEqual(body['output']);

    await harness.post({ input: 'Hi', include: INCLUDE });
    expect(asked()).toMatchObject({ logprobs: true });
    expect(asked()).not.toHaveProperty('top_logprobs');
  });

  it('neither requests nor returns log probabilities without these fields [LOGP-1]', async () => {
    harness.provider.answerWith(tokens('Hel', 'lo', '!'));
    const { body } = await harness.post({ input: 'Hi', top_logprobs: 0 });
    expect(asked()).not.toHaveProperty('logprobs');
    expect(body).toMatchObject({ top_logprobs: 0, output: [{ content: [{ text: 'Hello!', logprobs: [] }] }] });
  });

  it.each(['socket', 'SSE'])(
    'sends log probabilities with the end of a text in a stream over %s [LOGP-2]',
    async (transport) => {
      harness.provider.answerWith(tokens('Hel', 'lo', '!'));
      const request = { input: 'Hi', top_logprobs: 2 };
      const frames =
        transport === 'SSE'
          ? framesOf(sseMessages(await stream('/v1/responses', request)))
          : await (await harness.connect()).run(request);
      const of = (type: string) => frames.filter((frame) => frame.type === `response.${type}`);
      for (const delta of of('output_text.delta')) expect(delta).toMatchObject({ logprobs: [] });
      expect(of('output_text.done')).toMatchObject([{ text: 'Hello!', logprobs: EXPECTED }]);
      expect(of('content_part.done')).toMatchObject([{ part: { logprobs: EXPECTED } }]);
      expect(of('output_item.done')).toMatchObject([{ item: { content: [{ logprobs: EXPECTED }] } }]);
      expect(terminalOf(frames).output).toMatchObject([{ content: [{ logprobs: EXPECTED }] }]);
      const replay = await (await harness.fetch(`/v1/responses/${terminalOf(frames).id}?stream=true`)).text();
      expect(responseIn(framesOf(sseMessages(replay)).at(-1)).output).toEqual(terminalOf(frames).output);
    },
  );

  it('sends log probabilities in a chat completion, and in one chunk before the finish reason [LOGP-3]', async () => {
    harness.provider.answerWith(tokens('Hel', 'lo', '!'));
    const logprobs = { content: EXPECTED, refusal: null };
    const { body } = await chat({ logprobs: true, top_logprobs: 2 });
    expect(asked()).toMatchObject({ logprobs: true, top_logprobs: 2 });
    expect(body['choices']).toMatchObject([{ message: { content: 'Hello!' }, logprobs }]);

    const chunks = chunksOf(await stream('/v1/chat/completions', { messages, logprobs: true, top_logprobs: 2 }));
    expect(chunks.at(-2)?.choices).toEqual([{ index: 0, delta: {}, logprobs, finish_reason: null }]);
    expect(chunks.at(-1)?.choices).toMatchObject([{ logprobs: null, finish_reason: 'stop' }]);
    expect(chunks.filter(({ choices }) => choices[0]?.logprobs !== null)).toHaveLength(1);

    const refused = await chat({ top_logprobs: 2 });
    expect([refused.status, refused.body]).toMatchObject([400, { error: { param: 'top_logprobs' } }]);
  });

  it('gives each text of an answer with calls its own log probabilities', async () => {
    const call = { index: 0, id: 'call_1', type: 'function', function: { name: 'f', arguments: '{}' } };
    harness.provider.answerWith({
      steps: [tokenChunk('Wait'), deltaChunk({ tool_calls: [call] }), finishChunk('tool_calls'), usageChunk(), DONE],
    });
    const tools = [{ type: 'function', name: 'f', parameters: { type: 'object' } }];
    const { body } = await harness.post({ input: 'Hi', tools, include: INCLUDE });
    expect(body['output']).toMatchObject([{ content: [{ logprobs: [entry('Wait')] }] }, { type: 'function_call' }]);
  });

  it('returns no log probabilities, or null in chat, if the provider sends none or more than fit [LOGP-4]', async () => {
    const none = [{ content: [{ logprobs: [] }] }];
    harness.provider.answerWith(textAnswer(['Hello']));
    expect((await harness.post({ input: 'Hi', top_logprobs: 2 })).body['output']).toMatchObject(none);
    expect((await chat({ logprobs: true })).body['choices']).toMatchObject([{ logprobs: null }]);

    harness.provider.answerWith(tokens(...Array.from({ length: 64 }, () => 'x'.repeat(8_192))));
    const { status, body } = await harness.post({ input: 'Hi', top_logprobs: 2 });
    expect([status, body['output']]).toMatchObject([200, none]);
  });

  it('stores no log probabilities in a conversation', async () => {
    harness.provider.answerWith(tokens('Hel', 'lo', '!'));
    const conversation = await harness.conversation();
    await harness.post({ input: 'Hi', conversation, top_logprobs: 2 });
    const { body } = await harness.api(`/v1/conversations/${conversation}/items`);
    expect(body['data']).toMatchObject([{ content: [{ text: 'Hello!', logprobs: [] }] }, { role: 'user' }]);
  });
});

describe('log probabilities of guarded text', () => {
  beforeAll(async () => {
    const guardrails = [
      { type: 'banned_words', direction: 'both', params: { words: ['Secret'] }, message: 'Not that.' },
      { type: 'pii', direction: 'both' },
    ];
    harness = await GatewayHarness.start({ config: { middleware: { ...ONE_TRY, validator: { guardrails } } } });
  });
  afterAll(() => harness.close());

  it('returns no token of a text that a guardrail withheld or has not read [LOGP-2]', async () => {
    harness.provider.answerWith(tokens('The ', 'word ', 'is ', 'Secret', ' now.'));
    const client = await harness.connect();
    const answers = [
      JSON.stringify((await harness.post({ input: 'Hi', top_logprobs: 2 })).body),
      JSON.stringify(await client.run({ input: 'Hi', top_logprobs: 2 })),
      await stream('/v1/responses', { input: 'Hi', top_logprobs: 2 }),
      JSON.stringify((await chat({ logprobs: true, top_logprobs: 2 })).body),
      await stream('/v1/chat/completions', { messages, logprobs: true, top_logprobs: 2 }),
    ];
    for (const answer of answers) {
      expect(answer).toContain('Not that.');
      expect(answer).not.toContain('Secret');
      expect(answer).not.toContain('"logprob":');
    }
  });

  it('returns log probabilities of guarded text without alternatives if the text is unchanged [LOGP-2]', async () => {
    harness.provider.answerWith(tokens('Hel', 'lo', '!'));
    const { body } = await harness.post({ input: 'Hi', top_logprobs: 2 });
    expect(body['output']).toMatchObject([{ content: [{ logprobs: [plain('Hel'), plain('lo'), plain('!')] }] }]);
    expect(JSON.stringify(body)).not.toContain('Secret');
  });

  it('returns no log probabilities of text that a guardrail replaced [LOGP-2]', async () => {
    harness.provider.answerWith(tokens('Mail ', 'eve', '@', 'example.org', ' now.'));
    const { body } = await harness.post({ input: 'Hi', top_logprobs: 2 });
    expect(body['status']).toBe('completed');
    expect(body['output']).toMatchObject([{ content: [{ logprobs: [] }] }]);
    expect(JSON.stringify(body)).not.toContain('eve');
  });
});

describe('log probabilities for a user', () => {
  it("requires `clients.allow.sampling` for log probabilities of a user's request [REQ-13]", async () => {
    harness = await GatewayHarness.start({
      config: { clients: { allow: { sampling: false } } },
    });
    const refused = await harness.post({ input: 'Hi', include: INCLUDE });
    expect([refused.status, refused.body]).toMatchObject([
      400,
      { error: { code: 'parameter_not_allowed', param: 'top_logprobs' } },
    ]);
    const chatRefused = await chat({ logprobs: true });
    expect([chatRefused.status, chatRefused.body]).toMatchObject([400, { error: { param: 'logprobs' } }]);
    await harness.close();
  });
});

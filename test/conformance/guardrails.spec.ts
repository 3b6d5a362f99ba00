/* Guardrails of every kind over real sockets: findings, whole answers, personal data, verdicts. */

import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import {
  deltaChunk,
  DONE,
  type FakeAnswer,
  type FakeRequest,
  type FakeStep,
  finishChunk,
  textAnswer,
  textChunk,
  usageChunk,
} from '../support/fake-openai-server.js';
import { GatewayHarness, ONE_TRY, promptOf, terminalOf } from '../support/gateway-harness.js';
import { allowed } from '../support/machine.js';

/** Longer than a window of a guardrail that needs verdicts. */
const FINE = 'This first sentence is long enough that a window may end behind it, as it does here. ';
const BAD = 'And this second sentence says something terrible, at a length that fills a window too. ';

let harness: GatewayHarness;
const start = async (...guardrails: readonly object[]): Promise<void> => {
  harness = await GatewayHarness.start({ config: { middleware: { ...ONE_TRY, validator: { guardrails } } } });
};

/** The answer of the provider; requests for verdicts are answered by `verdict`. */
function answers(answer: FakeAnswer, verdict: (request: FakeRequest) => FakeAnswer): void {
  harness.provider.answerWith((request) => (isVerdict(request) ? verdict(request) : answer));
}

const isVerdict = ({ path, body }: FakeRequest): boolean =>
  path.endsWith('/moderations') || promptOf({ body } as FakeRequest)[0]?.startsWith('system: You check') === true;
const scoresBody = (score: number): object => ({
  results: [{ flagged: false, category_scores: { hate: score, violence: score / 2 } }],
});
const scores = (score: number): FakeAnswer => ({ status: 200, body: scoresBody(score) });
const textIn = ({ body }: FakeRequest): string => String(body['input']);
const deltas = (frames: readonly { readonly type: string }[]): string =>
  frames.map((frame) => (frame.type.endsWith('text.delta') && 'delta' in frame ? String(frame.delta) : '')).join('');

describe('guardrails that decide at once', () => {
  beforeAll(() =>
    start(
      { type: 'regex', params: { pattern: '(?i)project-[0-9]{3}' }, message: 'Not that project.' },
      { type: 'content_excludes', mode: 'monitor', params: { patterns: ['cat'] } },
      { type: 'banned_words', direction: 'input', params: { words: ['pirate'] } },
    ),
  );
  afterEach(() => harness.hangUp());
  afterAll(() => harness.close());

  it('records each finding with its position, and stops the earliest [GUARD-5]', async () => {
    harness.says('A cat on pro', 'ject-1', '23 and more');
    const client = await harness.connect();
    const frames = await client.run({ input: 'Hi' });
    const response = terminalOf(frames);
    expect(response).toMatchObject({ status: 'incomplete', output_text: 'A cat on ' });
    expect(response.output).toMatchObject([{ content: [{}, { type: 'refusal', refusal: 'Not that project.' }] }]);
    expect(response.sluice.findings).toEqual([
      { guardrail: 'content_excludes', stage: 'output', decision: 'note', reason: 'banned_word', position: 2 },
      { guardrail: 'regex', stage: 'output', decision: 'deny', reason: 'pattern_found', position: 9 },
    ]);
  });

  it('lets all guardrails judge an input, and answers by the first that denies [GUARD-5]', async () => {
    const client = await harness.connect();
    const response = terminalOf(await client.run({ input: 'The pirate has a cat and Project-007' }));
    expect(response.output).toMatchObject([{ content: [{ refusal: 'Not that project.' }] }]);
    expect(response.sluice.findings).toMatchObject([
      { guardrail: 'content_excludes', decision: 'note', position: 17 },
      { guardrail: 'banned_words', decision: 'deny', position: 4 },
      { guardrail: 'regex', decision: 'deny', position: 25 },
    ]);
  });

  it('closes the provider within 100 ms of a match and pays what came [GUARD-5]', async () => {
    const steps: FakeStep[] = [textChunk('See project-123 now'), { hang: true }];
    const index = harness.provider.requests.length;
    harness.provider.answerWith({ steps });
    const client = await harness.connect();
    const response = terminalOf(await client.run({ input: 'Hi' }));
    const endedAt = performance.now();
    const { complete, atMs } = await (await harness.provider.request(index)).closed;
    expect(complete).toBe(false);
    expect(atMs - endedAt).toBeLessThan(allowed(100));
    expect(response.usage?.output_tokens).toBeGreaterThan(0);
  });
});

describe('guardrails that judge a whole answer', () => {
  afterEach(() => harness.close());
  const must = { type: 'contains', params: { patterns: ['yes'] }, message: 'It has to say yes.' };

  it("ends an answer that fails as a whole with the guardrail's message after the released text [GUARD-6]", async () => {
    await start(must);
    harness.says('Oh ', 'no');
    const client = await harness.connect();
    const response = terminalOf(await client.run({ input: 'Hi' }));
    expect(response).toMatchObject({ status: 'incomplete', output_text: 'Oh no' });
    expect(response.output).toMatchObject([{ content: [{}, { refusal: 'It has to say yes.' }] }]);
  });

  it('releases a buffered answer as a whole or not at all [GUARD-6]', async () => {
    await start({ ...must, buffer: true });
    const client = await harness.connect();
    harness.says('Oh ', 'no');
    const denied = await client.run({ input: 'Hi' });
    expect(terminalOf(denied)).toMatchObject({ status: 'incomplete', output_text: '' });
    expect(JSON.stringify(denied)).not.toContain('Oh');
    harness.says('Oh ', 'yes');
    expect(terminalOf(await client.run({ input: 'Hi' }))).toMatchObject({ status: 'completed', output_text: 'Oh yes' });
  });
});

describe('personal data', () => {
  beforeAll(() => start({ type: 'pii' }));
  afterEach(() => harness.hangUp());
  afterAll(() => harness.close());

  it('masks personal data of the input for the provider, and restores it for the reader [GUARD-7]', async () => {
    const conversation = await harness.conversation();
    const client = await harness.connect();
    const index = harness.provider.requests.length;
    harness.says('I wrote to [EM', 'AIL_1] and [EMAIL_2], not [EMAIL_3].');
    const input = 'Write to ann@example.com, cc bob@example.com (ann@example.com first).';
    const response = terminalOf(await client.run({ input, conversation }));
    expect(promptOf(await harness.provider.request(index))).toEqual([
      'user: Write to [EMAIL_1], cc [EMAIL_2] ([EMAIL_1] first).',
    ]);
    expect(response.output_text).toBe('I wrote to ann@example.com and bob@example.com, not [EMAIL_3].');
    expect(response.sluice.findings).toEqual([
      { guardrail: 'pii', stage: 'input', decision: 'redact', reason: 'email', position: 9 },
    ]);

    harness.says('Done');
    await client.run({ input: 'Thanks', conversation });
    expect(JSON.stringify(harness.provider.requests.at(-1)?.body)).not.toContain('example.com');
    const items = await harness.api(`/v1/conversations/${conversation}/items`);
    expect(JSON.stringify(items.body)).toContain('ann@example.com');
  });

  it('replaces personal data that the model writes before release, in text and arguments [GUARD-7]', async () => {
    const client = await harness.connect();
    harness.says('Call +49 30 12', '34567 or eve@exa', 'mple.com now');
    const frames = await client.run({ input: 'Hi' });
    expect(terminalOf(frames)).toMatchObject({ output_text: 'Call [phone] or [email] now', status: 'completed' });
    expect(JSON.stringify(frames)).not.toMatch(/1234567|eve@/u);
    expect(deltas(frames)).toBe('Call [phone] or [email] now');

    const written = { name: 'f', arguments: '{"to":"eve@example.com","cc":"[EMAIL_1]"}' };
    harness.provider.answerWith({
      steps: [
        deltaChunk({ tool_calls: [{ index: 0, id: 'c1', type: 'function', function: written }] }),
        finishChunk('tool_calls'),
        DONE,
      ],
    });
    const tools = [{ type: 'function', name: 'f', parameters: { type: 'object' } }];
    const called = terminalOf(await client.run({ input: 'I am ann@example.com', tools }));
    expect(called.output).toMatchObject([{ arguments: '{"to":"[email]","cc":"ann@example.com"}' }]);
  });
});

describe('guardrails that request a verdict', () => {
  afterEach(() => harness.close());

  it('holds a window until its verdict arrives, while it reads the stream after it [GUARD-8]', async () => {
    await start({ type: 'moderation', direction: 'output' });
    const { promise, resolve } = Promise.withResolvers<void>();
    const judged: string[] = [];
    const steps: FakeStep[] = [{ until: promise }, { raw: JSON.stringify(scoresBody(0.1)) }];
    answers(textAnswer([FINE, BAD, 'The end']), (request) => {
      judged.push(textIn(request));
      return judged.length === 1 ? { steps } : scores(0.1);
    });
    const client = await harness.connect();
    client.send({ type: 'response.create', input: 'Hi' });
    await client.until('response.in_progress');
    // The last window is judged although the first has no verdict yet: the stream was read to its
    // end.
    for (let index = 0; judged.at(-1) !== 'The end'; index += 1) await harness.provider.request(index + 1);
    expect(client.frames.some(({ type }) => type === 'response.output_text.delta')).toBe(false);
    resolve();
    const response = terminalOf([await client.until('response.completed')]);
    expect(judged).toEqual([FINE, BAD, 'The end']);
    expect(response).toMatchObject({ output_text: `${FINE}${BAD}The end`, sluice: { findings: [] } });
  });

  it('ends the answer before a window that a verdict denies [GUARD-8]', async () => {
    await start({ type: 'moderation', direction: 'output', params: { threshold: 0.7 } });
    answers(textAnswer([FINE + BAD, 'More']), (request) => scores(textIn(request) === BAD ? 0.9 : 0.6));
    const client = await harness.connect();
    const frames = await client.run({ input: 'Hi' });
    expect(JSON.stringify(frames)).not.toContain('terrible');
    expect(terminalOf(frames)).toMatchObject({
      status: 'incomplete',
      output_text: FINE,
      sluice: { findings: [{ guardrail: 'moderation', decision: 'deny', reason: 'hate', position: FINE.length }] },
    });
  });

  it.each([
    ['denies', undefined, { status: 'incomplete', output_text: '' }, 'deny'],
    ['allows', 'allow', { status: 'completed', output_text: 'Hello' }, 'note'],
  ])('%s text without a verdict, as on_error says [GUARD-8]', async (_, on_error, expected, decision) => {
    await start({ type: 'moderation', direction: 'output', ...(on_error === undefined ? {} : { on_error }) });
    answers(textAnswer(['Hello']), () => ({ status: 500 }));
    const client = await harness.connect();
    const response = terminalOf(await client.run({ input: 'Hi' }));
    expect(response).toMatchObject(expected);
    expect(response.sluice.findings).toMatchObject([{ guardrail: 'moderation', decision, reason: 'unavailable' }]);
  });

  it('refuses an input by the verdict of a model, before the turn begins [GUARD-8]', async () => {
    await start({ type: 'topic', params: { allowed: ['orders'] } });
    const asked: string[] = [];
    answers(textAnswer(['Hello']), (request) => {
      asked.push(promptOf(request)[1] ?? '');
      return textAnswer([asked.at(-1)?.includes('order') === true ? 'YES' : 'NO']);
    });
    const client = await harness.connect();
    const refused = await client.run({ input: 'Tell me about whales' });
    expect(terminalOf(refused)).toMatchObject({
      status: 'completed',
      output_text: '',
      sluice: { kept: 'display_only' },
    });
    expect(terminalOf(refused).sluice.findings).toMatchObject([{ guardrail: 'topic', reason: 'off_topic' }]);
    expect(terminalOf(await client.run({ input: 'Where is my order?' })).output_text).toBe('Hello');
    expect(asked).toEqual(['user: Tell me about whales', 'user: Where is my order?']);
  });

  it('stops guardrails that wait for a verdict when the turn is cancelled [GUARD-8]', async () => {
    await start({ type: 'moderation', direction: 'output' });
    answers({ steps: [textChunk(FINE + BAD), usageChunk(), { hang: true }] }, () => ({ steps: [{ hang: true }] }));
    const client = await harness.connect();
    client.send({ type: 'response.create', input: 'Hi' });
    const created = await client.until('response.created');
    await harness.provider.request(1);
    const id = terminalOf([created]).id;
    expect((await harness.api(`/v1/responses/${id}/cancel`, { method: 'POST' })).status).toBe(200);
    expect(terminalOf([await client.until('response.incomplete')])).toMatchObject({
      status: 'cancelled',
      output_text: '',
    });
  });
});

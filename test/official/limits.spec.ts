/* Limits of a caller, as the official client meets them: headers, refusals, and when to retry. */

import { afterEach, describe, expect, it } from '@jest/globals';
import OpenAI from 'openai';
import { ResponsesWS } from 'openai/resources/responses/ws';
import { FakeOpenAiServer, textAnswer } from '../support/fake-openai-server.js';
import { type TestGateway, startGateway } from '../support/gateway.js';
import { officialClient } from './official.js';

const QUICK = 'demo: deltas=2 interval=0ms';

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
});
async function limited(per_user: object, config: object = {}): Promise<TestGateway> {
  const gateway = await startGateway({ config: { limits: { per_user }, ...config } });
  open.push(gateway);
  return gateway;
}
const limitHeaders = (headers: Headers, kind: string): (string | null)[] =>
  ['limit', 'remaining', 'reset'].map((what) => headers.get(`x-ratelimit-${what}-${kind}`));
const refusalOf = (asked: Promise<unknown>): Promise<InstanceType<typeof OpenAI.RateLimitError>> =>
  asked.then(
    () => Promise.reject(new Error('it was let in')),
    (error: unknown) => {
      if (error instanceof OpenAI.RateLimitError) return error;
      throw error;
    },
  );

describe('the limit of requests a minute', () => {
  it('sends the limit of requests a minute in headers, and the time to wait with its refusal [LIMIT-1, LIMIT-2, LIMIT-3]', async () => {
    const { url, gateway } = await limited({ requests_per_minute: 3 });
    const client = officialClient(url);
    const first = await client.responses.create({ input: QUICK }).withResponse();
    expect(limitHeaders(first.response.headers, 'requests')).toEqual(['3', '2', '20s']);
    expect(limitHeaders(first.response.headers, 'tokens')).toEqual([null, null, null]);
    const stream = await client.chat.completions
      .create({ model: 'demo', messages: [{ role: 'user', content: QUICK }], stream: true })
      .withResponse();
    expect(limitHeaders(stream.response.headers, 'requests').slice(0, 2)).toEqual(['3', '1']);
    for await (const chunk of stream.data) expect(chunk).toBeDefined();
    await client.responses.create({ input: QUICK });

    const refusal = await refusalOf(client.responses.create({ input: QUICK }));
    expect(refusal).toMatchObject({ status: 429, code: 'rate_limit_exceeded', type: 'rate_limit_error' });
    expect(limitHeaders(refusal.headers, 'requests').slice(0, 2)).toEqual(['3', '0']);
    const seconds = Number(refusal.headers.get('retry-after'));
    expect(seconds).toBeGreaterThan(0);
    expect(seconds).toBeLessThanOrEqual(20);
    expect(Number(refusal.headers.get('retry-after-ms'))).toBeLessThanOrEqual(seconds * 1_000);
    const reading = await client.models.list().withResponse();
    expect(limitHeaders(reading.response.headers, 'requests')).toEqual([null, null, null]);
    expect(gateway.parts.turns.count).toBe(0);
  });

  it('applies to sockets too [LIMIT-1]', async () => {
    const { url } = await limited({ requests_per_minute: 1 });
    const client = officialClient(url);
    await client.responses.create({ input: QUICK });
    const socket = new ResponsesWS(client);
    try {
      const error = await new Promise((resolve, reject) => {
        socket.on('error', resolve);
        socket.on('response.created', () => reject(new Error('it was let in')));
        socket.send({ type: 'response.create', input: QUICK });
      });
      expect(error).toMatchObject({ error: { error: { code: 'rate_limit_exceeded' } } });
    } finally {
      socket.close();
    }
  });

  it('counts a repeated request with one key once, and refused requests not at all [LIMIT-6]', async () => {
    const { url } = await limited({ requests_per_minute: 2 });
    const client = officialClient(url);
    const again = { headers: { 'idempotency-key': 'again' } };
    const first = await client.responses.create({ input: QUICK }, again);
    expect((await client.responses.create({ input: QUICK }, again)).id).toBe(first.id);
    await expect(client.responses.create({ input: QUICK, previous_response_id: 'resp_none' })).rejects.toThrow();
    await client.responses.create({ input: QUICK });
    await refusalOf(client.responses.create({ input: QUICK }));
  });
});

describe('the limit of concurrent turns', () => {
  it('refuses turns past the limit, and frees a place before the terminal event is sent [LIMIT-4]', async () => {
    const { url } = await limited({ concurrent_turns: 1 });
    const client = officialClient(url);
    const running = await client.responses.create({ input: 'demo: hang after=1', background: true });
    const refusal = await refusalOf(client.responses.create({ input: QUICK }));
    expect(refusal.headers.get('retry-after')).toBe('1');
    await client.responses.cancel(running.id);
    for (let i = 0; i < 10; i++) await client.responses.create({ input: QUICK });
  });
});

describe('the limit of tokens a minute', () => {
  const usage = (tokens: number) => ({
    prompt_tokens: 0,
    completion_tokens: tokens,
    total_tokens: tokens,
  });
  /** A provider that says it used so many tokens. */
  async function spending(per_user: object, tokens: number): Promise<OpenAI> {
    const fake = await FakeOpenAiServer.start(() => {
      const answer = textAnswer(['Hello']);
      if (!('steps' in answer)) return answer;
      const steps = [...answer.steps].map((step) =>
        'chunk' in step && 'usage' in step.chunk && step.chunk.usage !== null
          ? { chunk: { ...step.chunk, usage: usage(tokens) } }
          : step,
      );
      return { steps };
    });
    open.push(fake);
    const provider = { type: 'openai', model: 'large', base_url: fake.baseUrl };
    return officialClient((await limited(per_user, { provider })).url);
  }

  it('settles the limit of tokens a minute by the used tokens, also above the expected ones [LIMIT-2, LIMIT-3]', async () => {
    const client = await spending({ tokens_per_minute: 4_000 }, 4_000);
    const first = await client.responses.create({ input: 'Hello', max_output_tokens: 50 }).withResponse();
    const [limit, remaining] = limitHeaders(first.response.headers, 'tokens');
    expect(limit).toBe('4000');
    expect(Number(remaining)).toBeGreaterThan(3_900);
    expect(first.data.usage?.total_tokens).toBe(4_000);
    const refusal = await refusalOf(client.responses.create({ input: 'Hello', max_output_tokens: 50 }));
    expect(refusal.message).toContain('4000 tokens a minute');
    expect(Number(limitHeaders(refusal.headers, 'tokens')[1])).toBeLessThan(50);
  });
});

describe('the limit of cost a day', () => {
  it('logs a warning at the start for each model whose price is unknown', async () => {
    const unpriced = (cost_tracking: boolean) =>
      limited(
        { cost_per_day_usd: 1 },
        {
          provider: { type: 'openai', model: 'own', base_url: 'http://127.0.0.1:9/v1' },
          clients: { models: ['own-2'] },
          middleware: { provider: { cost_tracking } },
        },
      );
    const warnings = async (tracked: boolean) =>
      (await unpriced(tracked)).lines.filter((line) => line.includes('no price is known'));
    expect(await warnings(true)).toHaveLength(2);
    expect(await warnings(false)).toEqual([]);
  });
});

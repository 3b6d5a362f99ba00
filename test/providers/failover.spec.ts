/*
 * Sixteen faults of a first provider, with a healthy fallback and default settings. The faults and
 * the scores are re-expressed from the published description of the Failover Bench catalogue: its
 * own files were not at hand, so single faults may differ. `pass`: the fallback's answer begins
 * within the bound; `safe`: the client gets an honest error; `fail`: a wrong answer, or none.
 */

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startGateway, type TestGateway } from '../support/gateway.js';
import { allowed } from '../support/machine.js';
import { type RecordedAnswer, RecordedProvider } from '../support/recorded-provider.js';

/** What a person waits for without going away; the machine's own slowness comes on top. */
const BOUND_MS = 5_000;
const text = (content: string): { readonly data: unknown } => ({
  data: { choices: [{ index: 0, delta: { content }, finish_reason: null }] },
});
const end = { data: { choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] } };
const usage = { data: { choices: [], usage: { prompt_tokens: 3, completion_tokens: 1, total_tokens: 4 } } };
const done = { data: '[DONE]' };
const status = (code: number, headers: Readonly<Record<string, string>> = {}): RecordedAnswer => ({
  status: code,
  headers,
  body: [{ raw: '{"error":{"message":"no","type":"x","code":"y"}}' }],
});

interface Fault {
  readonly name: string;
  /** Where the first provider is; absent: the server that plays `answer`. */
  readonly baseUrl?: string;
  readonly answer?: RecordedAnswer;
  readonly score: 'pass' | 'safe';
}

const FAULTS: readonly Fault[] = [
  { name: 'a refused connection', baseUrl: 'http://127.0.0.1:9/v1', score: 'pass' },
  { name: 'an unknown host', baseUrl: 'http://no-such-host.invalid/v1', score: 'pass' },
  { name: 'a failed TLS handshake', baseUrl: 'tls', score: 'pass' },
  { name: '429 with a wait', answer: status(429, { 'retry-after': '20' }), score: 'pass' },
  { name: '429 without a wait', answer: status(429), score: 'pass' },
  { name: '500', answer: status(500), score: 'pass' },
  { name: '503', answer: status(503), score: 'pass' },
  { name: 'no token after the head', answer: { body: [{ hang: true }] }, score: 'pass' },
  { name: 'a reset before the first token', answer: { body: [{ cut: true }] }, score: 'pass' },
  { name: 'garbage', answer: { body: [{ raw: '\u0000\u0001 no json \u0002\n\ndata: {"cho\n\n' }] }, score: 'pass' },
  { name: 'an empty success', answer: { body: [end, done] }, score: 'pass' },
  {
    name: 'a page of HTML',
    answer: { headers: { 'content-type': 'text/html' }, body: [{ raw: '<html></html>' }] },
    score: 'pass',
  },
  {
    name: 'a used-up quota',
    answer: { status: 429, body: [{ raw: '{"error":{"code":"insufficient_quota"}}' }] },
    score: 'pass',
  },
  { name: 'an error inside the stream', answer: { body: [{ data: { error: { code: 500 } } }, done] }, score: 'pass' },
  { name: 'a reset in the middle', answer: { body: [text('Half'), { cut: true }] }, score: 'safe' },
  { name: 'a truncated stream', answer: { body: [text('Half')] }, score: 'safe' },
];

let provider: RecordedProvider;
beforeAll(async () => {
  provider = await RecordedProvider.start();
});
afterAll(() => provider.close());

describe('failover with default settings', () => {
  for (const { name, baseUrl, answer, score } of FAULTS) {
    it(`${score === 'pass' ? 'answers by the fallback after' : 'reports an honest error after'} ${name}`, async () => {
      provider.play(name, {
        title: name,
        seen: '',
        answers: answer === undefined ? [] : [answer],
        fallback: [{ body: [text('Hello'), end, done] }],
        expect: { outcome: 'completed' },
      });
      const address = baseUrl === 'tls' ? provider.baseUrl.replace('http:', 'https:') : (baseUrl ?? provider.baseUrl);
      const gateway = await startGateway({
        config: {
          provider: { type: 'openai', model: 'recorded', base_url: address },
          fallbacks: [{ type: 'openai', model: 'recorded', base_url: provider.fallbackUrl }],
        },
      });
      const said = await ask(gateway, name).finally(() => gateway.close());
      if (score === 'pass') expect(said).toMatchObject({ status: 'completed', output_text: 'Hello', late: false });
      else expect(said).toMatchObject({ error: { code: 'provider_stream_interrupted' } });
    });
  }

  it('calls no other provider once the model has thought, and reports an honest error [REAS-4]', async () => {
    const thought = { data: { choices: [{ index: 0, delta: { reasoning_content: 'Hm.' }, finish_reason: null }] } };
    provider.play('thought', {
      title: 'thought',
      seen: '',
      answers: [{ body: [thought, { cut: true }] }],
      fallback: [{ body: [text('Hello'), end, done] }],
      expect: { outcome: 'completed' },
    });
    const gateway = await startGateway({
      config: {
        provider: { type: 'openai', model: 'recorded', base_url: provider.baseUrl },
        fallbacks: [{ type: 'openai', model: 'recorded', base_url: provider.fallbackUrl }],
      },
    });
    const said = await ask(gateway, 'thought').finally(() => gateway.close());
    expect(said).toMatchObject({ error: { code: 'provider_stream_interrupted' } });
  });

  it('counts the input of an overtaken call in the cost of the turn', async () => {
    provider.play('overtaken', {
      title: 'overtaken',
      seen: '',
      answers: [{ body: [{ hang: true }] }],
      fallback: [{ body: [text('Hello'), end, usage, done] }],
      expect: { outcome: 'completed' },
    });
    const openai = { type: 'openai', model: 'recorded', prices: { input: 1_000_000, output: 0 } };
    const gateway = await startGateway({
      config: {
        provider: { ...openai, base_url: provider.baseUrl },
        fallbacks: [{ ...openai, base_url: provider.fallbackUrl }],
        middleware: { provider: { failover: { after: '100ms' } } },
      },
    });
    const { sluice } = await ask(gateway, 'overtaken').finally(() => gateway.close());
    // Three dollars are the answer's own input.
    expect(sluice.cost_usd).toBeGreaterThan(3);
  });

  it('passes at least 12 of the 16 faults and fails none', () => {
    expect(FAULTS).toHaveLength(16);
    expect(FAULTS.filter(({ score }) => score === 'pass').length).toBeGreaterThanOrEqual(12);
  });
});

interface Said {
  readonly status: string;
  readonly output_text: string;
  readonly sluice: { readonly cost_usd: number | null };
  readonly late: boolean;
}

async function ask({ url }: TestGateway, input: string): Promise<Said> {
  const since = performance.now();
  const answer = await fetch(`${url}/v1/responses`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ input }),
  });
  // The cast: a response object.
  const body = (await answer.json()) as Omit<Said, 'late'>;
  return { ...body, late: performance.now() - since > allowed(BOUND_MS) };
}

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { composeProvider, type ProviderHooks, type ProviderLayers } from '../../../src/provider/compose-provider.js';
import { OpenAiProvider } from '../../../src/provider/openai/openai-provider.js';
import { type Provider } from '../../../src/provider/provider.js';
import { FakeOpenAiServer, textAnswer, textChunk } from '../../support/fake-openai-server.js';
import { collect, finishOf, providerRequest, textOf } from '../../support/provider-request.js';
import { fail, HANG, say, ScriptedProvider } from '../../support/scripted-provider.js';
import { allowed } from '../../support/machine.js';

const never = new AbortController().signal;
const request = providerRequest('Hi');

function recorder() {
  const reported: string[] = [];
  const hooks: ProviderHooks = {
    onRetry: (provider, { attempt, code }) => reported.push(`${provider} retry ${attempt} ${code}`),
    onBreakerChange: (provider, state) => reported.push(`${provider} ${state}`),
    onError: (provider, code) => reported.push(`${provider} error ${code}`),
    onFailover: ({ from, to, code }) => reported.push(`${from} to ${to} ${code}`),
  };
  return { reported, hooks };
}

function layers(name: string, provider: Provider, more: Partial<ProviderLayers> = {}): ProviderLayers {
  return {
    name,
    provider,
    firstDeltaTimeoutMs: 1000,
    idleTimeoutMs: 1000,
    callTimeoutMs: 5000,
    retry: { maxAttempts: 2, backoff: 'constant', initialDelayMs: 1 },
    breaker: { failures: 2, openForMs: 60_000 },
    ...more,
  };
}

const composed = (...args: Parameters<typeof composeProvider>) => composeProvider(...args).provider;

describe('composeProvider', () => {
  it('calls the next provider at once, with the model of the fallback, and reports each step', async () => {
    const { reported, hooks } = recorder();
    const main = new ScriptedProvider([[fail('server_error')]]);
    const spare = new ScriptedProvider([[say('from the spare')]], 'spare');
    const provider = composed([layers('main', main), layers('spare', spare, { model: 'other' })], hooks);
    const { parts } = await collect(provider.stream(request, never));
    expect(parts[0]).toEqual({ type: 'start', provider: 'spare', model: 'other', fallback: true });
    expect(textOf(parts)).toBe('from the spare');
    expect(reported).toEqual(['main error server_error', 'main to spare server_error']);
    await collect(provider.stream(request, never));
    expect(reported).toContain('main open');
    await collect(provider.stream(request, never));
    expect(main.requests).toHaveLength(2);
    expect(reported.at(-1)).toBe('main to spare provider_unavailable');
  });

  it('does not fail over after the first delta, or after a cancel', async () => {
    const spare = new ScriptedProvider([[say('b')]]);
    const broken = new ScriptedProvider([[say('a'), fail('server_error')]]);
    const { parts, error } = await collect(composed([layers('a', broken), layers('b', spare)]).stream(request, never));
    expect(textOf(parts)).toBe('a');
    expect(error).toMatchObject({ code: 'server_error' });

    const { reported, hooks } = recorder();
    const abort = new AbortController();
    const reason = new Error('enough');
    setTimeout(() => abort.abort(reason), 10);
    const hung = composed([layers('a', new ScriptedProvider([[HANG]])), layers('b', spare)], hooks);
    expect((await collect(hung.stream(request, abort.signal))).error).toBe(reason);
    expect(reported).toEqual([]);
    expect(spare.requests).toHaveLength(0);
  });

  it('throws a retryable failure rather than a permanent one when all providers fail', async () => {
    const busy = new ScriptedProvider([[fail('rate_limit_exceeded', 60_000)]]);
    const wrong = new ScriptedProvider([[fail('provider_refused')]]);
    const { error } = await collect(composed([layers('a', busy), layers('b', wrong)]).stream(request, never));
    expect(error).toMatchObject({ code: 'rate_limit_exceeded', retryAfterMs: 60_000 });
  });

  it('bounds all attempts together by the time of the whole call', async () => {
    const main = new ScriptedProvider([[fail('server_error')]]);
    const slow = layers('main', main, {
      callTimeoutMs: 300,
      retry: { maxAttempts: 100, backoff: 'constant', initialDelayMs: 20 },
    });
    const { error } = await collect(composed([slow]).stream(request, never));
    expect(['server_error', 'provider_timeout']).toContain((error as { code?: string }).code);
    expect(main.requests.length).toBeLessThan(30);
    expect(main.requests.length).toBeGreaterThan(1);
  });

  it('takes from the bucket for every attempt, waits for it, and does not count that as a provider failure', async () => {
    const { reported, hooks } = recorder();
    const answers = [
      { allowed: true, retryAfterMs: 0 },
      { allowed: false, retryAfterMs: 15 },
      { allowed: true, retryAfterMs: 0 },
    ];
    const taken: number[] = [];
    const budget = {
      take: (cost: number) =>
        Promise.resolve(answers[taken.push(cost) - 1] ?? { allowed: false, retryAfterMs: 60_000 }),
    };
    const main = new ScriptedProvider([[fail('server_error')], [say('a')]]);
    const retry = { maxAttempts: 3, backoff: 'constant', initialDelayMs: 1 } as const;
    const provider = composed([layers('main', main, { budget, retry })], hooks);
    expect(finishOf((await collect(provider.stream(request, never))).parts)).toBe('stop');
    expect(taken).toEqual([1, 1, 1]);
    expect(reported).toEqual([
      'main error server_error',
      'main retry 1 server_error',
      'main retry 2 rate_limit_exceeded',
    ]);
    for (let i = 0; i < 4; i++) {
      const { error } = await collect(provider.stream(request, never));
      expect(error).toMatchObject({ code: 'rate_limit_exceeded', retryAfterMs: 60_000 });
    }
    expect(reported).not.toContain('main open');
  });

  it('adds no layer without settings', async () => {
    const plain = await collect(new ScriptedProvider([[say('a')]]).stream(request, never));
    const bare = composed([{ name: 'x', provider: new ScriptedProvider([[say('a')]]) }]);
    expect(await collect(bare.stream(request, never))).toEqual(plain);
  });
});

describe('composeProvider over a real server', () => {
  let server: FakeOpenAiServer;
  let openai: OpenAiProvider;
  beforeEach(async () => {
    server = await FakeOpenAiServer.start();
    openai = new OpenAiProvider({ baseUrl: server.baseUrl });
  });
  afterEach(async () => {
    await openai.close();
    await server.close();
  });

  it('survives a busy and a cut answer', async () => {
    server.answerWith((_request, index) => {
      if (index === 0) return { status: 429, headers: { 'retry-after-ms': '10' } };
      return index === 1 ? { steps: [{ cut: true }] } : textAnswer(['Hello']);
    });
    const retry = { maxAttempts: 3, backoff: 'exponential', initialDelayMs: 1 } as const;
    const { parts } = await collect(composed([layers('openai', openai, { retry })]).stream(request, never));
    expect(textOf(parts)).toBe('Hello');
    expect(server.requests).toHaveLength(3);
  });

  it('closes the socket within 250 ms of a cancel, through all layers', async () => {
    server.answerWith({ steps: [textChunk('a'), { hang: true }] });
    const abort = new AbortController();
    let abortedAt = 0;
    const stream = composed([layers('openai', openai)]).stream(request, abort.signal);
    const { error } = await collect(stream, (part) => {
      if (part.type !== 'text') return;
      abortedAt = performance.now();
      abort.abort(new Error('enough'));
    });
    expect(error).toEqual(new Error('enough'));
    const closed = await server.requests[0]?.closed;
    expect((closed?.atMs ?? Infinity) - abortedAt).toBeLessThan(allowed(250));
  });

  it('closes the socket when the reader stops, through all layers', async () => {
    server.answerWith({ steps: [textChunk('a'), { hang: true }] });
    const stream = composed([layers('openai', openai)]).stream(request, never);
    for await (const part of stream) if (part.type === 'text') break;
    expect((await server.requests[0]?.closed)?.complete).toBe(false);
  });
});

import { describe, expect, it } from '@jest/globals';
import { type RetryEvent, type RetryOptions, RetryingProvider } from '../../../../src/provider/resilience/retry.js';
import { collect, finishOf, providerRequest, textOf } from '../../../support/provider-request.js';
import { fail, say, ScriptedProvider } from '../../../support/scripted-provider.js';
import { allowed } from '../../../support/machine.js';

const never = new AbortController().signal;
const request = providerRequest('Hi');

async function attempt(inner: ScriptedProvider, options: Partial<RetryOptions> = {}, signal = never) {
  const retries: RetryEvent[] = [];
  const provider = new RetryingProvider(
    inner,
    { maxAttempts: 3, backoff: 'constant', initialDelayMs: 1, ...options },
    (event) => retries.push(event),
  );
  const startedAt = performance.now();
  const collected = await collect(provider.stream(request, signal));
  return { ...collected, retries, tookMs: performance.now() - startedAt };
}

describe('RetryingProvider', () => {
  it('retries until an answer begins, and yields one start', async () => {
    const inner = new ScriptedProvider([[fail('provider_unavailable')], [fail('server_error')], [say('a'), say('b')]]);
    const { parts, error, retries } = await attempt(inner);
    expect(error).toBeUndefined();
    expect(parts.map((part) => part.type)).toEqual(['start', 'text', 'text', 'usage', 'finish']);
    expect(retries).toEqual([
      { attempt: 1, delayMs: 1, code: 'provider_unavailable' },
      { attempt: 2, delayMs: 1, code: 'server_error' },
    ]);
  });

  it('counts the first attempt, and throws the last failure', async () => {
    const inner = new ScriptedProvider([
      [fail('server_error')],
      [fail('server_error')],
      [fail('provider_timeout')],
      [say('a')],
    ]);
    expect((await attempt(inner)).error).toMatchObject({ code: 'provider_timeout' });
    expect(inner.requests).toHaveLength(3);
    const once = new ScriptedProvider([[fail('server_error')], [say('a')]]);
    expect((await attempt(once, { maxAttempts: 1 })).error).toMatchObject({ code: 'server_error' });
    expect(once.requests).toHaveLength(1);
  });

  it('never retries after the first delta', async () => {
    const inner = new ScriptedProvider([[say('a'), fail('provider_stream_interrupted')], [say('b')]]);
    const { parts, error } = await attempt(inner);
    expect(error).toMatchObject({ code: 'provider_stream_interrupted' });
    expect(textOf(parts)).toBe('a');
    expect(inner.requests).toHaveLength(1);
  });

  it('does not retry a permanent failure', async () => {
    const inner = new ScriptedProvider([[fail('provider_refused')], [say('b')]]);
    expect((await attempt(inner)).error).toMatchObject({ code: 'provider_refused' });
    expect(inner.requests).toHaveLength(1);
  });

  it('waits for the time that the provider requested', async () => {
    const inner = new ScriptedProvider([[fail('rate_limit_exceeded', 60)], [say('b')]]);
    const { parts, tookMs, retries } = await attempt(inner);
    expect(finishOf(parts)).toBe('stop');
    expect(retries).toEqual([{ attempt: 1, delayMs: 60, code: 'rate_limit_exceeded' }]);
    expect(tookMs).toBeGreaterThanOrEqual(59);
  });

  it('does not begin a wait that exceeds the budget', async () => {
    const inner = new ScriptedProvider([[fail('rate_limit_exceeded', 5000)], [say('b')]]);
    const { error, tookMs } = await attempt(inner, { budgetMs: 1000 });
    expect(error).toMatchObject({ code: 'rate_limit_exceeded', retryAfterMs: 5000 });
    expect(tookMs).toBeLessThan(allowed(500));
    expect(inner.requests).toHaveLength(1);
  });

  it('waits longer each time when exponential, with jitter, up to a bound', async () => {
    const inner = new ScriptedProvider([[fail('server_error')]]);
    const { retries } = await attempt(inner, {
      maxAttempts: 7,
      backoff: 'exponential',
      initialDelayMs: 4,
      maxDelayMs: 20,
    });
    const delays = retries.map((event) => event.delayMs);
    expect(delays).toHaveLength(6);
    expect(Math.max(...delays)).toBeLessThanOrEqual(20);
    expect(new Set(delays).size).toBeGreaterThan(1);
  });

  it('ends the wait before a retry when the signal aborts, and does not call again', async () => {
    const abort = new AbortController();
    const reason = new Error('enough');
    const inner = new ScriptedProvider([[fail('server_error')], [say('b')]]);
    setTimeout(() => abort.abort(reason), 20);
    const { error, tookMs } = await attempt(inner, { initialDelayMs: 3000 }, abort.signal);
    expect(error).toBe(reason);
    expect(tookMs).toBeLessThan(allowed(1000));
    expect(inner.requests).toHaveLength(1);
  });
});

import { describe, expect, it } from '@jest/globals';
import { SluiceError } from '../../../src/domain/errors.js';
import { type Time } from '../../../src/domain/time.js';
import { type FailoverEvent, FailoverProvider, HedgeBudget } from '../../../src/provider/failover.js';
import { Provider, type ProviderPart, type ProviderRequest } from '../../../src/provider/provider.js';
import { collect, providerRequest, textOf } from '../../support/provider-request.js';
import { fail, HANG, say, ScriptedProvider } from '../../support/scripted-provider.js';

const never = new AbortController().signal;
const request = providerRequest('Hi');

/** Timers that a test fires by hand. */
class HandTime implements Time {
  readonly #timers = new Set<() => void>();
  now = (): number => 0;
  date = (): number => 0;
  random = (): number => 0;
  unique = (): string => 'x';
  soon = (work: () => void): void => void setImmediate(work);
  after(_ms: number, work: () => void): () => void {
    this.#timers.add(work);
    return () => this.#timers.delete(work);
  }
  fire(): void {
    for (const work of [...this.#timers]) {
      this.#timers.delete(work);
      work();
    }
  }
  get armed(): number {
    return this.#timers.size;
  }
}

/** Reports that it was called, and keeps its signal. */
class Watched extends Provider {
  readonly asked = Promise.withResolvers<AbortSignal>();
  constructor(readonly inner: Provider) {
    super();
  }
  override stream(asked: ProviderRequest, signal: AbortSignal): AsyncIterable<ProviderPart> {
    this.asked.resolve(signal);
    return this.inner.stream(asked, signal);
  }
}

function race(first: Provider, second: Provider, hedges = new HedgeBudget(0.1)) {
  const time = new HandTime();
  const events: FailoverEvent[] = [];
  const provider = new FailoverProvider(
    [
      { name: 'a', provider: first },
      { name: 'b', provider: second, model: 'other' },
    ],
    {
      hedgeAfterMs: 3_000,
      hedges,
      onFailover: (event) => events.push(event),
      movesOn: ({ code }) => code !== 'content_policy_violation',
      time,
    },
  );
  return { provider, time, events };
}

describe('FailoverProvider', () => {
  it('calls the next provider beside a silent one, takes the first to deliver, and aborts the loser', async () => {
    const silent = new Watched(new ScriptedProvider([[HANG]]));
    const { provider, time, events } = race(silent, new ScriptedProvider([[say('b')]]));
    const answer = collect(provider.stream(request, never));
    const signal = await silent.asked.promise;
    time.fire();
    const { parts } = await answer;
    expect(textOf(parts)).toBe('b');
    expect(parts[0]).toMatchObject({ type: 'start', lost: [{ provider: 'a', model: request.model }] });
    expect(signal.reason).toMatchObject({ silent: true });
    expect(events).toEqual([{ from: 'a', to: 'b', code: null }]);
    expect(time.armed).toBe(0);
  });

  it('keeps the first provider when it delivers before the one called beside it', async () => {
    const gate = Promise.withResolvers<void>();
    const slow = new (class extends Provider {
      override async *stream(): AsyncGenerator<ProviderPart> {
        await gate.promise;
        yield { type: 'text', text: 'a' };
        yield { type: 'finish', reason: 'stop' };
      }
    })();
    const beside = new Watched(new ScriptedProvider([[HANG]]));
    const { provider, time } = race(slow, beside);
    const answer = collect(provider.stream(request, never));
    await new Promise(setImmediate);
    time.fire();
    const signal = await beside.asked.promise;
    gate.resolve();
    expect(textOf((await answer).parts)).toBe('a');
    expect(signal.reason).toMatchObject({ silent: false });
  });

  it('calls no other provider beside a silent one when the budget of hedges is used up', async () => {
    const silent = new Watched(new ScriptedProvider([[HANG]]));
    const second = new ScriptedProvider([[say('b')]]);
    const { provider, time } = race(silent, second, new HedgeBudget(0));
    const abort = new AbortController();
    const answer = collect(provider.stream(request, abort.signal));
    await silent.asked.promise;
    time.fire();
    const reason = new Error('enough');
    abort.abort(reason);
    expect((await answer).error).toBe(reason);
    expect(second.requests).toHaveLength(0);
  });

  it('waits for the other provider when one of two fails', async () => {
    const silent = new Watched(new ScriptedProvider([[HANG]]));
    const { provider, time } = race(silent, new ScriptedProvider([[fail('server_error')]]));
    const abort = new AbortController();
    const answer = collect(provider.stream(request, abort.signal));
    await silent.asked.promise;
    time.fire();
    await new Promise(setImmediate);
    abort.abort(new SluiceError('provider_timeout', 'unable to x; y; z'));
    expect((await answer).error).toMatchObject({ code: 'provider_timeout' });
  });

  it('does not call the next provider after a failure that must not move on', async () => {
    const second = new ScriptedProvider([[say('b')]]);
    const { provider } = race(new ScriptedProvider([[fail('content_policy_violation')]]), second);
    expect((await collect(provider.stream(request, never))).error).toMatchObject({ code: 'content_policy_violation' });
    expect(second.requests).toHaveLength(0);
  });
});

describe('HedgeBudget', () => {
  it('allows ten hedges at once and then the ratio of calls', () => {
    const budget = new HedgeBudget(0.5);
    expect(Array.from({ length: 11 }, () => budget.take()).filter(Boolean)).toHaveLength(10);
    budget.called();
    expect(budget.take()).toBe(false);
    budget.called();
    expect(budget.take()).toBe(true);
  });
});

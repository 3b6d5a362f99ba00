import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { SluiceError } from '../../../../src/domain/errors.js';
import { BreakerProvider, type BreakerState } from '../../../../src/provider/resilience/breaker.js';
import { type DemoStep } from '../../../../src/provider/demo/demo-script.js';
import { collect, finishOf, providerRequest } from '../../../support/provider-request.js';
import { Overtaken, Provider, type ProviderPart } from '../../../../src/provider/provider.js';
import { HandTime } from '../../../support/hand-time.js';
import { fail, HANG, say, ScriptedProvider } from '../../../support/scripted-provider.js';

const never = new AbortController().signal;
const request = providerRequest('Hi');
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

function breaker(answers: DemoStep[][], failures = 2, openForMs = 60_000) {
  const inner = new ScriptedProvider(answers);
  const states: BreakerState[] = [];
  const provider = new BreakerProvider(inner, { failures, openForMs }, (state) => states.push(state));
  const ask = async (signal = never) => {
    const collected = await collect(provider.stream(request, signal));
    // The breaker learns of the end in the same turn of the event loop as the reader, a few
    // microtasks later.
    await new Promise((resolve) => setImmediate(resolve));
    return collected;
  };
  return { inner, states, provider, ask };
}

describe('BreakerProvider', () => {
  it('opens after the configured number of failures in a row, then refuses at once with the time to wait', async () => {
    const { inner, states, ask, provider } = breaker([
      [fail('server_error')],
      [say('a')],
      [fail('server_error')],
      [fail('provider_timeout')],
    ]);
    await ask();
    expect(finishOf((await ask()).parts)).toBe('stop');
    await ask();
    expect(provider.state).toBe('closed');
    expect((await ask()).error).toMatchObject({ code: 'provider_timeout' });
    expect(states).toEqual(['open']);
    const { error } = await ask();
    expect(error).toMatchObject({ code: 'provider_unavailable', retryable: true });
    const retryAfterMs = (error as SluiceError).retryAfterMs ?? 0;
    expect(retryAfterMs).toBeGreaterThan(30_000);
    expect(retryAfterMs).toBeLessThanOrEqual(60_000);
    expect(inner.requests).toHaveLength(4);
  });

  it('counts an answer that breaks off after its first delta', async () => {
    const { ask, provider } = breaker([[say('a'), fail('provider_stream_interrupted')]]);
    await ask();
    await ask();
    expect(provider.state).toBe('open');
  });

  it.each<DemoStep['type'] | string>(['provider_refused', 'rate_limit_exceeded'])('does not count %s', async (code) => {
    // The table names error codes.
    const { ask, provider } = breaker([[fail(code as 'provider_refused')]]);
    for (let i = 0; i < 5; i++) expect((await ask()).error).toMatchObject({ code });
    expect(provider.state).toBe('closed');
  });

  it('ignores cancels, and counts an abort by the call timeout', async () => {
    const { ask, provider } = breaker([[HANG]]);
    for (let i = 0; i < 5; i++) {
      const reason = new SluiceError('server_error', 'cancelled');
      expect((await ask(AbortSignal.abort(reason))).error).toBe(reason);
    }
    expect(provider.state).toBe('closed');
    for (let i = 0; i < 2; i++) {
      const abort = new AbortController();
      setTimeout(() => abort.abort(new SluiceError('provider_timeout', 'too long')), 5);
      expect((await ask(abort.signal)).error).toMatchObject({ code: 'provider_timeout' });
    }
    expect(provider.state).toBe('open');
  });

  it('lets one trial call through the open breaker after its time, and closes it at the first delta', async () => {
    const { states, ask, provider, inner } = breaker(
      [[fail('server_error')], [fail('server_error')], [say('a'), HANG], [say('b')]],
      2,
      30,
    );
    await ask();
    await ask();
    await pause(40);
    const abort = new AbortController();
    const trial = await collect(provider.stream(request, abort.signal), (part) => {
      if (part.type !== 'text') return;
      setImmediate(() => abort.abort(new Error('seen enough')));
    });
    expect(trial.error).toEqual(new Error('seen enough'));
    expect(states).toEqual(['open', 'half_open', 'closed']);
    expect(finishOf((await ask()).parts)).toBe('stop');
    expect(inner.requests).toHaveLength(4);
  });

  it('refuses other calls during a trial, and stays open when the trial was cancelled or failed', async () => {
    const { states, ask, provider, inner } = breaker([[fail('server_error')], [HANG], [fail('provider_error')]], 1, 30);
    await ask();
    await pause(40);
    const abort = new AbortController();
    const trial = ask(abort.signal);
    await pause(1);
    expect(provider.state).toBe('half_open');
    expect((await ask()).error).toMatchObject({ code: 'provider_unavailable' });
    abort.abort(new Error('enough'));
    expect((await trial).error).toEqual(new Error('enough'));
    await pause(1);
    expect(provider.state).toBe('open');
    await pause(40);
    expect((await ask()).error).toMatchObject({ code: 'provider_error' });
    expect(states).toEqual(['open', 'half_open', 'open', 'half_open', 'open']);
    expect(inner.requests).toHaveLength(3);
  });

  it('does not count a reader that leaves as a failure', async () => {
    const { ask, provider } = breaker([[fail('server_error')], [say('a'), HANG], [fail('server_error')]]);
    await ask();
    for await (const part of provider.stream(request, never)) if (part.type === 'text') break;
    await ask();
    expect(provider.state).toBe('closed');
  });

  it.each([
    [true, 'open'],
    [false, 'closed'],
  ] as const)(
    'counts an abort by a faster provider as a failure only if the call was silent (%s): then it is %s',
    async (silent, state) => {
      const { ask, provider } = breaker([[HANG]], 1);
      const abort = new AbortController();
      const asked = ask(abort.signal);
      abort.abort(new Overtaken(silent));
      expect((await asked).error).toBeInstanceOf(Overtaken);
      expect(provider.state).toBe(state);
    },
  );
});

/** Fails once. After that, each call answers when its gate opens. */
class Gated extends Provider {
  readonly gates: PromiseWithResolvers<void>[] = [];
  #failed = false;

  override async *stream(): AsyncGenerator<ProviderPart> {
    if (!this.#failed) {
      this.#failed = true;
      throw new SluiceError('server_error', 'unable to answer; broken; wait');
    }
    const gate = Promise.withResolvers<void>();
    this.gates.push(gate);
    await gate.promise;
    yield { type: 'text', text: 'a' };
    yield { type: 'finish', reason: 'stop' };
  }
}

describe('a silent trial of BreakerProvider', () => {
  const settled = () => new Promise((resolve) => setImmediate(resolve));

  afterEach(() => void jest.restoreAllMocks());

  async function withSilentTrial() {
    const inner = new Gated();
    const time = new HandTime();
    // Cockatiel reads the wall clock.
    jest.spyOn(Date, 'now').mockImplementation(() => time.date());
    const provider = new BreakerProvider(inner, { failures: 1, openForMs: 1_000 }, undefined, time);
    const ask = () => collect(provider.stream(request, never));
    await ask();
    await settled();
    time.pass(1_000);
    const trial = ask();
    await settled();
    expect(provider.state).toBe('half_open');
    expect((await ask()).error).toMatchObject({ code: 'provider_unavailable' });
    time.pass(1_000);
    await settled();
    expect(provider.state).toBe('open');
    return { inner, provider, ask, trial, time };
  }

  it('lets another call try after open_for, whose first delta closes the breaker', async () => {
    const { inner, provider, ask, time } = await withSilentTrial();
    time.pass(1_000);
    const second = ask();
    await settled();
    inner.gates[1]?.resolve();
    expect(finishOf((await second).parts)).toBe('stop');
    expect(provider.state).toBe('closed');
  });

  it('keeps the answer of a silent trial call and closes the breaker when the first delta comes later', async () => {
    const { inner, provider, trial } = await withSilentTrial();
    inner.gates[0]?.resolve();
    expect(finishOf((await trial).parts)).toBe('stop');
    await settled();
    expect(provider.state).toBe('closed');
  });

  it('throws the failure of a silent trial call that fails later, and leaves the breaker open', async () => {
    const { inner, provider, trial } = await withSilentTrial();
    inner.gates[0]?.reject(new SluiceError('provider_timeout', 'unable to answer; too slow; wait'));
    expect((await trial).error).toMatchObject({ code: 'provider_timeout' });
    expect(provider.state).toBe('open');
  });
});

import { describe, expect, it } from '@jest/globals';
import { OpenAiProvider } from '../../../src/provider/openai/openai-provider.js';
import { TimeoutsProvider } from '../../../src/provider/timeouts.js';
import { FakeOpenAiServer, textChunk } from '../../support/fake-openai-server.js';
import { collect, finishOf, providerRequest, textOf } from '../../support/provider-request.js';
import { HANG, say, ScriptedProvider, wait } from '../../support/scripted-provider.js';

const never = new AbortController().signal;
const request = providerRequest('Hi');

describe('TimeoutsProvider', () => {
  it.each([
    ['the first delta', [HANG], { firstDeltaTimeoutMs: 20, idleTimeoutMs: 5000 }, ''],
    ['the first delta', [wait(500), say('late')], { firstDeltaTimeoutMs: 20 }, ''],
    ['the next delta', [wait(60), say('a'), say('b'), HANG], { firstDeltaTimeoutMs: 5000, idleTimeoutMs: 20 }, 'ab'],
    ['the whole call', [say('a'), HANG], { callTimeoutMs: 30 }, 'a'],
    [
      'the whole call',
      [say('a'), ...Array.from({ length: 50 }, () => wait(5)), say('b')],
      { callTimeoutMs: 30, idleTimeoutMs: 5000 },
      'a',
    ],
  ])('ends a call that takes too long for %s', async (what, steps, limits, text) => {
    const { parts, error } = await collect(
      new TimeoutsProvider(new ScriptedProvider([steps]), limits).stream(request, never),
    );
    expect(error).toMatchObject({
      code: 'provider_timeout',
      retryable: true,
      message: expect.stringContaining(`for ${what}`),
    });
    expect(textOf(parts)).toBe(text);
  });

  it('passes a call within its times through unchanged', async () => {
    const limits = { firstDeltaTimeoutMs: 5000, idleTimeoutMs: 5000, callTimeoutMs: 5000 };
    const plain = await collect(new ScriptedProvider([[say('a'), say('b')]]).stream(request, never));
    expect(
      await collect(new TimeoutsProvider(new ScriptedProvider([[say('a'), say('b')]]), limits).stream(request, never)),
    ).toEqual(plain);
  });

  it('does not count the time of the reader as silence of the provider', async () => {
    const provider = new TimeoutsProvider(new ScriptedProvider([[say('a'), say('b')]]), { idleTimeoutMs: 15 });
    let last = '';
    for await (const part of provider.stream(request, never)) {
      last = part.type;
      await new Promise((resolve) => setTimeout(resolve, 40));
    }
    expect(last).toBe('finish');
  });

  it('renews the idle time with every delta', async () => {
    const steps = Array.from({ length: 12 }, () => [wait(10), say('x')]).flat();
    const { parts, error } = await collect(
      new TimeoutsProvider(new ScriptedProvider([steps]), { idleTimeoutMs: 80 }).stream(request, never),
    );
    expect(error).toBeUndefined();
    expect(finishOf(parts)).toBe('stop');
  });

  it('throws the reason of an abort', async () => {
    const provider = new TimeoutsProvider(new ScriptedProvider([[say('a'), HANG]]), { idleTimeoutMs: 5000 });
    const abort = new AbortController();
    const reason = new Error('enough');
    const { error } = await collect(provider.stream(request, abort.signal), (part) => {
      if (part.type === 'text') abort.abort(reason);
    });
    expect(error).toBe(reason);
    expect((await collect(provider.stream(request, AbortSignal.abort(reason)))).error).toBe(reason);
  });

  it('closes the socket of a stalled provider, and of a reader that stops', async () => {
    const server = await FakeOpenAiServer.start({ steps: [textChunk('a'), { hang: true }] });
    const inner = new OpenAiProvider({ baseUrl: server.baseUrl });
    const provider = new TimeoutsProvider(inner, { idleTimeoutMs: 30 });
    expect((await collect(provider.stream(request, never))).error).toMatchObject({ code: 'provider_timeout' });
    expect((await server.requests[0]?.closed)?.complete).toBe(false);
    for await (const part of provider.stream(request, never)) if (part.type === 'text') break;
    expect((await server.requests[1]?.closed)?.complete).toBe(false);
    await inner.close();
    await server.close();
  });
});

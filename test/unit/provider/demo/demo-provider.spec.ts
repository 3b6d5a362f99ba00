import { describe, expect, it } from '@jest/globals';
import { SluiceError } from '../../../../src/domain/errors.js';
import { DemoProvider } from '../../../../src/provider/demo/demo-provider.js';
import { type DemoStep, words } from '../../../../src/provider/demo/demo-script.js';
import { type ProviderRequest } from '../../../../src/provider/provider.js';
import { collect, finishOf, providerRequest, textOf, userMessage } from '../../../support/provider-request.js';

const provider = new DemoProvider({ deltaIntervalMs: 0 });
const never = new AbortController().signal;
const ask = (text: string, overrides: Partial<ProviderRequest> = {}) =>
  collect(provider.stream(providerRequest(text, overrides), never));

describe('DemoProvider', () => {
  it('names itself, reports only the shape of the request, and answers the same every time', async () => {
    const first = await ask('xyzzy secret-4711', { system: 'You are secret-4712.' });
    const text = textOf(first.parts);
    expect(text).toContain('not a language model');
    expect(text).toContain('last message 17 characters long');
    expect(text).toContain('OPENAI_API_KEY');
    expect(text).not.toMatch(/secret-47|xyzzy/u);
    expect(await ask('xyzzy secret-4711', { system: 'You are secret-4712.' })).toEqual(first);
  });

  it('starts with its name, ends with usage and one finish', async () => {
    const { parts } = await ask('demo: deltas=4');
    expect(parts.map((part) => part.type)).toEqual(['start', 'text', 'text', 'text', 'text', 'usage', 'finish']);
    expect(parts[0]).toEqual({ type: 'start', provider: 'demo', model: 'gpt-4o' });
    expect(parts.at(-2)).toEqual({
      type: 'usage',
      estimated: false,
      usage: {
        input_tokens: 2,
        input_tokens_details: { cached_tokens: 0, cache_write_tokens: 0 },
        output_tokens: 4,
        output_tokens_details: { reasoning_tokens: 0 },
        total_tokens: 6,
      },
    });
    expect(finishOf(parts)).toBe('stop');
  });

  it.each([
    ['Hello there', 'Hello!'],
    ['How do I get a refund?', 'order number'],
    ['please count to 5', '1, 2, 3, 4, 5'],
    ['Give me a long answer', 'cursor of its own'],
    ['some markdown please', '| step |'],
    ['demo: help', 'demo: hang'],
    ['demo: dance', 'do not know `dance`'],
    ['demo: error=nonsense', 'do not know `error=nonsense`'],
    ['demo: deltas=many', 'do not know `deltas=many`'],
  ])('answers %j with a friendly text', async (question, part) => {
    expect(textOf((await ask(question)).parts)).toContain(part);
  });

  it('plays directives of several lines among other text', async () => {
    const { parts } = await ask('Now:\n  demo: deltas=5 interval=0ms\ndemo: text=numbers length');
    expect(textOf(parts)).toBe('0 1 2 3 4');
    expect(finishOf(parts)).toBe('length');
    expect(finishOf((await ask('demo: filter')).parts)).toBe('content_filter');
  });

  it('fails with the requested code after the requested number of deltas', async () => {
    const { parts, error } = await ask('demo: error=rate_limit_exceeded after=3 retry_after=2s');
    expect(parts.map((part) => part.type)).toEqual(['start', 'text', 'text', 'text']);
    expect(error).toBeInstanceOf(SluiceError);
    expect(error).toMatchObject({ code: 'rate_limit_exceeded', retryAfterMs: 2000 });
  });

  it('refuses like a model', async () => {
    const { parts } = await ask('demo: refuse');
    expect(parts.filter((part) => part.type === 'refusal').length).toBeGreaterThan(1);
    expect(textOf(parts)).toBe('');
  });

  it('calls functions: scripted, required by the request, or with arguments of a schema', async () => {
    const { parts } = await ask('demo: tool=get_weather args={"city": "Paris", "when": "now"}');
    expect(parts[1]).toEqual({ type: 'function_call', index: 0, callId: 'call_1_1', name: 'get_weather' });
    const json = parts.map((part) => (part.type === 'function_arguments' ? part.delta : '')).join('');
    expect(JSON.parse(json)).toEqual({ city: 'Paris', when: 'now' });
    expect(finishOf(parts)).toBe('tool_calls');

    const tool = {
      type: 'function',
      name: 'order',
      strict: true,
      parameters: {
        type: 'object',
        properties: {
          kind: { enum: ['new', 'old'] },
          n: { type: 'integer' },
          tags: { type: 'array', items: { type: 'string' } },
        },
      },
    } as const;
    const required = await ask('anything', { tools: [tool], toolChoice: { type: 'function', name: 'order' } });
    const args = required.parts.map((part) => (part.type === 'function_arguments' ? part.delta : '')).join('');
    expect(JSON.parse(args)).toEqual({ kind: 'new', n: 1, tags: ['demo'] });
  });

  it('numbers several calls and keeps each call and its arguments together', async () => {
    const { parts } = await ask('demo: tool=a args={"x":1}\ndemo: tool=b');
    const calls = parts.filter((part) => part.type === 'function_call' || part.type === 'function_arguments');
    expect(calls.map((part) => part.index)).toEqual([0, 0, 1, 1]);
  });

  it('acknowledges function outputs by size, whatever the last user message scripts', async () => {
    const { parts } = await ask('', {
      items: [
        userMessage('demo: tool=get_weather'),
        { type: 'function_call', id: 'fc_1', call_id: 'c1', name: 'get_weather', arguments: '{}', status: 'completed' },
        { type: 'function_call_output', id: 'fco_1', call_id: 'c1', output: 'sunny', status: 'completed' },
      ],
    });
    expect(textOf(parts)).toContain('1 function output arrived (5 characters)');
    expect(textOf(parts)).not.toContain('sunny');
  });

  it('answers JSON if the request has a format', async () => {
    const format = {
      type: 'json_schema',
      name: 'x',
      schema: { type: 'object', properties: { ok: { type: 'boolean' } } },
    } as const;
    expect(JSON.parse(textOf((await ask('anything', { textFormat: format })).parts))).toEqual({ ok: true });
  });

  it('stops at maxOutputTokens with finish length', async () => {
    const { parts } = await ask('demo: deltas=100 text=numbers', { maxOutputTokens: 3 });
    expect(textOf(parts)).toBe('0 1 2');
    expect(finishOf(parts)).toBe('length');
    expect(finishOf((await ask('demo: deltas=3', { maxOutputTokens: 3 })).parts)).toBe('stop');
  });

  it('throws the reason of an abort: before, while it waits, and while it hangs', async () => {
    const reason = new Error('enough');
    const early = await collect(provider.stream(providerRequest('hello'), AbortSignal.abort(reason)));
    expect(early).toEqual({ parts: [], error: reason });

    const slow = new AbortController();
    const waiting = await collect(provider.stream(providerRequest('demo: first=600s'), slow.signal), () =>
      slow.abort(reason),
    );
    expect(waiting.error).toBe(reason);

    const hung = new AbortController();
    let deltas = 0;
    const { error } = await collect(provider.stream(providerRequest('demo: hang after=2'), hung.signal), (part) => {
      if (part.type === 'text' && ++deltas === 2) setImmediate(() => hung.abort(reason));
    });
    expect(error).toBe(reason);
    expect(deltas).toBe(2);
  });

  it('streams at its pace', async () => {
    const startedAt = performance.now();
    const { parts } = await ask('demo: deltas=5 interval=20ms');
    expect(parts).toHaveLength(8);
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(95);
  });

  it('plays a given script and passes the request to it', async () => {
    const steps: DemoStep[] = [
      { type: 'text', text: 'a' },
      { type: 'wait', ms: 1 },
      { type: 'text', text: 'b' },
    ];
    const seen: string[] = [];
    const scripted = new DemoProvider({
      name: 'scripted',
      deltaIntervalMs: 0,
      script: (request) => (seen.push(request.model), { steps, finish: 'content_filter' }),
    });
    const { parts } = await collect(scripted.stream(providerRequest('demo: help'), never));
    expect(textOf(parts)).toBe('ab');
    expect(finishOf(parts)).toBe('content_filter');
    expect(seen).toEqual(['gpt-4o']);
  });

  it('cuts text into words that join to the text', () => {
    for (const text of ['', ' ', 'a', ' a  b\n\nc \n', 'x\u00a0y 漢字 z']) expect(words(text).join('')).toBe(text);
  });
});

import { createServer } from 'node:net';
import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { SluiceError } from '../../../../src/domain/errors.js';
import { OpenAiProvider } from '../../../../src/provider/openai/openai-provider.js';
import { type ProviderPart, type ProviderRequest } from '../../../../src/provider/provider.js';
import {
  deltaChunk,
  DONE,
  FakeOpenAiServer,
  type FakeStep,
  finishChunk,
  textAnswer,
  textChunk,
  usageChunk,
} from '../../../support/fake-openai-server.js';
import { collect, finishOf, providerRequest, textOf } from '../../../support/provider-request.js';
import { allowed } from '../../../support/machine.js';

let server: FakeOpenAiServer;
let provider: OpenAiProvider;
const never = new AbortController().signal;

beforeEach(async () => {
  server = await FakeOpenAiServer.start();
  provider = new OpenAiProvider({ baseUrl: server.baseUrl, apiKey: 'sk-secret-key' });
});
afterEach(async () => {
  await provider.close();
  await server.close();
});

const ask = (overrides: Partial<ProviderRequest> = {}) =>
  collect(provider.stream(providerRequest('Hi', overrides), never));
const askSteps = (...steps: FakeStep[]) => {
  server.answerWith({ steps });
  return ask();
};
/** Some servers set a finish reason on every chunk. */
const stopBeside = (content: string): FakeStep => ({
  chunk: { choices: [{ index: 0, delta: { content }, finish_reason: 'stop' }] },
});
/** Keeps this process from reading its sockets. */
function beBusy(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}
const typesOf = (parts: readonly ProviderPart[]) => parts.map((part) => part.type);

describe('OpenAiProvider: the answer', () => {
  it('yields start, text, usage and finish, and nothing for a role-only first chunk', async () => {
    const { parts, error } = await ask();
    expect(error).toBeUndefined();
    expect(textOf(parts)).toBe('Hello world');
    // Texts of one read are one part.
    expect(parts.filter(({ type }) => type !== 'text')).toEqual([
      { type: 'start', provider: 'openai', model: 'gpt-4o' },
      {
        type: 'usage',
        estimated: false,
        usage: {
          input_tokens: 12,
          input_tokens_details: { cached_tokens: 5, cache_write_tokens: 0 },
          output_tokens: 34,
          output_tokens_details: { reasoning_tokens: 7 },
          total_tokens: 46,
        },
      },
      { type: 'finish', reason: 'stop' },
    ]);
    const request = server.requests[0];
    expect(request?.path).toBe('/v1/chat/completions');
    expect(request?.headers.authorization).toBe('Bearer sk-secret-key');
    expect(request?.body).toMatchObject({ stream: true, stream_options: { include_usage: true } });
  });

  it('sends no Authorization header without a key', async () => {
    const open = new OpenAiProvider({ baseUrl: server.baseUrl });
    expect((await collect(open.stream(providerRequest('Hi'), never))).error).toBeUndefined();
    expect(server.requests[0]?.headers.authorization).toBeUndefined();
    await open.close();
  });

  it('reuses connections after complete answers', async () => {
    const ports = new Set<number | undefined>();
    for (let i = 0; i < 10; i++) {
      await ask();
      ports.add(server.requests[i]?.port);
      // The end of the body arrives after the end marker.
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    expect(ports.size).toBeLessThan(10);
  });

  it('runs many streams at the same time', async () => {
    let release: () => void = () => undefined;
    const all = new Promise<void>((resolve) => (release = resolve));
    server.answerWith((_request, index) => {
      if (index === 39) release();
      return { steps: [{ until: all }, textChunk('x'), finishChunk(), DONE] };
    });
    const answers = await Promise.all(Array.from({ length: 40 }, () => ask()));
    expect(answers.map(({ parts }) => textOf(parts))).toEqual(Array.from({ length: 40 }, () => 'x'));
  });

  it.each(['\n', '\r\n'])('reads lines ended by %j, comments and other fields', async (eol) => {
    const data = JSON.stringify(textChunk('hi').chunk);
    const lines = [
      ': a comment',
      '',
      'event: message',
      'id: 7',
      `data:${data}`,
      '',
      ':',
      `data: ${data}`,
      '',
      'data: [DONE]',
      '',
      '',
    ];
    const { parts } = await askSteps({ raw: lines.join(eol) });
    expect(textOf(parts)).toBe('hihi');
    expect(finishOf(parts)).toBe('stop');
  });

  it('joins characters and lines that the network cut at any byte', async () => {
    const bytes = Buffer.from(`data: ${JSON.stringify(textChunk('né 漢字 👩‍👩‍👧').chunk)}\r\n\r\ndata: [DONE]\r\n\r\n`);
    const singles = Array.from(bytes, (_, i): FakeStep => ({ raw: bytes.subarray(i, i + 1) }));
    const { parts } = await askSteps(...singles);
    expect(textOf(parts)).toBe('né 漢字 👩‍👩‍👧');
  });

  it('ignores content null, empty choices, missing choices and other choices', async () => {
    const other = { chunk: { choices: [{ index: 1, delta: { content: 'other' }, finish_reason: 'length' }] } };
    const { parts } = await askSteps(
      deltaChunk({ content: null, tool_calls: null }),
      usageChunk(),
      { chunk: {} },
      other,
      textChunk('a'),
      finishChunk(),
      DONE,
    );
    expect(typesOf(parts)).toEqual(['start', 'text', 'usage', 'finish']);
    expect(textOf(parts)).toBe('a');
  });

  it('forwards refusals of the model', async () => {
    const { parts } = await askSteps(
      deltaChunk({ refusal: 'I can' }),
      deltaChunk({ refusal: ' not' }),
      finishChunk(),
      usageChunk(),
      DONE,
    );
    expect(parts.slice(1, 3)).toEqual([
      { type: 'refusal', text: 'I can' },
      { type: 'refusal', text: ' not' },
    ]);
  });

  it.each([
    ['length', 'length'],
    ['content_filter', 'content_filter'],
    ['function_call', 'tool_calls'],
    ['eos', 'stop'],
  ])('maps finish_reason %s to %s', async (given, expected) => {
    expect(finishOf((await askSteps(textChunk('a'), finishChunk(given), usageChunk(), DONE)).parts)).toBe(expected);
  });

  it('keeps several tool calls apart by index, with arguments in pieces', async () => {
    const call = (fields: object) => deltaChunk({ tool_calls: [fields] });
    const { parts } = await askSteps(
      call({ index: 0, id: 'c_a', type: 'function', function: { name: 'a', arguments: '' } }),
      call({ index: 0, function: { arguments: '{"x"' } }),
      call({ index: 1, id: 'c_b', type: 'function', function: { name: 'b', arguments: '{}' } }),
      call({ index: 0, function: { arguments: ':1}' } }),
      finishChunk('stop'),
      usageChunk(),
      DONE,
    );
    expect(parts.slice(1, -2)).toEqual([
      { type: 'function_call', index: 0, callId: 'c_a', name: 'a' },
      { type: 'function_arguments', index: 0, delta: '{"x"' },
      { type: 'function_call', index: 1, callId: 'c_b', name: 'b' },
      { type: 'function_arguments', index: 1, delta: '{}' },
      { type: 'function_arguments', index: 0, delta: ':1}' },
    ]);
    expect(finishOf(parts)).toBe('tool_calls');
  });

  it('keeps tool calls apart when a server omits the index or sends 0 for all', async () => {
    const fn = (name: string, args: string) => ({ function: { name, arguments: args } });
    for (const index of [undefined, 0]) {
      const { parts } = await askSteps(
        deltaChunk({ tool_calls: [{ index, id: 'c_a', ...fn('a', '{}') }] }),
        deltaChunk({ tool_calls: [{ index, id: 'c_b', ...fn('b', '[') }] }),
        deltaChunk({ tool_calls: [{ index, function: { arguments: ']' } }] }),
        finishChunk('tool_calls'),
        DONE,
      );
      const calls = parts.flatMap((part) =>
        part.type === 'function_call' ? [`${part.index}:${part.callId}:${part.name}`] : [],
      );
      const args = parts.flatMap((part) => (part.type === 'function_arguments' ? [`${part.index}${part.delta}`] : []));
      expect(calls).toEqual(['0:c_a:a', '1:c_b:b']);
      expect(args).toEqual(['0{}', '1[', '1]']);
    }
  });

  it('estimates missing usage and marks it', async () => {
    const { parts } = await askSteps(textChunk('Hello world, this is text.'), finishChunk(), DONE);
    const usage = parts.find((part) => part.type === 'usage');
    expect(usage?.estimated).toBe(true);
    expect(usage?.usage.output_tokens).toBe(7);
    expect(usage?.usage.input_tokens).toBeGreaterThan(1);
  });

  it('accepts a finish reason without an end marker, and an end marker without a finish reason', async () => {
    expect(finishOf((await askSteps(textChunk('a'), finishChunk('length'))).parts)).toBe('length');
    expect(finishOf((await askSteps(textChunk('a'), DONE)).parts)).toBe('stop');
    expect(finishOf((await askSteps(textChunk('a'), finishChunk(), { cut: true })).parts)).toBe('stop');
  });

  it('does not wait for the end of the body once finish and usage have arrived', async () => {
    const { parts } = await askSteps(textChunk('a'), finishChunk(), usageChunk(), { hang: true });
    expect(finishOf(parts)).toBe('stop');
  });

  it('waits for text that follows a stop beside text, however long', async () => {
    const { parts } = await askSteps(stopBeside('One'), { waitMs: 2_300 }, stopBeside(' two'), DONE);
    expect(textOf(parts)).toBe('One two');
    expect(finishOf(parts)).toBe('stop');
  });

  it('reads what has arrived before it ends an answer without its count', async () => {
    const gate = Promise.withResolvers<void>();
    server.answerWith({
      steps: [textChunk('a'), finishChunk(), { until: gate.promise }, usageChunk(), { hang: true }],
    });
    const reading = ask();
    await server.request(0);
    await new Promise((resolve) => setTimeout(resolve, 100));
    // After an immediate, timers run before reads.
    await new Promise((resolve) => setImmediate(resolve));
    gate.resolve();
    // The server writes in these steps. The reader's process is then busy for longer than it waits.
    for (let i = 0; i < 10; i++) await Promise.resolve();
    process.nextTick(() => process.nextTick(beBusy, 2_300));
    const usage = (await reading).parts.find((part) => part.type === 'usage');
    expect(usage?.estimated).toBe(false);
  });

  it('reads a long fast answer completely and in order while the reader is slow', async () => {
    const texts = Array.from({ length: 20_000 }, (_, i) => `${i} `);
    server.answerWith(textAnswer(texts));
    let seen = 0;
    const read: string[] = [];
    for await (const part of provider.stream(providerRequest('Hi'), never)) {
      if (part.type === 'text') read.push(part.text);
      if (++seen % 500 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    expect(read.join('')).toBe(texts.join(''));
  });
});

describe('OpenAiProvider: abort', () => {
  it('throws the reason and closes the provider socket within 250 ms', async () => {
    server.answerWith({ steps: [textChunk('a'), { hang: true }] });
    const abort = new AbortController();
    const reason = new Error('cancelled by the client');
    let abortedAt = 0;
    const { parts, error } = await collect(provider.stream(providerRequest('Hi'), abort.signal), (part) => {
      if (part.type !== 'text') return;
      abortedAt = performance.now();
      abort.abort(reason);
    });
    expect(error).toBe(reason);
    expect(typesOf(parts)).toEqual(['start', 'text']);
    const closed = await server.requests[0]?.closed;
    expect(closed?.complete).toBe(false);
    expect((closed?.atMs ?? Infinity) - abortedAt).toBeLessThan(allowed(250));
  });

  it('throws any abort reason while a pull waits', async () => {
    server.answerWith({ steps: [textChunk('a'), { hang: true }] });
    const abort = new AbortController();
    const { error } = await collect(provider.stream(providerRequest('Hi'), abort.signal), (part) => {
      if (part.type === 'text') setImmediate(() => abort.abort('a word'));
    });
    expect(error).toBe('a word');
    expect((await server.requests[0]?.closed)?.complete).toBe(false);
  });

  it('closes the socket of an unanswered request', async () => {
    const silent = createServer();
    silent.listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const address = silent.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const other = new OpenAiProvider({ baseUrl: `http://127.0.0.1:${port}/v1` });
    const abort = new AbortController();
    const connected = once(silent, 'connection');
    const reading = collect(other.stream(providerRequest('Hi'), abort.signal));
    const [socket] = (await connected) as [NodeJS.Socket];
    const closed = once(socket, 'close');
    await once(socket, 'data');
    const reason = new Error('enough');
    abort.abort(reason);
    expect((await reading).error).toBe(reason);
    await closed;
    await other.close();
    silent.close();
  });

  it('sends no request when the signal was aborted before', async () => {
    const reason = new Error('too late');
    const { parts, error } = await collect(provider.stream(providerRequest('Hi'), AbortSignal.abort(reason)));
    expect({ parts, error }).toEqual({ parts: [], error: reason });
    expect(server.requests).toHaveLength(0);
  });

  it('closes the socket when the reader stops reading', async () => {
    server.answerWith({ steps: [textChunk('a'), { hang: true }] });
    for await (const part of provider.stream(providerRequest('Hi'), never)) if (part.type === 'text') break;
    expect((await server.requests[0]?.closed)?.complete).toBe(false);
  });
});

describe('OpenAiProvider: a broken stream', () => {
  const failure = async (...steps: FakeStep[]) => {
    const { parts, error } = await askSteps(...steps);
    expect(error).toBeInstanceOf(SluiceError);
    // Text before the break is delivered.
    expect(textOf(parts)).toBe('partial');
    expect(typesOf(parts)).not.toContain('finish');
    // Checked above.
    return error as SluiceError;
  };

  it.each<[string, FakeStep[]]>([
    ['ends with neither finish reason nor end marker', []],
    ['is reset', [{ cut: true }]],
    ['ends in the middle of a line', [{ raw: 'data: ' }]],
  ])('fails with provider_stream_interrupted: %s', async (_name, steps) => {
    expect(await failure(textChunk('partial'), ...steps)).toMatchObject({
      code: 'provider_stream_interrupted',
      retryable: true,
    });
  });

  it('fails where text followed a stop, so that the last one shows no end', async () => {
    const error = await failure(stopBeside('part'), { waitMs: 50 }, stopBeside('ial'), { waitMs: 50 }, { cut: true });
    expect(error.code).toBe('provider_stream_interrupted');
  });

  it.each<[object | string, string]>([
    [{ error: { message: 'SECRET', type: 'server_error', code: null } }, 'server_error'],
    [{ error: { message: 'SECRET', type: 'tokens', code: 'rate_limit_exceeded' } }, 'rate_limit_exceeded'],
    [{ error: { message: 'SECRET', type: 'invalid_request_error', code: null } }, 'provider_refused'],
    [{ error: 'SECRET' }, 'provider_error'],
    [{ object: 'error', message: 'SECRET', code: 400 }, 'provider_refused'],
    [{ choices: [{ index: 0, delta: {}, finish_reason: 'error' }] }, 'provider_error'],
  ])('turns the error %j inside into %s, and quotes nothing of it', async (chunk, code) => {
    const error = await failure(
      textChunk('partial'),
      { raw: `data: ${JSON.stringify(chunk)}\n\n` },
      finishChunk(),
      DONE,
    );
    expect(error.code).toBe(code);
    expect(`${error.message} ${String(error.cause)}`).not.toContain('SECRET');
  });

  it.each(['{"choices": [{', 'SECRET', '[]', 'null', '{"choices": 7}'])(
    'fails with provider_error for the data %j',
    async (data) => {
      const error = await failure(textChunk('partial'), { raw: `data: ${data}\n\n` }, finishChunk(), DONE);
      expect(error.code).toBe('provider_error');
      expect(`${error.message} ${String(error.cause)}`).not.toContain('SECRET');
    },
  );

  it('closes the socket after an error inside the stream', async () => {
    await failure(textChunk('partial'), { raw: 'data: nonsense\n\n' }, { hang: true });
    expect((await server.requests[0]?.closed)?.complete).toBe(false);
  });

  it('fails with provider_error if the body is no event stream', async () => {
    server.answerWith({ status: 200, headers: { 'content-type': 'text/html' }, body: '<!doctype html>' });
    expect((await ask()).error).toMatchObject({ code: 'provider_error', retryable: false });
  });
});

describe('OpenAiProvider: a refused request', () => {
  it.each<[number, string, boolean]>([
    [400, 'provider_refused', false],
    [401, 'provider_refused', false],
    [403, 'provider_refused', false],
    [404, 'provider_refused', false],
    [422, 'provider_refused', false],
    [307, 'provider_refused', false],
    [408, 'provider_timeout', true],
    [409, 'provider_error', true],
    [429, 'rate_limit_exceeded', true],
    [500, 'server_error', true],
    [502, 'provider_unavailable', true],
    [503, 'provider_unavailable', true],
    [504, 'provider_timeout', true],
  ])(
    'turns HTTP %i into %s, retryable %s, quotes nothing, and is not retried here',
    async (status, code, retryable) => {
      server.answerWith({
        status,
        body: { error: { message: 'SECRET sk-secret-key', type: 'x y SECRET', code: 'some_code' } },
      });
      const { parts, error } = await ask();
      expect(parts).toEqual([]);
      expect(error).toMatchObject({ code, retryable });
      const { message, cause } = error as SluiceError;
      expect(`${message} ${String(cause)} ${JSON.stringify(cause)}`).not.toMatch(/SECRET|sk-secret/u);
      expect(String(cause)).toContain(`HTTP ${status}`);
      expect(server.requests).toHaveLength(1);
    },
  );

  it("never looks like the client's own 401", async () => {
    server.answerWith({ status: 401 });
    expect((await ask()).error).toMatchObject({ status: 502, type: 'server_error' });
  });

  it.each<[Record<string, string>, number | null]>([
    [{ 'retry-after-ms': '250', 'retry-after': '9' }, 250],
    [{ 'retry-after': '2' }, 2000],
    [{ 'retry-after': 'Thu, 01 Jan 1970 00:00:00 GMT' }, 0],
    [{ 'retry-after': 'soon' }, null],
    [{}, null],
  ])('reads when to retry from %j', async (headers, retryAfterMs) => {
    server.answerWith({ status: 429, headers });
    expect((await ask()).error).toMatchObject({ code: 'rate_limit_exceeded', retryAfterMs });
  });

  it('recognizes errors that waiting does not fix', async () => {
    server.answerWith({ status: 429, body: { error: { code: 'insufficient_quota' } } });
    expect((await ask()).error).toMatchObject({ code: 'rate_limit_exceeded', retryable: false });
    server.answerWith({ status: 503, headers: { 'x-should-retry': 'false' } });
    expect((await ask()).error).toMatchObject({ code: 'provider_unavailable', retryable: false });
    server.answerWith({ status: 400, body: { error: { code: 'context_length_exceeded' } } });
    expect((await ask()).error).toMatchObject({
      code: 'context_length_exceeded',
      message: expect.stringContaining('longer than the model'),
    });
  });

  it('reports a refused connection, an unknown host and a cut before the answer as provider_unavailable', async () => {
    const closed = await FakeOpenAiServer.start();
    const gone = new OpenAiProvider({ baseUrl: closed.baseUrl });
    await closed.close();
    const unknown = new OpenAiProvider({ baseUrl: 'http://no-such-host.invalid/v1' });
    const tls = new OpenAiProvider({ baseUrl: server.baseUrl.replace('http:', 'https:') });
    for (const away of [gone, unknown, tls]) {
      const { error } = await collect(away.stream(providerRequest('Hi'), never));
      expect(error).toMatchObject({ code: 'provider_unavailable', retryable: true });
      expect((error as SluiceError).message).not.toMatch(/127\.0\.0\.1|no-such-host/u);
      await away.close();
    }
  });
});

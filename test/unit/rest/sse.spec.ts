import { afterEach, describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import { createServer, get, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo } from 'node:net';

import { SluiceError } from '../../../src/domain/errors.js';
import { type LoggedEvent } from '../../../src/domain/event.js';
import { OpenAnswers } from '../../../src/rest/open-answers.js';
import { eventBody, type SseEnd, type SseOptions, writeTexts } from '../../../src/rest/sse.js';

const PATIENT: SseOptions = { keepAliveMs: 60_000, stallMs: 60_000, lingerMs: 10 };

const delta = (sequence: number, text = 'x'): LoggedEvent => ({
  sequence,
  type: 'response.output_text.delta',
  json: JSON.stringify({ type: 'response.output_text.delta', sequence_number: sequence, delta: text }),
});
const completed = (sequence: number): LoggedEvent => ({
  sequence,
  type: 'response.completed',
  json: `{"type":"response.completed","sequence_number":${sequence}}`,
});

let server: Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

interface Served {
  readonly url: string;
  /** How the writer's first stream ended. */
  readonly end: Promise<SseEnd>;
  readonly response: Promise<ServerResponse>;
}

async function serve(
  batches: AsyncIterable<readonly LoggedEvent[]> | Iterable<readonly LoggedEvent[]>,
  options: SseOptions = PATIENT,
  reading = new AbortController().signal,
): Promise<Served> {
  const end = Promise.withResolvers<SseEnd>();
  const response = Promise.withResolvers<ServerResponse>();
  server = createServer((_request, raw) => {
    response.resolve(raw);
    async function* iterate(): AsyncGenerator<readonly LoggedEvent[]> {
      yield* batches;
    }
    end.resolve(writeTexts(raw, { 'x-request-id': 'req_1' }, eventBody(iterate(), reading), options));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}/`, end: end.promise, response: response.promise };
}

async function open(url: string): Promise<IncomingMessage> {
  const request = get(url);
  const [message] = (await once(request, 'response')) as [IncomingMessage];
  return message;
}

async function textOf(message: IncomingMessage): Promise<string> {
  message.setEncoding('utf8');
  let text = '';
  for await (const chunk of message) text += String(chunk);
  return text;
}

const read = async (url: string): Promise<string> => textOf(await open(url));

describe('an event stream', () => {
  it('carries the logged bytes with names and numbers, and ends after the terminal event', async () => {
    const { url, end } = await serve([[delta(0, 'é\n"')], [delta(1), completed(2)], [delta(3)]]);
    const message = await open(url);
    expect(message.headers).toMatchObject({
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache, no-transform',
      'x-accel-buffering': 'no',
      'x-request-id': 'req_1',
    });
    expect(await textOf(message)).toBe(
      [delta(0, 'é\n"'), delta(1), completed(2)]
        .map((event) => `event: ${event.type}\nid: ${event.sequence}\ndata: ${event.json}\n\n`)
        .join('') + 'data: [DONE]\n\n',
    );
    await expect(end).resolves.toBe('ended');
  });

  it('reports a missing terminal event, and never ends cleanly without one', async () => {
    const { url, end } = await serve([[delta(0)]]);
    const events = (await read(url)).trimEnd().split('\n\n');
    expect(JSON.parse(events.at(-1)?.replace('event: error\ndata: ', '') ?? '')).toMatchObject({
      type: 'error',
      sequence_number: 1,
      error: { code: 'state_unavailable', type: 'server_error', param: null },
    });
    await expect(end).resolves.toBe('interrupted');
  });

  it('ends at once without events when its reader already had the terminal event', async () => {
    const { url, end } = await serve([]);
    expect(await read(url)).toBe('');
    await expect(end).resolves.toBe('ended');
  });

  it('reports a break in the middle without details that only the log may contain', async () => {
    async function* broken(error: Error): AsyncGenerator<readonly LoggedEvent[]> {
      yield [delta(0)];
      throw error;
    }
    const known = await serve(broken(new SluiceError('response_expired', 'unable to x; y')));
    expect(await read(known.url)).toContain('"code":"response_expired"');
    server?.close();
    const unknown = await serve(broken(new Error('secret detail')));
    const text = await read(unknown.url);
    expect(text).toContain(
      'event: error\ndata: {"type":"error","sequence_number":1,"error":{"message":"unable to serve this request;',
    );
    expect(text).not.toContain('secret');
  });

  it('sends comments while nothing happens', async () => {
    const quiet = Promise.withResolvers<void>();
    async function* slow(): AsyncGenerator<readonly LoggedEvent[]> {
      await quiet.promise;
      yield [completed(0)];
    }
    const { url } = await serve(slow(), { ...PATIENT, keepAliveMs: 5 });
    const message = await open(url);
    message.setEncoding('utf8');
    const [first] = (await once(message, 'data')) as [string];
    expect(first.startsWith(': keep-alive\n\n')).toBe(true);
    quiet.resolve();
    expect(await textOf(message)).toContain('event: response.completed');
  });

  it('stops reading its events when the reader leaves', async () => {
    let taken = 0;
    async function* endless(): AsyncGenerator<readonly LoggedEvent[]> {
      for (;;) {
        await new Promise((resolve) => setImmediate(resolve));
        yield [delta(taken++, 'x'.repeat(1_000))];
      }
    }
    const { url, end } = await serve(endless());
    const message = await open(url);
    message.destroy();
    await expect(end).resolves.toBe('gone');
    expect(taken).toBeGreaterThan(0);
  });

  it('takes no more events than the reader reads, and disconnects a reader that reads nothing', async () => {
    let taken = 0;
    async function* endless(): AsyncGenerator<readonly LoggedEvent[]> {
      for (;;) yield [delta(taken++, 'x'.repeat(100_000))];
    }
    const { url, end, response } = await serve(endless(), { ...PATIENT, stallMs: 50 });
    const message = await open(url);
    message.pause();
    await expect(end).resolves.toBe('stalled');
    // These bytes are in the kernel's buffers, a few megabytes at most, and in one pending write.
    expect(taken).toBeLessThan(300);
    const raw = await response;
    if (!raw.destroyed) await once(raw, 'close');
    await expect(textOf(message)).rejects.toThrow();
  });

  it('ends with the error of an interruption while its source is silent', async () => {
    const answers = new OpenAnswers();
    const over = Promise.withResolvers<void>();
    answers.onInterrupt(() => over.resolve());
    async function* silent(): AsyncGenerator<readonly LoggedEvent[]> {
      yield [delta(0)];
      await over.promise;
    }
    const { url, end } = await serve(silent(), { ...PATIENT, interruption: answers });
    const message = await open(url);
    answers.interrupt(new SluiceError('draining', 'unable to x; y'));
    expect(await textOf(message)).toContain('"error":{"message":"unable to x; y"');
    await expect(end).resolves.toBe('interrupted');
  });

  it('ends with the error of an interruption before its first event', async () => {
    const answers = new OpenAnswers();
    const reading = new AbortController();
    const over = Promise.withResolvers<void>();
    async function* silent(): AsyncGenerator<readonly LoggedEvent[]> {
      await over.promise;
      yield* [];
    }
    const { url, end } = await serve(silent(), { ...PATIENT, interruption: answers }, reading.signal);
    const message = await open(url);
    answers.interrupt(new SluiceError('draining', 'unable to x; y'));
    reading.abort();
    over.resolve();
    expect(await textOf(message)).toContain('"error":{"message":"unable to x; y"');
    await expect(end).resolves.toBe('interrupted');
  });

  it('ends at an interruption while its reader reads nothing', async () => {
    const answers = new OpenAnswers();
    async function* endless(): AsyncGenerator<readonly LoggedEvent[]> {
      for (let i = 0; ; i++) yield [delta(i, 'x'.repeat(100_000))];
    }
    const { url, end, response } = await serve(endless(), { ...PATIENT, interruption: answers });
    const message = await open(url);
    message.pause();
    const raw = await response;
    answers.watch(raw);
    while (!raw.writableNeedDrain) await new Promise(setImmediate);
    answers.interrupt(new SluiceError('draining', 'unable to x; y'));
    await expect(end).resolves.toBe('interrupted');
    await answers.whenClosed();
    expect(answers.size).toBe(0);
  });

  it('writes a long replay in pieces, each once and in order', async () => {
    const replay = Array.from({ length: 3_000 }, (_, index) => delta(index, 'x'.repeat(200)));
    const { url, end } = await serve([[...replay, completed(3_000)]]);
    const ids = [...(await read(url)).matchAll(/^id: (\d+)$/gmu)].map((match) => Number(match[1]));
    expect(ids).toEqual(Array.from({ length: 3_001 }, (_, index) => index));
    await expect(end).resolves.toBe('ended');
  });
});

it('continues for a slow reader although one write takes it longer than the limit [SSE-4]', async () => {
  const { url, end } = await serve([[delta(0, 'x'.repeat(32_000_000)), completed(1)]], { ...PATIENT, stallMs: 1_000 });
  const message = await open(url);
  const startedAt = performance.now();
  let bytes = 0;
  for await (const chunk of message) {
    bytes += (chunk as Buffer).length;
    if (performance.now() - startedAt < 3_000) await new Promise((resolve) => setTimeout(resolve, 5));
  }
  expect(await end).toBe('ended');
  expect(bytes).toBeGreaterThan(32_000_000);
});

/* A stream that has begun to deliver is read at its tick, all waiting bytes at once. Everything else is read as it arrives. */

import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, type Socket } from 'node:net';
import { setImmediate as immediate } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { OpenAiProvider } from '../../../../src/provider/openai/openai-provider.js';
import { type ProviderPart } from '../../../../src/provider/provider.js';
import { finishChunk, textChunk, usageChunk } from '../../../support/fake-openai-server.js';
import { providerRequest } from '../../../support/provider-request.js';

let server: Server;
let provider: OpenAiProvider;
let answers: ServerResponse[];
let sockets: Set<Socket>;
let waiting: (() => void)[];

beforeEach(async () => {
  [answers, sockets, waiting] = [[], new Set(), []];
  server = createServer((request, answer) => {
    sockets.add(request.socket);
    request.resume().on('end', () => {
      answer.writeHead(200, { 'content-type': 'text/event-stream' });
      answers.push(answer);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  // The address of a TCP listener is always this.
  const { port } = server.address() as AddressInfo;
  provider = new OpenAiProvider({
    baseUrl: `http://127.0.0.1:${port}/v1`,
    apiKey: 'sk-x',
    scheduleRead: (read) => waiting.push(read),
  });
});
afterEach(async () => {
  await provider.close();
  server.closeAllConnections();
  server.close();
});

/** Resolves when the kernel has the bytes. On loopback the other end has them then, too. */
const send = async (answer: ServerResponse, ...chunks: { chunk: object }[]) => {
  const text = chunks.map(({ chunk }) => `data: ${JSON.stringify(chunk)}\n\n`).join('');
  await new Promise((sent) => answer.write(text, sent));
};
const tick = () => {
  for (const read of waiting.splice(0)) read();
};
/** A few rounds of the event loop: any reader of available bytes has read them by then. */
const turns = async () => {
  for (let i = 0; i < 10; i++) await immediate();
};
const somethingWaits = async () => {
  while (waiting.length === 0) await immediate();
};
/** Ticks until the condition holds. */
async function ticking<T>(next: Promise<T>): Promise<T> {
  let over = false;
  const watched = next.finally(() => (over = true));
  watched.catch(() => undefined);
  while (!over) {
    tick();
    await immediate();
  }
  return watched;
}

async function asked(n: number): Promise<ServerResponse> {
  for (;;) {
    const answer = answers[n];
    if (answer !== undefined) return answer;
    await immediate();
  }
}

async function spoken(signal = new AbortController().signal) {
  const parts = provider.stream(providerRequest('Hi'), signal)[Symbol.asyncIterator]();
  const start = parts.next();
  const answer = await asked(answers.length);
  await send(answer, textChunk('first'));
  expect((await start).value).toMatchObject({ type: 'start' });
  expect((await parts.next()).value).toEqual({ type: 'text', text: 'first' });
  return { parts, answer };
}

describe('PacedSocket', () => {
  it('reads the first text at once, and later text at ticks', async () => {
    const { parts, answer } = await spoken();
    // The reader has requested more before it knows that the answer has begun, once.
    await send(answer, textChunk(' soon'));
    expect((await parts.next()).value).toEqual({ type: 'text', text: ' soon' });
    let next: ProviderPart | undefined;
    const reading = parts.next().then(({ value }) => (next = value as ProviderPart));
    await send(answer, textChunk(' a'));
    await somethingWaits();
    await send(answer, textChunk(' b'), textChunk(' c'));
    await turns();
    expect(next).toBeUndefined();
    expect(waiting).toHaveLength(1);
    tick();
    await reading;
    expect(next).toEqual({ type: 'text', text: ' a b c' });
  });

  it('keeps a connection ready for the next answer as soon as one has ended', async () => {
    const { parts, answer } = await spoken();
    await send(answer, finishChunk(), usageChunk());
    answer.end('data: [DONE]\n\n');
    const rest: string[] = [];
    const next = () => ticking(parts.next());
    for (let part = await next(); !part.done; part = await next()) rest.push(part.value.type);
    expect(rest).toEqual(['usage', 'finish']);
    // None of the connection's own bytes wait: the next answer comes without a tick, over the same connection.
    await spoken();
    expect(sockets.size).toBe(1);
  });

  it('closes the connection of a waiting stream that was aborted', async () => {
    const abort = new AbortController();
    const { parts, answer } = await spoken(abort.signal);
    const closed = once(answer, 'close');
    const next = parts.next();
    abort.abort(new Error('enough'));
    await expect(next).rejects.toThrow('enough');
    await closed;
    tick();
  });

  it('reports a broken connection with the tick', async () => {
    const { parts, answer } = await spoken();
    await send(answer, textChunk(' last'));
    answer.destroy();
    expect((await ticking(parts.next())).value).toEqual({ type: 'text', text: ' last' });
    await expect(ticking(parts.next())).rejects.toMatchObject({ code: 'provider_stream_interrupted' });
  });
});

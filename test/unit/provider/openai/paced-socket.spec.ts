/* A stream that has begun to speak is read when its tick comes, all that came meanwhile at once; everything else is read as it comes. */

import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { OpenAiProvider } from '../../../../src/provider/openai/openai-provider.js';
import { type ProviderPart } from '../../../../src/provider/provider.js';
import { finishChunk, textChunk, usageChunk } from '../../../support/fake-openai-server.js';
import { providerRequest } from '../../../support/provider-request.js';

/** Long enough for what was sent to have come. */
const ARRIVED_MS = 30;

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
  // A TCP listener's address is always this.
  const { port } = server.address() as AddressInfo;
  provider = new OpenAiProvider({
    baseUrl: `http://127.0.0.1:${port}/v1`,
    apiKey: 'sk-x',
    gather: (read) => waiting.push(read),
  });
});
afterEach(async () => {
  await provider.close();
  server.closeAllConnections();
  server.close();
});

const send = (answer: ServerResponse | undefined, ...chunks: { chunk: object }[]) => {
  for (const { chunk } of chunks) answer?.write(`data: ${JSON.stringify(chunk)}\n\n`);
};
const tick = () => {
  for (const read of waiting.splice(0)) read();
};

async function asked(n: number): Promise<ServerResponse> {
  for (;;) {
    const answer = answers[n];
    if (answer !== undefined) return answer;
    await sleep(1);
  }
}

async function spoken(signal = new AbortController().signal) {
  const parts = provider.stream(providerRequest('Hi'), signal)[Symbol.asyncIterator]();
  const start = parts.next();
  const answer = await asked(answers.length);
  send(answer, textChunk('first'));
  expect((await start).value).toMatchObject({ type: 'start' });
  expect((await parts.next()).value).toEqual({ type: 'text', text: 'first' });
  return { parts, answer };
}

describe('PacedSocket', () => {
  it('reads the first words at once, and what follows a tick at a time', async () => {
    const { parts, answer } = await spoken();
    // Who reads has asked for more before it knows that the answer speaks: once.
    send(answer, textChunk(' soon'));
    expect((await parts.next()).value).toEqual({ type: 'text', text: ' soon' });
    let next: ProviderPart | undefined;
    const reading = parts.next().then(({ value }) => (next = value as ProviderPart));
    send(answer, textChunk(' a'));
    await sleep(ARRIVED_MS);
    send(answer, textChunk(' b'), textChunk(' c'));
    await sleep(ARRIVED_MS);
    expect(next).toBeUndefined();
    expect(waiting).toHaveLength(1);
    tick();
    await reading;
    expect(next).toEqual({ type: 'text', text: ' a b c' });
  });

  it('has a connection ready for the next answer as soon as one has ended', async () => {
    const { parts, answer } = await spoken();
    send(answer, finishChunk(), usageChunk());
    answer.end('data: [DONE]\n\n');
    await sleep(ARRIVED_MS);
    tick();
    const rest: string[] = [];
    for (let part = await parts.next(); !part.done; part = await parts.next()) rest.push(part.value.type);
    expect(rest).toEqual(['usage', 'finish']);
    // Of the connection's own bytes nothing waits: the next answer comes without a tick, over the same connection.
    await spoken();
    expect(sockets.size).toBe(1);
  });

  it('closes the connection of a stream that waits and is no longer wanted', async () => {
    const abort = new AbortController();
    const { parts, answer } = await spoken(abort.signal);
    const closed = once(answer, 'close');
    const next = parts.next();
    abort.abort(new Error('enough'));
    await expect(next).rejects.toThrow('enough');
    await closed;
    tick();
  });

  it('tells of a connection that broke with the tick', async () => {
    const { parts, answer } = await spoken();
    send(answer, textChunk(' last'));
    await sleep(ARRIVED_MS);
    answer.destroy();
    await sleep(ARRIVED_MS);
    tick();
    expect((await parts.next()).value).toEqual({ type: 'text', text: ' last' });
    await expect(parts.next()).rejects.toMatchObject({ code: 'provider_stream_interrupted' });
  });
});

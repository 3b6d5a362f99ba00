/*
 * A stream that has begun to deliver is read at its tick, all waiting bytes at once. Everything
 * else is read as it arrives.
 */

import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import {
  type AddressInfo,
  connect,
  createServer as createRawServer,
  type NetConnectOpts,
  type Server as RawServer,
  type Socket,
} from 'node:net';
import { setImmediate as immediate } from 'node:timers/promises';
import { connect as connectByTls, createServer as createTlsServer } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { OpenAiProvider } from '../../../../src/provider/openai/openai-provider.js';
import { type ProviderPart } from '../../../../src/provider/provider.js';
import { PacedSocket } from '../../../../src/provider/wire/paced-socket.js';
import { finishChunk, textChunk, usageChunk } from '../../../support/fake-openai-server.js';
import { collect, providerRequest, textOf } from '../../../support/provider-request.js';

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
    scheduleRead: later,
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
/** The clock: every read waits for `tick`. */
const later = (read: () => void) => waiting.push(read) > 0;
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
    // None of the connection's own bytes wait: the next answer comes without a tick, over the same
    // connection.
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

  it('stops reading a long answer that is not pulled, and loses none of it', async () => {
    const { parts, answer } = await spoken();
    const text = 'x'.repeat(4_000);
    for (let i = 0; i < 10_000; i++) answer.write(`data: ${JSON.stringify(textChunk(text).chunk)}\n\n`);
    let left = -1;
    for (let same = 0; same < 20; same = left === answer.writableLength ? same + 1 : 0) {
      left = answer.writableLength;
      tick();
      await turns();
    }
    expect(left).toBeGreaterThan(0);
    await Promise.all([send(answer, finishChunk(), usageChunk()), ticking(drain())]);
    async function drain(): Promise<void> {
      let length = 0;
      for (let part = await parts.next(); part.value?.type !== 'finish'; part = await parts.next()) {
        if (part.done) throw new Error('no finish');
        if (part.value.type === 'text') length += part.value.text.length;
      }
      expect(length).toBe(40_000_000);
    }
  });
});

describe('a paced connection', () => {
  let listener: RawServer;
  let theirs: Socket;
  let socket: Socket;
  let chunks: string[];

  /** Opens a connection that reads like undici, and is paced after its first bytes. */
  async function open(
    server: RawServer,
    secure: 'connection' | 'secureConnection',
    connectBy: (options: NetConnectOpts & { readonly highWaterMark: number }) => Socket,
  ): Promise<void> {
    chunks = [];
    listener = server.on(secure, (accepted: Socket) => {
      theirs = accepted;
      // Otherwise the kernel may hold a short write back until the one before it is acknowledged.
      theirs.setNoDelay(true);
      theirs.write('first');
    });
    listener.listen(0, '127.0.0.1');
    await once(listener, 'listening');
    // The address of a TCP listener is always this.
    const { port } = listener.address() as AddressInfo;
    socket = connectBy({ port, host: '127.0.0.1', highWaterMark: 1 });
    const paced = new PacedSocket(socket, later);
    socket.on('readable', () => {
      for (let chunk: Buffer | null; (chunk = socket.read() as Buffer | null) !== null;) chunks.push(chunk.toString());
      paced.paced = true;
    });
    while (chunks.length === 0) await immediate();
    // The read that was requested before pacing, by the event loop.
    await write(' second');
    await somethingWaits();
  }
  const plain = () => open(createRawServer(), 'connection', connect);
  const write = async (text: string) => {
    await new Promise((sent) => theirs.write(text, sent));
    await turns();
  };
  afterEach(() => {
    socket.destroy();
    theirs.destroy();
    listener.close();
  });

  it('reads what has arrived within the tick, without the event loop', async () => {
    await plain();
    await write(' third');
    await write(' fourth');
    expect(socket.readableLength).toBe(0);
    tick();
    expect(socket.readableLength).toBe(' third fourth'.length);
    await somethingWaits();
    expect(chunks).toEqual(['first', ' second', ' third fourth']);
  });

  it('leaves the next eight reads to the event loop after one that found nothing', async () => {
    await plain();
    tick();
    await write(' third');
    await somethingWaits();
    expect(chunks).toEqual(['first', ' second', ' third']);
    // This read is the first of them.
    await write(' fourth');
    tick();
    expect(socket.readableLength).toBe(0);
    await somethingWaits();
    expect(chunks.at(-1)).toBe(' fourth');
    for (let i = 0; i < 7; i++) {
      await write(`${i}`);
      tick();
      await somethingWaits();
    }
    await write(' last');
    tick();
    expect(socket.readableLength).toBe(' last'.length);
  });

  it('ends at a tick after the other side has ended the connection', async () => {
    await plain();
    const ended = once(socket, 'end');
    await write(' third');
    theirs.end();
    await ticking(ended);
    expect(chunks.join('')).toBe('first second third');
  });

  it('reports that the other side reset the connection', async () => {
    await plain();
    const broken = once(socket, 'error');
    theirs.resetAndDestroy();
    await once(theirs, 'close');
    const [error] = (await ticking(broken)) as [NodeJS.ErrnoException];
    expect(error.code).toBe('ECONNRESET');
  });

  it('is read by the event loop if it is encrypted', async () => {
    const psk = Buffer.from('0123456789abcdef');
    // Keys that both sides know need no certificate.
    const secure = { ciphers: 'PSK', maxVersion: 'TLSv1.2' } as const;
    await open(createTlsServer({ ...secure, pskCallback: () => psk }), 'secureConnection', (options) =>
      connectByTls({
        ...options,
        ...secure,
        pskCallback: () => ({ identity: 'sluice', psk }),
        checkServerIdentity: () => undefined,
      }),
    );
    await write(' third');
    tick();
    expect(socket.readableLength).toBe(0);
    await somethingWaits();
    expect(chunks.join('')).toBe('first second third');
  });
});

describe('a chunked body', () => {
  const HEAD = 'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n';
  const event = (data: string) => `data: ${data}\n\n`;
  const chunk = (text: string, after = '') => `${text.length.toString(16)}${after}\r\n${text}\r\n`;
  const word = (text: string) => event(JSON.stringify(textChunk(text).chunk));
  const END = chunk(event(JSON.stringify(finishChunk().chunk)) + event('[DONE]')) + '0\r\n\r\n';

  /** Answers every request with these writes, one at a time, and reads two answers. */
  async function answersTo(
    writes: readonly string[],
  ): Promise<{ texts: string[]; errors: unknown[]; sockets: number }> {
    let connections = 0;
    let playing: Promise<void> | undefined;
    const raw = createRawServer((socket) => {
      connections += 1;
      socket
        .on('error', () => undefined)
        .on('data', () => {
          playing = play(socket);
        });
    });
    const play = async (socket: Socket): Promise<void> => {
      for (const bytes of writes) {
        socket.write(bytes);
        await turns();
      }
    };
    raw.listen(0, '127.0.0.1');
    await once(raw, 'listening');
    // The address of a TCP listener is always this.
    const { port } = raw.address() as AddressInfo;
    const plain = new OpenAiProvider({ baseUrl: `http://127.0.0.1:${port}/v1` });
    const [texts, errors]: [string[], unknown[]] = [[], []];
    for (let i = 0; i < 2; i++) {
      const { parts, error } = await collect(plain.stream(providerRequest('Hi'), new AbortController().signal));
      texts.push(textOf(parts));
      errors.push(error);
      // The connection is free once the client has read the end of the body.
      await playing;
      await turns();
    }
    await plain.close();
    raw.close();
    return { texts, errors, sockets: connections };
  }

  const whole = { texts: ['one two three', 'one two three'], errors: [undefined, undefined], sockets: 1 };

  it.each([
    ['with its last chunk alone', [HEAD + chunk(word('one')), chunk(word(' two')) + chunk(word(' three')), END]],
    ['in one write', [HEAD + chunk(word('one')) + chunk(word(' two')) + chunk(word(' three')) + END]],
    [
      'cut inside chunks',
      (HEAD + ['one', ' two', ' three'].map((text) => chunk(word(text))).join('') + END).split(/(?<=t)/u),
    ],
    [
      'cut inside lines',
      (HEAD + ['one', ' two', ' three'].map((text) => chunk(word(text))).join('') + END).split(/(?<=\r)/u),
    ],
    ['with a chunk extension', [HEAD + chunk(word('one')), chunk(word(' two'), ';a=b'), chunk(word(' three')) + END]],
    ['behind a head of its own', [HEAD, chunk(word('one')), chunk(word(' two')), chunk(word(' three')), END]],
    [
      'after an early answer',
      [`HTTP/1.1 103 Early Hints\r\n\r\n${HEAD}${chunk(word('one'))}`, chunk(word(' two') + word(' three')), END],
    ],
  ])('%s is read whole, and its connection is used again', async (_what, writes) => {
    expect(await answersTo(writes)).toEqual(whole);
  });

  it.each([
    [
      'is longer than its size',
      [HEAD + chunk(word('one')), `1${chunk(word(' two')).slice(0, 2)}`, '\r\nabcdefgh'.repeat(100)],
    ],
    ['has no size', [HEAD + chunk(word('one')), 'what?\r\n']],
  ])('whose chunk %s interrupts the answer', async (_what, writes) => {
    const { texts, errors } = await answersTo(writes);
    expect(texts).toEqual(['one', 'one']);
    expect(errors).toEqual(
      Array.from({ length: 2 }, () => expect.objectContaining({ code: 'provider_stream_interrupted' })),
    );
  });
});

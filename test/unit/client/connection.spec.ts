/*
 * The browser client's connection, over real sockets to a scripted gateway: it reconnects by itself
 * and stops only where it must.
 */

import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Connection } from '../../../client/src/connection.js';
import { browserEnvironment, type PageNews, type SocketEvent } from '../../../client/src/environment.js';
import { ClientHarness, until } from '../../support/client-harness.js';
import { type FakeSocket, Script } from '../../support/fake-gateway.js';

describe('the connection of the browser client', () => {
  let harness: ClientHarness;

  beforeEach(async () => {
    harness = await ClientHarness.start();
  });
  afterEach(() => {
    jest.useRealTimers();
    return harness.close();
  });

  it("sends the client's credential as a subprotocol, from a function before each connection", async () => {
    let asked = 0;
    harness.connect({ token: () => Promise.resolve(`ek_${++asked}`) });
    await harness.client.connect();
    const socket = await harness.gateway.socket();
    expect(socket.protocols).toEqual(['sluice.v1', 'sluice.bearer.ek_1']);
    socket.socket.terminate();
    expect((await harness.gateway.socket()).protocols).toEqual(['sluice.v1', 'sluice.bearer.ek_2']);
  });

  it.each([401, 403])('stops when it is refused with %d, with the reason of the gateway', async (status) => {
    harness.gateway.refuse = { status, body: { error: { code: 'invalid_api_key', message: 'unable to let you in' } } };
    const waiting = harness.client.send('Hi');
    await expect(harness.client.connect()).rejects.toMatchObject({
      status,
      code: 'invalid_api_key',
      message: 'unable to let you in',
    });
    await expect(waiting.final).rejects.toMatchObject({ kind: 'refused', status });
    expect(harness.client.state).toBe('closed');
    harness.gateway.refuse = null;
    const { upgrades } = harness.gateway;
    await harness.client.connect();
    expect(harness.gateway.upgrades).toBe(upgrades + 1);
  });

  it('waits for the time in Retry-After', async () => {
    harness.gateway.refuse = {
      status: 503,
      headers: { 'retry-after': '7' },
      body: { error: { code: 'overloaded', message: 'full' } },
    };
    const refused = until(harness.client, ({ error }) => error?.code === 'overloaded');
    void harness.client.connect().catch(() => undefined);
    const { retryInMs, state } = await refused;
    expect(state).toBe('reconnecting');
    expect(retryInMs).toBeGreaterThanOrEqual(7_000);
  });

  it('stops after 1008 and reports it', async () => {
    const { response, socket } = await harness.running();
    const closed = until(harness.client, ({ state }) => state === 'closed');
    socket.socket.close(1008, 'key revoked');
    expect((await closed).error).toMatchObject({ code: 'closed_1008' });
    await expect(response.final).rejects.toMatchObject({ kind: 'lost' });
    expect(response.cursor).toEqual({ id: 'resp_1', after: 1, text: 'Hel' });
  });

  it('reports `offline` when the browser is offline, and connects at once when the network is back', async () => {
    harness.connect({ reconnect: { firstDelayMs: 60_000, maxDelayMs: 60_000 } });
    const { socket } = await harness.running();
    harness.online = false;
    const offline = until(harness.client, ({ state }) => state === 'offline');
    socket.socket.terminate();
    expect((await offline).retryInMs).toBe(30_000);
    harness.online = true;
    harness.news('wake');
    expect(await (await harness.gateway.socket()).next()).toMatchObject({ type: 'sluice:resume' });
  });

  it('detects a dead network by an unanswered ping, sooner while an answer runs', async () => {
    harness.connect({ ping: { busyAfterMs: 10, idleAfterMs: 60_000, timeoutMs: 20 } });
    const response = harness.client.send('Hi');
    const first: FakeSocket = await harness.gateway.socket();
    first.answerPings = false;
    const script = new Script('resp_1', (await first.next())['stream_id']);
    first.send(script.created());
    const second = await harness.gateway.socket();
    expect(await second.next()).toMatchObject({ type: 'sluice:resume', response_id: 'resp_1', starting_after: 0 });
    expect(response.status).toBe('in_progress');
  });

  it('waits for a large frame that a slow network is still sending', async () => {
    const sent: string[] = [];
    let bufferedAmount = 2;
    let listener: (event: SocketEvent) => void = () => undefined;
    const lost = Promise.withResolvers<void>();
    const connection = new Connection(
      { ping: { busyAfterMs: 5, timeoutMs: 5 } },
      'http://gateway',
      {
        ...browserEnvironment(),
        openSocket: () => ({
          send: (text) => sent.push(text),
          close: () => undefined,
          addEventListener: (type, added) => {
            if (type === 'message') listener = added;
          },
          // Some of the frame leaves before each look, until the network dies.
          get bufferedAmount() {
            return Math.max(1, bufferedAmount--);
          },
        }),
      },
      {
        opened: () => undefined,
        received: () => undefined,
        sent: () => undefined,
        changed: ({ state }) => state === 'reconnecting' && lost.resolve(),
        busy: () => true,
      },
    );
    connection.open();
    await new Promise(setImmediate);
    listener({ data: '{"type":"sluice:hello"}' });
    await lost.promise;
    expect(sent.map((text) => (JSON.parse(text) as { type: string }).type)).toEqual(['sluice:ping', 'sluice:ping']);
    connection.close();
  });

  it('ignores frames of a socket that it has replaced', async () => {
    const sockets: { say: (event: object) => void; end: () => void }[] = [];
    let news: (what: PageNews) => void = () => undefined;
    let opened: () => void = () => undefined;
    const received: string[] = [];
    const states: string[] = [];
    const connection = new Connection(
      {},
      'http://gateway',
      {
        ...browserEnvironment(),
        openSocket: () => {
          const listeners = new Map<string, (event: SocketEvent) => void>();
          sockets.push({
            say: (event) => listeners.get('message')?.({ data: JSON.stringify(event) }),
            end: () => listeners.get('close')?.({ code: 1008 }),
          });
          // A browser does this too: events in flight still arrive after close().
          setImmediate(() => opened());
          return { send: () => undefined, close: () => undefined, addEventListener: (t, f) => listeners.set(t, f) };
        },
        onNews: (handler) => {
          news = handler;
          return () => undefined;
        },
      },
      {
        opened: () => undefined,
        received: ({ type }) => received.push(type),
        sent: () => undefined,
        changed: ({ state }) => states.push(state),
        busy: () => false,
      },
    );
    const next = (): Promise<void> => new Promise((resolve) => (opened = resolve));
    const first = next();
    connection.open();
    await first;
    sockets[0]?.say({ type: 'first hello' });
    news('sleep');
    const second = next();
    news('wake');
    await second;
    sockets[0]?.say({ type: 'stale' });
    expect(connection.state).toBe('reconnecting');
    sockets[1]?.say({ type: 'second hello' });
    sockets[0]?.say({ type: 'stale' });
    sockets[0]?.end();
    expect(received).toEqual(['first hello', 'second hello']);
    expect(states.at(-1)).toBe('open');
    connection.close();
  });

  it('connects again when neither the socket nor the request for the reason is answered', async () => {
    const attempts: (() => void)[] = [];
    const attempted = (): Promise<void> => new Promise((resolve) => attempts.push(resolve));
    const connection = new Connection(
      { connectTimeoutMs: 5 },
      'http://gateway',
      {
        ...browserEnvironment(),
        openSocket: () => {
          attempts.shift()?.();
          return { send: () => undefined, close: () => undefined, addEventListener: () => undefined };
        },
        fetch: () => new Promise(() => undefined),
      },
      {
        opened: () => undefined,
        received: () => undefined,
        sent: () => undefined,
        changed: () => undefined,
        busy: () => false,
      },
    );
    const both = Promise.all([attempted(), attempted()]);
    connection.open();
    await both;
    connection.close();
  });

  it('closes on a page that is frozen or left, and resumes when the page is back', async () => {
    const { response, socket, script } = await harness.running();
    const closed = new Promise((resolve) => socket.socket.once('close', resolve));
    harness.news('sleep');
    await closed;
    expect(harness.client.state).toBe('reconnecting');
    harness.news('wake');
    const second = await harness.gateway.socket();
    expect(await second.next()).toMatchObject({ type: 'sluice:resume', starting_after: 1 });
    second.send(script.delta('lo'), script.end());
    expect((await response.final).output_text).toBe('Hello');
  });

  it('sends a fresh credential before the present one expires, and hides the exchange from listeners', async () => {
    let asked = 0;
    harness.connect({ token: () => `ek_${++asked}` });
    const frames: unknown[] = [];
    harness.client.on('frame', ({ data }) => frames.push(data));
    await harness.client.connect();
    const socket = await harness.gateway.socket();
    socket.send({ type: 'sluice:auth_expiring', expires_in_ms: 60_000 });
    expect(await socket.next()).toEqual({ type: 'sluice:auth', token: 'ek_2' });
    expect(JSON.stringify(frames)).not.toContain('ek_2');
  });

  it('fetches a credential again when none came before the present one expires', async () => {
    let asked = 0;
    harness.connect({ token: () => (++asked === 2 ? Promise.reject(new Error('down')) : `ek_${asked}`) });
    await harness.client.connect();
    const socket = await harness.gateway.socket();
    jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask'] });
    socket.send({ type: 'sluice:auth_expiring', expires_in_ms: 60_000 });
    while (asked < 2) await new Promise(setImmediate);
    await new Promise(setImmediate);
    jest.advanceTimersByTime(5_000);
    expect(await socket.next()).toEqual({ type: 'sluice:auth', token: 'ek_3' });
  });

  it('calls `token` again when it gave no credential in 30 s', async () => {
    const { timeout } = AbortSignal;
    const limits: number[] = [];
    const limited = jest.spyOn(AbortSignal, 'timeout').mockImplementation((ms) => {
      limits.push(ms);
      // Only the first limit passes soon: a busy machine takes its time for the next credential.
      return timeout.call(AbortSignal, limits.length === 1 ? 20 : ms);
    });
    let asked = 0;
    harness.connect({ token: () => (++asked === 1 ? new Promise<string>(() => undefined) : 'ek_2') });
    const late = until(harness.client, ({ error }) => error?.code === 'token_unavailable');
    await harness.client.connect();
    expect((await late).state).toBe('reconnecting');
    expect((await harness.gateway.socket()).protocols).toContain('sluice.bearer.ek_2');
    expect(limits[0]).toBe(30_000);
    limited.mockRestore();
  });

  it('keeps new requests for the next socket while the gateway drains, and keeps running ones on the old', async () => {
    const { response, socket, script } = await harness.running();
    socket.send({ type: 'sluice:draining', reconnect_after_ms: 5 });
    await new Promise<void>((resolve) => {
      const forget = harness.client.on('frame', ({ data }) => {
        if (data.type !== 'sluice:draining') return;
        forget();
        resolve();
      });
    });
    harness.client.send('later');
    socket.send(script.delta('lo'), script.end());
    await response.final;
    expect(socket.waiting).toBe(0);
    expect(await (await harness.gateway.socket()).next()).toMatchObject({ input: 'later' });
  });

  it('sends again on the next socket what a draining gateway refused', async () => {
    harness.client.send('Hi');
    const socket = await harness.gateway.socket();
    const { stream_id } = await socket.next();
    socket.send({ type: 'error', status: 503, stream_id, error: { code: 'draining', message: 'going' } });
    socket.socket.close(1012);
    expect(await (await harness.gateway.socket()).next()).toMatchObject({ input: 'Hi' });
  });

  it('creates a conversation with its credential, and rejects with the reason of the gateway', async () => {
    harness.connect({ token: 'sk-1' });
    let asked: unknown;
    harness.gateway.rest = (request, response) => {
      asked = [request.method, request.url, request.headers.authorization];
      response.writeHead(200, { 'content-type': 'application/json' }).end('{"id":"conv_1"}');
    };
    expect((await harness.client.conversations.create()).id).toBe('conv_1');
    expect(asked).toEqual(['POST', '/v1/conversations', 'Bearer sk-1']);
    harness.gateway.rest = (_request, response) =>
      response.writeHead(429, { 'retry-after-ms': '250' }).end('{"error":{"code":"rate_limit_exceeded"}}');
    await expect(harness.client.conversations.create()).rejects.toMatchObject({
      code: 'rate_limit_exceeded',
      retryAfterMs: 250,
    });
  });
});

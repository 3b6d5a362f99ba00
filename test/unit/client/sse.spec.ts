/*
 * The browser client where no WebSocket can be opened: the same guarantees over POST, SSE and GET,
 * selected automatically.
 */

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import { type IncomingMessage, type ServerResponse } from 'node:http';
import { type SluiceResponse } from '../../../client/src/api.js';
import { ClientHarness, until } from '../../support/client-harness.js';
import { type Frame, Script } from '../../support/fake-gateway.js';

interface Ask {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: Record<string, unknown> | null;
  readonly answer: ServerResponse;
}

const tooLate = (answer: ServerResponse): unknown =>
  answer.writeHead(408).end('{"error":{"code":"request_timeout","message":"m"}}');

describe('the browser client behind a proxy that blocks WebSockets', () => {
  let harness: ClientHarness;
  let asks: Ask[];
  let arrived: () => void;

  beforeEach(async () => {
    harness = await ClientHarness.start();
    harness.gateway.blockSockets = true;
    asks = [];
    arrived = () => undefined;
    harness.gateway.rest = (request, answer) => {
      void (async () => {
        let text = '';
        for await (const chunk of request) text += String(chunk);
        const { method = '', url = '', headers } = request;
        // The client sends JSON objects.
        asks.push({ method, url, headers, body: text === '' ? null : (JSON.parse(text) as Ask['body']), answer });
        arrived();
      })();
    };
  });
  afterEach(() => harness.close());

  async function next(): Promise<Ask> {
    for (;;) {
      const ask = asks.shift();
      if (ask !== undefined) return ask;
      await new Promise<void>((resolve) => (arrived = resolve));
    }
  }
  function stream({ answer }: Ask, ...events: Frame[]): void {
    if (!answer.headersSent) answer.writeHead(200, { 'content-type': 'text/event-stream' });
    for (const { stream_id: _, ...event } of events)
      answer.write(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
  }

  /** Returns the next request. Rejects if the response ends or the client reports an error. */
  function nextOf(response: SluiceResponse): Promise<Ask> {
    return new Promise((resolve, reject) => {
      harness.client.on('error', reject);
      response.final.then(() => reject(new Error('the response has ended')), reject);
      void next().then(resolve);
    });
  }
  async function begin(response: SluiceResponse): Promise<{ readonly ask: Ask; readonly script: Script }> {
    const ask = await nextOf(response);
    const script = new Script('resp_1', null);
    const begun = new Promise((resolve) => response.on('delta', resolve));
    stream(ask, script.created(), script.delta('Hel'));
    await begun;
    return { ask, script };
  }

  it('streams by POST after two refused upgrades, with its key and its credential', async () => {
    harness.connect({ token: 'sk-1' });
    const response = harness.client.send('Hi', { conversation: 'conv_1' });
    const ask = await next();
    expect(harness.gateway.upgrades).toBe(2);
    expect(harness.client.transport).toBe('sse');
    expect(ask).toMatchObject({ method: 'POST', url: '/v1/responses' });
    expect(ask.body).toEqual({ input: 'Hi', conversation: 'conv_1', stream: true });
    expect(ask.headers).toMatchObject({ authorization: 'Bearer sk-1', 'idempotency-key': response.idempotencyKey });
    const script = new Script('resp_1', null);
    stream(ask, script.created(), script.delta('Hel'), script.delta('lo'), script.end());
    expect((await response.final).output_text).toBe('Hello');
    expect(response.text).toBe('Hello');
  });

  it('resumes by GET after its last event when a stream breaks off or ends without its terminal', async () => {
    const response = harness.client.send('Hi');
    const script = new Script('resp_1', null);
    const first = await next();
    const firstDelta = new Promise((resolve) => response.on('delta', resolve));
    stream(first, script.created(), script.delta('Hel'));
    await firstDelta;
    first.answer.destroy();
    const second = await next();
    expect([second.method, second.url]).toEqual(['GET', '/v1/responses/resp_1?stream=true&starting_after=1']);
    stream(second, script.delta('lo '));
    second.answer.end(
      'event: error\ndata: {"type":"error","sequence_number":2,"error":{"code":"state_unavailable","message":"broke"}}\n\n',
    );
    const third = await next();
    expect(third.url).toMatch(/starting_after=2$/);
    stream(third, script.delta('world'), script.end());
    await response.final;
    expect(response.text).toBe('Hello world');
  });

  it('repeats an unanswered request with the same key, and reports a refusal with its reason', async () => {
    const response = harness.client.send('Hi');
    const first = await next();
    first.answer.destroy();
    const second = await next();
    expect(second.headers['idempotency-key']).toBe(first.headers['idempotency-key']);
    second.answer
      .writeHead(429, { 'retry-after-ms': '70' })
      .end('{"error":{"code":"rate_limit_exceeded","message":"m"}}');
    await expect(response.final).rejects.toMatchObject({ kind: 'refused', status: 429, retryAfterMs: 70 });
  });

  it('reports the error of a proxy whose code is a number', async () => {
    const response = harness.client.send('Hi');
    (await next()).answer.writeHead(502).end('{"error":{"code":502,"message":"bad gateway"}}');
    await expect(response.final).rejects.toMatchObject({ status: 502, message: 'bad gateway' });
  });

  it('cancels by POST, also before there is an id', async () => {
    const response = harness.client.send('Hi');
    const ask = await next();
    response.cancel();
    const script = new Script('resp_1', null);
    stream(ask, script.created());
    const cancel = await next();
    expect([cancel.method, cancel.url]).toEqual(['POST', '/v1/responses/resp_1/cancel']);
    cancel.answer.end('{}');
    stream(ask, script.end('cancelled'));
    expect((await response.final).status).toBe('cancelled');
  });

  it('cancels by POST again when the gateway refused it for now', async () => {
    const response = harness.client.send('Hi');
    const ask = await next();
    const script = new Script('resp_1', null);
    const begun = new Promise((resolve) => response.on('delta', resolve));
    stream(ask, script.created(), script.delta('Hel'));
    await begun;
    response.cancel();
    const refused = await next();
    refused.answer
      .writeHead(429, { 'retry-after-ms': '1' })
      .end('{"error":{"code":"rate_limit_exceeded","message":"m"}}');
    const cancel = await next();
    expect([cancel.method, cancel.url]).toEqual(['POST', '/v1/responses/resp_1/cancel']);
    cancel.answer.end('{}');
    stream(ask, script.end('cancelled'));
    expect((await response.final).status).toBe('cancelled');
  });

  it('repeats a request with the same key after the 408 of a paused replica', async () => {
    const response = harness.client.send('Hi');
    const first = await next();
    tooLate(first.answer);
    const { ask, script } = await begin(response);
    expect([ask.method, ask.headers['idempotency-key']]).toEqual(['POST', first.headers['idempotency-key']]);
    stream(ask, script.delta('lo'), script.end());
    expect((await response.final).output_text).toBe('Hello');
  });

  it('repeats a resume after the 408 of a paused replica', async () => {
    const response = harness.client.send('Hi');
    const { ask, script } = await begin(response);
    ask.answer.destroy();
    tooLate((await next()).answer);
    const resumed = await nextOf(response);
    expect([resumed.method, resumed.url]).toEqual(['GET', '/v1/responses/resp_1?stream=true&starting_after=1']);
    stream(resumed, script.delta('lo'), script.end());
    expect((await response.final).output_text).toBe('Hello');
  });

  it.each([
    ['its connection is lost', (answer: ServerResponse): unknown => answer.destroy()],
    ['a paused replica answers it with 408', tooLate],
    ['a proxy answers it with 502', (answer: ServerResponse): unknown => answer.writeHead(502).end('<html>')],
  ])('resumes the answer and repeats a cancel when %s', async (_, fail) => {
    const response = harness.client.send('Hi');
    const { script } = await begin(response);
    response.cancel();
    fail((await next()).answer);
    const again = [await nextOf(response), await nextOf(response)];
    // The two requests may arrive in any order.
    const byUrl = new Map(again.map((ask) => [ask.url, ask]));
    const resume = '/v1/responses/resp_1?stream=true&starting_after=1';
    expect([...byUrl.keys()].sort()).toEqual(['/v1/responses/resp_1/cancel', resume]);
    for (const [url, ask] of byUrl) {
      if (url === resume) stream(ask, script.end('cancelled'));
      else ask.answer.end('{}');
    }
    expect((await response.final).status).toBe('cancelled');
  });

  it('does not cancel the next answer for the cancel of a request that was refused', async () => {
    const refused = harness.client.send('Hi');
    const first = await next();
    refused.cancel();
    first.answer.writeHead(429).end('{"error":{"code":"rate_limit_exceeded","message":"m"}}');
    await expect(refused.final).rejects.toMatchObject({ status: 429 });
    const response = harness.client.send('Again');
    const ask = await next();
    const script = new Script('resp_2', null);
    const begun = new Promise((resolve) => response.on('delta', resolve));
    stream(ask, script.created(), script.delta('Hel'));
    await begun;
    stream(ask, script.end());
    await response.final;
    await harness.client.request('GET', '/v1/models');
    expect(asks).toEqual([]);
  });

  it('takes the end of an answer whose other events are gone', async () => {
    const response = harness.client.send('Hi');
    (await next()).answer.destroy();
    const script = new Script('resp_1', null);
    const created = script.created();
    script.delta('Hello');
    stream(await next(), created, script.end());
    expect((await response.final).output_text).toBe('Hello');
    expect(response.text).toBe('Hello');
  });

  it('reads a followed conversation again at intervals', async () => {
    const subscription = harness.client.subscribe('conv_1');
    const emitted: string[] = [];
    subscription.on('event', (event) => emitted.push(event.type));
    const ask = await next();
    expect(ask.url).toBe('/v1/conversations/conv_1/items?limit=100&order=asc');
    ask.answer.end('{"data":[],"last_id":null,"has_more":false}');
    expect((await next()).method).toBe('GET');
    expect(emitted).toEqual(['caught_up']);
    subscription.close();
  });

  it('tries a WebSocket again when the network changed', async () => {
    await harness.client.connect();
    expect(harness.client.transport).toBe('sse');
    harness.gateway.blockSockets = false;
    const open = until(harness.client, ({ state }) => state === 'open');
    harness.news('wake');
    await Promise.all([open, harness.gateway.socket()]);
    expect(harness.client.transport).toBe('websocket');
  });

  it('keeps using WebSockets after one was open, and while the gateway does not answer', async () => {
    harness.gateway.blockSockets = false;
    await harness.client.connect();
    const { socket } = await harness.gateway.socket();
    harness.gateway.blockSockets = true;
    let refusals = 0;
    const often = until(harness.client, ({ error }) => error?.code === 'websocket_blocked' && ++refusals === 4);
    socket.terminate();
    await Promise.all([often, once(socket, 'close')]);
    expect(harness.client.transport).toBe('websocket');
  });
});

/*
 * REST over responses: JSON, streams, background, cancel, delete, input items, idempotency, and
 * what is refused.
 */

import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { ROUTE_RULES } from '../../src/rest/route-rules.js';
import {
  GatewayHarness,
  framesOf,
  heldAnswer,
  numbersOf,
  sseMessages,
  terminalOf,
  upTo,
} from '../support/gateway-harness.js';
import { textAnswer, textChunk } from '../support/fake-openai-server.js';
import { allowed } from '../support/machine.js';
import { eventMistakes } from '../support/open-responses.js';

/**
 * These take an input, and ignore the query: clients add parameters of their own there, such as
 * `api-version`.
 */
const TAKES_AN_INPUT = /^POST \/v1\/(?:responses(?:\/compact|\/input_tokens)?|chat\/completions)$/u;

let harness: GatewayHarness;
beforeAll(async () => {
  harness = await GatewayHarness.start({ config: { http: { sse_keep_alive: '1s', max_body_bytes: '64KiB' } } });
});
afterEach(async () => {
  await harness.hangUp();
});
afterAll(() => harness.close());

/** A response that is running and has said `Half`. */
async function running(): Promise<{ id: string; finish: () => void }> {
  const held = heldAnswer('Half', ' and half');
  harness.provider.answerWith(held.answer);
  const { status, body } = await harness.post({ input: 'Hi', background: true });
  expect(status).toBe(200);
  const id = String(body['id']);
  await read(`/v1/responses/${id}?stream=true`, 'response.output_text.delta');
  return { id, finish: held.finish };
}

/** Reads a stream until it contains `part`, then leaves. */
async function read(path: string, part: string): Promise<void> {
  const leave = new AbortController();
  const answer = await harness.fetch(path, {}, leave.signal);
  const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  while (!text.includes(part)) {
    const { done, value } = (await reader?.read()) ?? { done: true };
    if (done) throw new Error(`the stream ended without ${part}: ${text}`);
    text += value;
  }
  leave.abort();
}

const streamed = async (path: string, headers: Record<string, string> = {}): Promise<string> =>
  (await harness.fetch(path, { headers })).text();

describe('POST /v1/responses', () => {
  it('answers with the ended response [REST-6, REST-1]', async () => {
    harness.says('Hello');
    const done = await harness.post({ input: 'Hi' });
    expect(done.status).toBe(200);
    expect(done.body).toMatchObject({ object: 'response', status: 'completed', output_text: 'Hello' });
    expect(done.headers.get('x-request-id')).toMatch(/^req_[0-9a-f]{32}$/u);
  });

  it('answers with an HTTP error that names the response if its turn failed [REST-6, ERR-3]', async () => {
    for (const [upstream, headers, status, code, type] of [
      [500, {}, 502, 'server_error', 'server_error'],
      [503, {}, 503, 'provider_unavailable', 'server_error'],
      [401, {}, 502, 'provider_refused', 'server_error'],
      [408, {}, 504, 'provider_timeout', 'server_error'],
      [429, { 'retry-after': '7' }, 429, 'rate_limit_exceeded', 'rate_limit_error'],
    ] as const) {
      harness.provider.answerWith({ status: upstream, headers });
      const failed = await harness.post({ input: 'Hi' });
      expect(failed).toMatchObject({ status, body: { error: { code, type, response_id: expect.any(String) } } });
      expect(failed.headers.get('x-should-retry')).toBe('false');
      expect(failed.headers.get('retry-after')).toBe(upstream === 429 ? '7' : null);
      const { response_id: id } = failed.body['error'] as { response_id: string };
      const kept = await harness.api(`/v1/responses/${id}`);
      expect(kept).toMatchObject({ status: 200, body: { id, status: 'failed', error: { code, type } } });
    }
  });

  it('streams: type, number and event, and ends with the terminal [REST-7, SSE-1, SSE-2]', async () => {
    harness.says('Hello', ' world');
    const answer = await harness.fetch('/v1/responses', { method: 'POST', body: { input: 'Hi', stream: true } });
    expect(answer.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    expect(answer.headers.get('x-request-id')).toMatch(/^req_/u);
    const text = await answer.text();
    expect(text.endsWith('\n\ndata: [DONE]\n\n')).toBe(true);
    const messages = sseMessages(text);
    expect(messages.map(({ id }) => id)).toEqual(messages.map((_, i) => String(i)));
    expect(messages.map(({ event }) => event)).toEqual(messages.map(({ data }) => data['type']));
    expect(messages.every(({ event }) => event?.startsWith('response.'))).toBe(true);
    expect(terminalOf(framesOf(messages)).output_text).toBe('Hello world');
  });

  it('ends the stream of a failed turn with its terminal event [SSE-2]', async () => {
    harness.provider.answerWith({ steps: [textChunk('Half'), { cut: true }] });
    const answer = await harness.fetch('/v1/responses', { method: 'POST', body: { input: 'Hi', stream: true } });
    const messages = sseMessages(await answer.text());
    expect(messages.at(-1)?.event).toBe('response.failed');
  });

  it('answers a background request at once and continues its turn [REST-8]', async () => {
    const { id, finish } = await running();
    const early = (await harness.api(`/v1/responses/${id}`)).body;
    expect(early).toMatchObject({ status: 'in_progress', background: true, output_text: 'Half' });
    finish();
    const text = await streamed(`/v1/responses/${id}?stream=true`);
    expect(terminalOf(framesOf(sseMessages(text)))).toMatchObject({
      status: 'completed',
      output_text: 'Half and half',
    });
    const queued = heldAnswer('');
    harness.provider.answerWith(queued.answer);
    const { body } = await harness.post({ input: 'Hi', background: true });
    expect(['queued', 'in_progress']).toContain(body['status']);
    queued.finish();
  });

  it('streams a background response [REST-8]', async () => {
    harness.says('Hello');
    const body = { input: 'Hi', background: true, stream: true };
    const text = await (await harness.fetch('/v1/responses', { method: 'POST', body })).text();
    expect(sseMessages(text).at(-1)?.event).toBe('response.completed');
  });

  it('continues a turn whose reader over POST /v1/responses leaves [REST-9]', async () => {
    const held = heldAnswer('Half', ' and half');
    harness.provider.answerWith(held.answer);
    const leave = new AbortController();
    const answer = await harness.fetch(
      '/v1/responses',
      { method: 'POST', body: { input: 'Hi', stream: true } },
      leave.signal,
    );
    const reader = answer.body?.getReader();
    const first = new TextDecoder().decode((await reader?.read())?.value);
    const { id } = sseMessages(first)[0]?.data['response'] as { id: string };
    leave.abort();
    held.finish();
    const text = await streamed(`/v1/responses/${id}?stream=true`);
    expect(terminalOf(framesOf(sseMessages(text)))).toMatchObject({
      status: 'completed',
      output_text: 'Half and half',
    });
  });
});

describe('a client that disconnects from its POST', () => {
  interface Left {
    readonly query?: string;
    readonly fields?: object;
    readonly headers?: Record<string, string>;
  }
  /** Leaves in the middle of an answer. Returns the response's id and the provider's request. */
  const leaves = async ({ query = '', fields = {}, headers = {} }: Left, finish: boolean): Promise<string> => {
    const held = heldAnswer('Half', ' and half');
    harness.provider.answerWith(held.answer);
    const leave = new AbortController();
    const body = { input: 'Hi', stream: true, ...fields };
    const answer = await harness.fetch(`/v1/responses${query}`, { method: 'POST', body, headers }, leave.signal);
    const first = new TextDecoder().decode((await answer.body?.getReader().read())?.value);
    const { id } = sseMessages(first)[0]?.data['response'] as { id: string };
    leave.abort();
    if (finish) held.finish();
    await harness.gateway.gateway.parts.turns.whenIdle();
    held.finish();
    return String((await harness.api(`/v1/responses/${id}`)).body['status']);
  };

  it('cancels the turn of a disconnected client that requested that [REST-22]', async () => {
    const query = '?on_disconnect=cancel';
    expect(await leaves({ query }, false)).toBe('cancelled');
    expect(await leaves({ query, headers: { 'idempotency-key': 'left-1' } }, false)).toBe('cancelled');
  });

  it('cancels a turn on disconnect if no client could retrieve its answer [REST-22]', async () => {
    const fields = { store: false };
    expect(await leaves({ fields }, false)).toBe('cancelled');
    expect(await leaves({ fields, query: '?on_disconnect=continue' }, true)).toBe('completed');
    expect(await leaves({ fields, headers: { 'idempotency-key': 'left-2' } }, true)).toBe('completed');
    const conversation = await harness.conversation();
    expect(await leaves({ fields: { ...fields, conversation } }, true)).toBe('completed');
  });

  it('refuses an invalid on_disconnect [REST-22, REST-5]', async () => {
    const path = '/v1/responses?on_disconnect=';
    for (const [wish, body] of [
      ['perhaps', { input: 'x' }],
      ['cancel', { input: 'x', background: true }],
    ] as const) {
      const refused = await harness.api(`${path}${wish}`, { method: 'POST', body });
      expect(refused).toMatchObject({
        status: 400,
        body: { error: { code: 'invalid_value', param: 'on_disconnect' } },
      });
    }
  });
});

describe('GET /v1/responses/{id}', () => {
  it('returns the current state of the response [REST-10]', async () => {
    const { id, finish } = await running();
    const { body } = await harness.api(`/v1/responses/${id}`);
    expect(body).toMatchObject({ id, status: 'in_progress', output: [{ status: 'in_progress' }], usage: null });
    finish();
    await streamed(`/v1/responses/${id}?stream=true`);
    expect((await harness.api(`/v1/responses/${id}`)).body).toMatchObject({ status: 'completed' });
  });

  it('streams from any number on, then live, and prefers Last-Event-ID [REST-11, REST-12]', async () => {
    const { id, finish } = await running();
    const live = streamed(`/v1/responses/${id}?stream=true&starting_after=2`);
    finish();
    const rest = framesOf(sseMessages(await live));
    const all = framesOf(sseMessages(await streamed(`/v1/responses/${id}?stream=true`)));
    expect(numbersOf(all)).toEqual(upTo(all.length));
    expect(rest).toEqual(all.slice(3));
    expect(framesOf(sseMessages(await streamed(`/v1/responses/${id}?starting_after=2`)))).toEqual(rest);
    expect(
      framesOf(
        sseMessages(await streamed(`/v1/responses/${id}?stream=true&starting_after=0`, { 'last-event-id': '4' })),
      ),
    ).toEqual(all.slice(5));
    expect(
      sseMessages(await streamed(`/v1/responses/${id}?stream=true&starting_after=${all.length - 2}`)),
    ).toHaveLength(1);
  });

  it('refuses invalid parameters [REST-5, REST-11, REST-14, SSE-3]', async () => {
    harness.says('Hello');
    const { body } = await harness.post({ input: 'Hi' });
    const at = `/v1/responses/${String(body['id'])}`;
    for (const [query, code, param] of [
      ['?stream=false&starting_after=1', 'invalid_value', 'starting_after'],
      ['?stream=true&starting_after=x', 'invalid_value', 'starting_after'],
      ['?stream=perhaps', 'invalid_value', 'stream'],
      ['?streem=true', 'unknown_parameter', 'streem'],
      ['?stream=true&starting_after=99', 'invalid_cursor', 'starting_after'],
    ]) {
      const refused = await harness.api(`${at}${query}`);
      expect(refused).toMatchObject({ status: 400, body: { error: { code, param } } });
      expect(refused.headers.get('x-should-retry')).toBe('false');
    }
  });

  it('refuses an unknown query parameter on every route without an input, before it does anything [REST-5]', async () => {
    harness.says('Hello');
    const conversation = await harness.conversation();
    const { body } = await harness.post({ input: 'Hi', conversation });
    const ids: Readonly<Record<string, string>> = { responses: String(body['id']), conversations: conversation };
    for (const route of Object.keys(ROUTE_RULES).filter((name) => !TAKES_AN_INPUT.test(name))) {
      const [method = '', path = ''] = route.split(' ');
      const place = path.replace(/:(\w+)/gu, (parameter) => ids[path.split('/')[2] ?? ''] ?? parameter.slice(1));
      const refused = await harness.api(`${place}?dry_run=true`, { method, ...(method === 'POST' && { body: {} }) });
      expect([route, refused.status, refused.body]).toMatchObject([
        route,
        400,
        { error: { code: 'unknown_parameter', param: 'dry_run' } },
      ]);
    }
    expect((await harness.api(`/v1/responses/${ids['responses']}?on_disconnect=cancel`)).status).toBe(200);
    expect((await harness.api(`/v1/conversations/${conversation}/items?on_disconnect=cancel`)).status).toBe(200);
  });

  it('refuses a stream with 410 when only the response is still stored [REST-13]', async () => {
    harness.says('Hello');
    const { body } = await harness.post({ input: 'Hi' });
    const at = `/v1/responses/${String(body['id'])}`;
    await harness.gateway.gateway.parts.state.events.delete(String(body['id']));
    expect(await harness.api(`${at}?stream=true`)).toMatchObject({
      status: 410,
      body: { error: { code: 'response_expired' } },
    });
    expect((await harness.api(at)).body['output_text']).toBe('Hello');
  });
});

describe('an SSE stream', () => {
  it('keeps a silent SSE stream alive by comments [SSE-1]', async () => {
    const { id, finish } = await running();
    const answer = await harness.fetch(`/v1/responses/${id}?stream=true`);
    const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    while (!text.includes(': keep-alive\n\n')) text += (await reader?.read())?.value ?? '';
    finish();
    for (let part = await reader?.read(); part?.done === false; part = await reader?.read()) text += part.value;
    expect(
      text
        .replaceAll(': keep-alive\n\n', '')
        .trim()
        .split('\n\n')
        .every((block) => block.startsWith('event: ') || block === 'data: [DONE]'),
    ).toBe(true);
    expect(sseMessages(text).at(-1)?.event).toBe('response.completed');
  });

  it.each([-1, 4])(
    'ends a stream with an error, never cleanly, when it is interrupted after event %d [SSE-2]',
    async (after) => {
      const { id, finish } = await running();
      const answer = await harness.fetch(`/v1/responses/${id}?stream=true&starting_after=${after}`);
      const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
      let text = after < 0 ? ((await reader?.read())?.value ?? '') : '';
      await harness.gateway.gateway.parts.state.events.delete(id);
      finish();
      for (let part = await reader?.read(); part?.done === false; part = await reader?.read()) text += part.value;
      const messages = sseMessages(text);
      const last = messages.at(-1);
      expect(last?.event).toBe('error');
      expect(eventMistakes({ type: 'error', ...last?.data }, 'stream')).toEqual([]);
      expect(last?.data).toMatchObject({
        type: 'error',
        sequence_number: Number(messages.at(-2)?.id ?? after) + 1,
        error: { code: expect.any(String), message: expect.stringMatching(/^unable to /u) },
      });
    },
  );

  it('spends no memory on a stream whose reader does not read, and does not affect the turn [SSE-4]', async () => {
    const piece = 'x'.repeat(16 * 1_024);
    harness.provider.answerWith(textAnswer(upTo(600).map(() => piece)));
    const { status, body } = await harness.post({ input: 'Hi', background: true });
    expect(status).toBe(200);
    const id = String(body['id']);
    let most = 0;
    const server = harness.gateway.gateway.app.getHttpServer();
    const watched = once(server, 'connection');
    const raw = connect(harness.gateway.port, '127.0.0.1');
    raw.pause();
    raw.write(`GET /v1/responses/${id}?stream=true HTTP/1.1\r\nhost: x\r\n\r\n`);
    // The server's own end of this connection.
    const [mine] = (await watched) as [{ writableLength: number }];
    const sampler = setInterval(() => (most = Math.max(most, mine.writableLength)), 1);
    while (!['completed', 'failed'].includes(String((await harness.api(`/v1/responses/${id}`)).body['status']))) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    clearInterval(sampler);
    raw.destroy();
    expect((await harness.api(`/v1/responses/${id}`)).body['status']).toBe('completed');
    expect(most).toBeLessThan(1_048_576);
  });
});

describe('the routes of a response', () => {
  it('answers every cancel with the cancelled response [REST-15, REST-16]', async () => {
    const { id } = await running();
    const startedAt = performance.now();
    const cancelled = await harness.api(`/v1/responses/${id}/cancel`, { method: 'POST' });
    expect(performance.now() - startedAt).toBeLessThan(allowed(2_000));
    expect(cancelled).toMatchObject({
      status: 200,
      body: { id, status: 'cancelled', output_text: 'Half', incomplete_details: { reason: 'cancelled' } },
    });
    expect((await harness.api(`/v1/responses/${id}/cancel`, { method: 'POST' })).body).toEqual(cancelled.body);
  });

  it('does not change an ended response by a cancel [REST-16]', async () => {
    harness.says('Hello');
    const { body } = await harness.post({ input: 'Hi' });
    const cancelled = await harness.api(`/v1/responses/${String(body['id'])}/cancel`, { method: 'POST' });
    expect(cancelled).toMatchObject({ status: 200, body });
  });

  it('deletes a response with its events unless it runs [REST-17]', async () => {
    const { id, finish } = await running();
    expect(await harness.api(`/v1/responses/${id}`, { method: 'DELETE' })).toMatchObject({
      status: 409,
      body: { error: { code: 'response_still_running' } },
    });
    finish();
    await streamed(`/v1/responses/${id}?stream=true`);
    const deleted = await harness.api(`/v1/responses/${id}`, { method: 'DELETE' });
    expect(deleted).toMatchObject({ status: 200, body: { id, object: 'response', deleted: true } });
    for (const path of ['', '?stream=true', '/input_items']) {
      expect((await harness.api(`/v1/responses/${id}${path}`)).status).toBe(404);
    }
    expect((await harness.api(`/v1/responses/${id}`, { method: 'DELETE' })).status).toBe(404);
  });

  it('keeps the items of a deleted response in its conversation [REST-17]', async () => {
    const conversation = await harness.conversation();
    harness.says('Four.');
    const { body } = await harness.post({ input: 'Two and two?', conversation });
    await harness.api(`/v1/responses/${String(body['id'])}`, { method: 'DELETE' });
    await harness.post({ input: 'Sure?', conversation });
    expect(harness.provider.requests.at(-1)?.body.messages).toMatchObject([
      { content: 'Two and two?' },
      { content: 'Four.' },
      { content: 'Sure?' },
    ]);
  });

  it('lists the input items of a response in pages, newest first [REST-18]', async () => {
    harness.says('Hello');
    const input = upTo(25).map((i) => ({ role: 'user', content: `${i}` }));
    const { body } = await harness.post({ input });
    const at = `/v1/responses/${String(body['id'])}/input_items`;
    const page = async (query: string): Promise<{ texts: unknown[]; body: Record<string, unknown> }> => {
      const answer = await harness.api(`${at}${query}`);
      expect(answer.status).toBe(200);
      // The list's own shape, which the expectations below hold.
      const data = answer.body['data'] as { id: string; content: { text: string }[] }[];
      expect(answer.body).toMatchObject({ object: 'list', first_id: data[0]?.id, last_id: data.at(-1)?.id });
      return { texts: data.map(({ content }) => Number(content[0]?.text)), body: answer.body };
    };
    const first = await page('');
    expect(first.texts).toEqual(upTo(25).reverse().slice(0, 20));
    expect(first.body['has_more']).toBe(true);
    const second = await page(`?after=${String(first.body['last_id'])}`);
    expect(second.texts).toEqual([4, 3, 2, 1, 0]);
    expect(second.body['has_more']).toBe(false);
    expect((await page('?order=asc&limit=3')).texts).toEqual([0, 1, 2]);
    for (const query of ['?limit=0', '?limit=101', '?order=up', '?page=2']) {
      expect((await harness.api(`${at}${query}`)).status).toBe(400);
    }
  });
});

describe('a repeated request', () => {
  const keyed = (body: object, key: string): ReturnType<GatewayHarness['api']> =>
    harness.api('/v1/responses', { method: 'POST', body, headers: { 'idempotency-key': key } });

  it('returns the same response for one key: at the same time, later, and over a socket [IDEM-1, IDEM-2]', async () => {
    const held = heldAnswer('Once');
    const before = harness.provider.requests.length;
    harness.provider.answerWith(held.answer);
    const both = [
      keyed({ input: 'Hi', metadata: { a: '1', b: '2' } }, 'k1'),
      keyed({ metadata: { b: '2', a: '1' }, input: 'Hi' }, 'k1'),
    ];
    await harness.provider.request(before);
    held.finish();
    const [first, second] = await Promise.all(both);
    expect(first?.body['output_text']).toBe('Once');
    expect(second?.body).toEqual(first?.body);
    const client = await harness.connect();
    const frames = await client.run({ input: 'Hi', metadata: { a: '1', b: '2' }, 'sluice:idempotency_key': 'k1' });
    expect(terminalOf(frames).id).toBe(first?.body['id']);
    expect(numbersOf(frames)).toEqual(upTo(frames.length));
    expect(harness.provider.requests.length - before).toBe(1);
  });

  it('refuses a repeated request with another body with 409, without a retry [IDEM-2, ERR-3]', async () => {
    harness.says('Once');
    await keyed({ input: 'Hi' }, 'k2');
    const other = await keyed({ input: 'Hi!' }, 'k2');
    expect(other).toMatchObject({ status: 409, body: { error: { code: 'idempotency_key_reused' } } });
    expect(other.headers.get('x-should-retry')).toBe('false');
    expect(other.headers.get('retry-after')).toBeNull();
  });

  it('refuses a repeated request whose response was deleted, and calls the provider once [IDEM-5]', async () => {
    harness.says('Once');
    const before = harness.provider.requests.length;
    const { body } = await keyed({ input: 'Hi' }, 'k-deleted');
    await harness.api(`/v1/responses/${String(body['id'])}`, { method: 'DELETE' });
    for (const stream of [false, true]) {
      const again = await keyed({ input: 'Hi', stream }, 'k-deleted');
      expect(again).toMatchObject({ status: 410, body: { error: { code: 'response_expired' } } });
      expect(again.headers.get('x-should-retry')).toBe('false');
    }
    expect(harness.provider.requests.length - before).toBe(1);
  });

  it('accepts the idempotency key of a refused request again, but no invalid key [IDEM-3]', async () => {
    expect((await keyed({ input: 'Hi' }, 'a b')).status).toBe(400);
    expect((await keyed({ input: 'Hi' }, 'k'.repeat(256))).status).toBe(400);
    expect((await keyed({ input: 'Hi', model: 'unknown' }, 'k3')).status).toBe(404);
    harness.says('Now');
    expect((await keyed({ input: 'Hi' }, 'k3')).body['output_text']).toBe('Now');
  });
});

describe('a request that no route handles', () => {
  it('refuses a body that is not JSON, no object, not UTF-8, or of another type [REST-2, ERR-1]', async () => {
    const send = (body: string, type = 'application/json'): ReturnType<GatewayHarness['api']> =>
      harness.api('/v1/responses', { method: 'POST', body, headers: { 'content-type': type } });
    expect(await send('{"input":')).toMatchObject({ status: 400, body: { error: { code: 'invalid_json' } } });
    expect(await send('[]')).toMatchObject({ status: 400, body: { error: { code: 'invalid_request' } } });
    expect(await send('input=x', 'text/plain')).toMatchObject({
      status: 415,
      body: { error: { code: 'unsupported_media_type' } },
    });
    const raw = await fetch(`${harness.gateway.url}/v1/responses`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: Buffer.from([0x22, 0xff, 0x22]),
    });
    expect(raw.status).toBe(400);
  });

  it('refuses a body above the size limit [REST-3]', async () => {
    const large = await harness.post({ input: 'x'.repeat(64 * 1_024) });
    expect(large).toMatchObject({ status: 413, body: { error: { code: 'payload_too_large' } } });
    expect(String((large.body['error'] as { message: string }).message)).not.toContain('1 MiB');
  });

  it('refuses unknown paths and methods with a request id [REST-4, REST-1]', async () => {
    const unknown = await harness.api('/v1/nothing');
    expect(unknown).toMatchObject({
      status: 404,
      body: { error: { code: 'not_found', type: 'not_found_error', param: null } },
    });
    expect(unknown.headers.get('x-request-id')).toMatch(/^req_/u);
    const method = await harness.api('/v1/responses', { method: 'PUT' });
    expect(method).toMatchObject({ status: 405, body: { error: { code: 'method_not_allowed' } } });
    expect(method.headers.get('allow')).toBe('POST');
  });

  it('refuses with the status of the code, and with whether to retry [ERR-1, ERR-2, ERR-3]', async () => {
    for (const answer of [
      await harness.api('/v1/nothing'),
      await harness.post({}),
      await harness.api('/v1/responses/resp_1'),
    ]) {
      const { error } = answer.body as { error: Record<string, unknown> };
      expect(Object.keys(error).sort()).toEqual(['code', 'message', 'param', 'type']);
      expect(error['message']).toMatch(/^unable to .+; .+/u);
      expect(answer.headers.get('x-should-retry')).toBe('false');
    }
  });
});

describe('GET /v1/models', () => {
  it('lists the provider’s models and answers others with 404 [REST-19]', async () => {
    const { body } = await harness.api('/v1/models');
    expect(body).toMatchObject({ object: 'list', data: [{ id: 'fake-model', object: 'model' }] });
    expect((await harness.api('/v1/models/fake-model')).body).toMatchObject({ id: 'fake-model' });
    expect(await harness.api('/v1/models/unknown')).toMatchObject({
      status: 404,
      body: { error: { code: 'model_not_found' } },
    });
  });
});

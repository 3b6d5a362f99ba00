/* Limits at the edges, as clients meet them. */

import { afterEach, describe, expect, it } from '@jest/globals';
import { GatewayHarness, heldAnswer } from '../support/gateway-harness.js';

let harness: GatewayHarness;
afterEach(() => harness.close());

describe('the limit of operations a minute', () => {
  it('refuses every operation over REST once the bucket is empty, and admits turns still [LIMIT-7]', async () => {
    harness = await GatewayHarness.start({ config: { limits: { per_user: { operations_per_minute: 5 } } } });
    harness.says('Hello');
    const turn = await harness.post({ input: 'Hi' });
    const id = String(turn.body['id']);
    const conversation = await harness.api('/v1/conversations', { method: 'POST', body: {} });
    const at = `/v1/conversations/${String(conversation.body['id'])}`;
    const reads = [at, `${at}/items`, '/v1/conversations', `/v1/responses/${id}`];
    for (const path of reads) expect(await harness.api(path)).toMatchObject({ status: 200 });

    const refused = [
      await harness.api('/v1/conversations', { method: 'POST', body: {} }),
      await harness.api(at, { method: 'POST', body: { metadata: {} } }),
      await harness.api(`${at}/items`, { method: 'POST', body: { items: [] } }),
      await harness.api(at, { method: 'DELETE' }),
      ...(await Promise.all(reads.map((path) => harness.api(path)))),
      await harness.api(`/v1/responses/${id}?stream=true`),
      await harness.api(`/v1/responses/${id}/input_items`),
      await harness.api(`/v1/responses/${id}/cancel`, { method: 'POST' }),
      await harness.api(`/v1/responses/${id}`, { method: 'DELETE' }),
      await harness.api('/v1/models'),
      await harness.api('/v1/prompts'),
    ];
    for (const { status, body, headers } of refused) {
      expect(status).toBe(429);
      expect(body).toMatchObject({ error: { code: 'rate_limit_exceeded', type: 'rate_limit_error', param: null } });
      expect(Number(headers.get('retry-after'))).toBeLessThanOrEqual(12);
      expect(Number(headers.get('retry-after-ms'))).toBeGreaterThan(0);
    }
    expect(await harness.gateway.metric('sluice_operations_refused_total')).toBe(refused.length);
    expect((await harness.post({ input: 'Hi' })).status).toBe(200);
  });

  it('counts one more operation for each 64 KiB of a body [LIMIT-7]', async () => {
    harness = await GatewayHarness.start({ config: { limits: { per_user: { operations_per_minute: 3 } } } });
    const content = 'x'.repeat(2 * 65_536);
    const body = { items: [{ role: 'user', content }] };
    expect(await harness.api('/v1/conversations', { method: 'POST', body })).toMatchObject({ status: 200 });
    expect(await harness.api('/v1/conversations')).toMatchObject({ status: 429 });
  });
});

describe('the turn room of a replica', () => {
  it('refuses turns over REST, chat completions and sockets above the number, and /ready agrees [LIMIT-8, OPS-2]', async () => {
    harness = await GatewayHarness.start({ config: { limits: { turns: 1 } } });
    const held = heldAnswer('Half', ' and half');
    harness.provider.answerWith(held.answer);
    const ready = async (): Promise<unknown> => (await fetch(`${harness.gateway.opsUrl}/ready`)).json();
    expect(await ready()).toEqual({ status: 'ready' });
    const socket = await harness.connect();
    const running = await harness.post({ input: 'Hi', background: true });
    expect(running.status).toBe(200);

    const refused = [
      await harness.post({ input: 'Hi' }),
      await harness.post({ input: 'Hi', background: true }),
      await harness.post({ input: 'Hi', stream: true }),
      await harness.api('/v1/chat/completions', {
        method: 'POST',
        body: { model: 'test', messages: [{ role: 'user', content: 'Hi' }] },
      }),
    ];
    for (const { status, body, headers } of refused) {
      expect(status).toBe(503);
      expect(body).toMatchObject({ error: { code: 'overloaded', type: 'server_error' } });
      expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
      expect(headers.get('x-should-retry')).not.toBe('false');
    }
    socket.send({ type: 'response.create', input: 'Hi' });
    expect(await socket.until('error')).toMatchObject({ error: { code: 'overloaded' } });
    expect(await ready()).toMatchObject({ status: 'not ready', reason: 'overloaded' });
    expect(await harness.gateway.metric('sluice_refusals_total{code="overloaded"}')).toBe(5);

    held.finish();
    socket.send({ type: 'sluice:resume', response_id: running.body['id'], starting_after: -1 });
    await socket.until('response.completed');
    // The place is free before the terminal is sent.
    harness.says('Hello');
    expect((await harness.post({ input: 'Hi' })).status).toBe(200);
    expect(await ready()).toEqual({ status: 'ready' });
  });

  it('refuses turns whose input is larger than what is left of limits.turn_bytes [LIMIT-8]', async () => {
    harness = await GatewayHarness.start({ config: { limits: { turn_bytes: '128KiB' } } });
    const held = heldAnswer('Half', ' and half');
    harness.provider.answerWith(held.answer);
    expect((await harness.post({ input: 'x'.repeat(80_000), background: true })).status).toBe(200);
    const refused = await harness.post({ input: 'x'.repeat(80_000) });
    expect(refused).toMatchObject({ status: 503, body: { error: { code: 'overloaded' } } });
    expect((await harness.post({ input: 'Hi', background: true })).status).toBe(200);
    held.finish();
  });
});

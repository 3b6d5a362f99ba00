/* Turns for which no provider can be called: refused before anything is stored. */

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { startGateway, type TestGateway } from '../support/gateway.js';
import { FakeOpenAiServer } from '../support/fake-openai-server.js';

let provider: FakeOpenAiServer;
let gateway: TestGateway;
beforeEach(async () => {
  provider = await FakeOpenAiServer.start();
});
afterEach(async () => {
  await gateway.close();
  await provider.close();
});

async function start(step: object): Promise<void> {
  gateway = await startGateway({
    config: {
      provider: { type: 'openai', model: 'm', base_url: provider.baseUrl },
      middleware: { provider: step },
    },
  });
}

function post(path: string, body: object): Promise<Response> {
  return fetch(`${gateway.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
}
const create = (): Promise<Response> => post('/v1/responses', { input: 'Hi' });

describe('a turn for which no provider can be called', () => {
  it('refuses a turn with 503 while the breaker is open, calls no provider, stores nothing and logs one line [LIMIT-10] [END-12]', async () => {
    await start({ retry: { max_attempts: 1 }, breaker: { failures: 1, open_for: '1h' } });
    provider.answerWith({ status: 500 });
    const failed = await create();
    expect(failed.status).toBe(502);
    expect(await failed.json()).toMatchObject({ error: { code: 'server_error', response_id: expect.any(String) } });
    const refusals = await Promise.all([create(), create(), post('/v1/chat/completions', CHAT)]);
    for (const refusal of refusals) {
      expect(refusal.status).toBe(503);
      expect(Number(refusal.headers.get('retry-after'))).toBeGreaterThan(3_000);
      expect(await refusal.json()).toMatchObject({ error: { code: 'provider_unavailable' } });
    }
    expect(provider.requests).toHaveLength(1);
    expect(gateway.lines.filter((line) => line.includes('while the provider is paused'))).toHaveLength(1);
    expect(await gateway.metric('sluice_requests_total{status="refused"}')).toBe(3);
    expect(await gateway.metric('sluice_requests_total{status="error"}')).toBe(1);
  });

  it('accepts turns again when the provider is back, and the gauge follows [LIMIT-10]', async () => {
    await start({ retry: { max_attempts: 1 }, breaker: { failures: 1, open_for: '1s' } });
    provider.answerWith({ status: 500 });
    await create();
    provider.answerWith({ status: 200, headers: { 'content-type': 'application/json' }, body: WHOLE });
    let answer = await create();
    while (answer.status === 503) {
      await new Promise((resolve) => setTimeout(resolve, Number(answer.headers.get('retry-after-ms'))));
      answer = await create();
    }
    expect(await answer.json()).toMatchObject({ status: 'completed' });
    expect(await gateway.metric('sluice_breaker_state{provider="openai"}')).toBe(0);
  });

  it('refuses a turn with 429 when our own limit of calls to the provider is used up [LIMIT-10]', async () => {
    await start({ rate_limit: { requests_per_minute: 1, burst: 1, max_wait: '0ms' } });
    expect((await create()).status).toBe(200);
    const refusal = await create();
    expect(refusal.status).toBe(429);
    expect(Number(refusal.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(await refusal.json()).toMatchObject({ error: { code: 'rate_limit_exceeded' } });
    expect(provider.requests).toHaveLength(1);
    expect(await gateway.metric('sluice_requests_total{status="refused"}')).toBe(1);
  });
});

const CHAT = { model: 'm', messages: [{ role: 'user', content: 'Hi' }] };
const WHOLE = { choices: [{ index: 0, message: { content: 'Hello' }, finish_reason: 'stop' }] };

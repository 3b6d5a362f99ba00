/* The log lines and metrics of a turn: ids, durations and counts, and never message text. */

import { afterEach, describe, expect, it } from '@jest/globals';
import { SluiceError } from '../../../src/domain/errors.js';
import { composeProvider } from '../../../src/provider/compose-provider.js';
import { fail, say, ScriptedProvider } from '../../support/scripted-provider.js';
import { ALICE, requestOf, TurnHarness } from './turn-harness.js';

let harness: TurnHarness;
afterEach(() => harness.close());

describe('TurnReport', () => {
  it('logs the request and its end with all ids', async () => {
    harness = new TurnHarness({ answers: [[say('secret answer')]] });
    const conversation = await harness.conversation();
    const id = await harness.play(requestOf('secret question', { conversation }));
    const ids = { request_id: 'req_1', response_id: id, conversation_id: conversation, user_id: 'alice' };
    expect(harness.log.lines).toMatchObject([
      { level: 'info', message: 'request received', fields: { ...ids, method: 'WS', path: '/v1/responses' } },
      {
        level: 'info',
        message: 'request completed',
        fields: { ...ids, duration: expect.any(Number), output_tokens: 1, cost: 0.5, outcome: 'completed' },
      },
    ]);
    expect(JSON.stringify(harness.log.lines)).not.toContain('secret');
    expect(await harness.metric('requests_total{status="success"}')).toBe(1);
    expect(await harness.metric('tokens_total{direction="output",model="model-a"}')).toBe(1);
    expect(await harness.metric('llm_cost_usd{model="model-a"}')).toBe(0.5);
    expect(await harness.metric('time_to_first_delta_seconds_count{delivery="stream"}')).toBe(1);
    expect(await harness.metric('turns_in_flight')).toBe(0);
  });

  it('logs the cause of a failed turn', async () => {
    harness = new TurnHarness({ answers: [[fail('provider_unavailable')]] });
    await harness.play(requestOf('Hi'));
    expect(harness.log.lines.at(-1)).toMatchObject({
      level: 'error',
      message: 'request failed',
      fields: { error: 'provider_unavailable', outcome: 'failed', err: { code: 'provider_unavailable' } },
    });
    expect(await harness.metric('requests_total{status="error"}')).toBe(1);
    expect(await harness.metric('failures_total{code="provider_unavailable"}')).toBe(1);
  });

  it('counts the limit of a provider as an error and the mistake of a caller as refused', async () => {
    harness = new TurnHarness({ answers: [[fail('rate_limit_exceeded')]] });
    await harness.play(requestOf('Hi'));
    expect(await harness.metric('requests_total{status="error"}')).toBe(1);
    harness.report.refused({
      requestId: 'req_2',
      method: 'POST',
      endpoint: '/v1/responses',
      address: '10.0.0.7',
      caller: ALICE,
      durationMs: 1,
      error: new SluiceError('invalid_value', 'unable to do it; no'),
    });
    expect(await harness.metric('requests_total{status="refused"}')).toBe(1);
    expect(await harness.metric('refusals_total{code="invalid_value"}')).toBe(1);
    expect(await harness.metric('failures_total{code="rate_limit_exceeded"}')).toBe(1);
    expect(await harness.metric('failures_total{code="invalid_value"}')).toBe(0);
    expect(harness.log.lines.at(-1)).toMatchObject({ level: 'warn', message: 'request failed' });
  });

  it("counts a running turn as refused if the gateway's own rate limit lets no call through", async () => {
    const full = { take: () => Promise.resolve({ allowed: false, retryAfterMs: 60_000 }) };
    harness = new TurnHarness({
      provider: composeProvider([{ name: 'main', provider: new ScriptedProvider([[say('Hi')]]), budget: full }])
        .provider,
    });
    const id = await harness.play(requestOf('Hi'));
    expect((await harness.events(id)).at(-1)).toMatchObject({
      type: 'response.failed',
      response: { error: { code: 'rate_limit_exceeded' } },
    });
    expect(await harness.metric('requests_total{status="refused"}')).toBe(1);
    expect(await harness.metric('requests_total{status="error"}')).toBe(0);
    expect(await harness.metric('failures_total{code="rate_limit_exceeded"}')).toBe(0);
    expect(harness.log.lines.at(-1)).toMatchObject({ level: 'warn', message: 'request failed' });
  });

  it.each([
    ['draining', 'refused'],
    ['overloaded', 'refused'],
    ['server_error', 'error'],
    ['state_unavailable', 'error'],
  ] as const)('counts %s before there is a response as %s', async (code, status) => {
    harness = new TurnHarness();
    harness.report.refused({
      requestId: 'req_2',
      method: 'WS',
      endpoint: 'ws',
      address: '10.0.0.7',
      caller: undefined,
      durationMs: 1,
      error: new SluiceError(code, 'unable to do it; no'),
    });
    expect(await harness.metric(`requests_total{status="${status}"}`)).toBe(1);
    expect(await harness.metric(`failures_total{code="${code}"}`)).toBe(status === 'error' ? 1 : 0);
    expect(harness.log.lines.at(-1)?.fields).toMatchObject({ user_id: null, error: code });
  });
});

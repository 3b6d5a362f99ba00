import { describe, expect, it } from '@jest/globals';
import { FAILURE_CODES, LABEL_VALUES_MAX, METRICS } from '../../../src/observability/metric-table.js';
import { Metrics, metricPrefix } from '../../../src/observability/metrics.js';
import { ERROR_CODES } from '../../../src/domain/errors.js';
import { GUARDRAIL_TYPES } from '../../../src/validation/kinds.js';

/** Codes that ask the client to retry; nothing has failed. */
const NOT_OURS = ['auth_unavailable', 'draining', 'overloaded'];

const make = () => new Metrics({ prefix: metricPrefix('support-bot'), version: '1.0.0' });
const linesOf = async (metrics: Metrics, name: string) =>
  (await metrics.render()).split('\n').filter((line) => /^[^ {]+/u.exec(line)?.[0] === `support_bot_${name}`);

describe('metrics', () => {
  it('names metrics with the prefix of the deployment and the documented names', async () => {
    const text = await make().render();
    for (const name of [
      'requests_total',
      'request_duration_seconds',
      'llm_cost_usd',
      'time_to_first_delta_seconds',
      'connections',
      'build_info',
    ]) {
      expect(text).toContain(`# TYPE support_bot_${name} `);
    }
    expect(make().contentType).toContain('text/plain');
  });

  it('counts, gauges and observes values in metrics', async () => {
    const metrics = make();
    metrics.of.requests_total.inc({ status: 'success' });
    metrics.of.llm_cost_usd.inc({ model: 'gpt-4o' }, 0.25);
    metrics.of.connections.inc();
    metrics.of.connections.inc();
    metrics.of.connections.dec();
    metrics.of.breaker_state.set({ provider: 'openai' }, 2);
    metrics.of.request_duration_seconds.observe({ endpoint: 'ws', delivery: 'stream' }, 4.2);
    metrics.of.time_to_first_delta_seconds.observe({ delivery: 'stream' }, 0.3);
    metrics.of.response_deltas_total.inc(7);
    const text = await metrics.render();
    expect(text).toContain('support_bot_requests_total{status="success"} 1');
    expect(text).toContain('support_bot_llm_cost_usd{model="gpt-4o"} 0.25');
    expect(text).toContain('support_bot_connections 1');
    expect(text).toContain('support_bot_breaker_state{provider="openai"} 2');
    expect(text).toContain('support_bot_request_duration_seconds_bucket{le="3",endpoint="ws",delivery="stream"} 0');
    expect(text).toContain('support_bot_request_duration_seconds_bucket{le="5",endpoint="ws",delivery="stream"} 1');
    expect(text).toContain('support_bot_time_to_first_delta_seconds_bucket{le="0.35",delivery="stream"} 1');
    expect(text).toContain('support_bot_response_deltas_total 7');
    expect(text).toContain('support_bot_build_info{version="1.0.0",revision="unknown",deployment=""} 1');
  });

  it('exports series of listed labels from the start, so that the first error is an increase', async () => {
    expect(await linesOf(make(), 'requests_total')).toEqual(
      ['success', 'error', 'refused', 'cancelled'].map((status) => `support_bot_requests_total{status="${status}"} 0`),
    );
  });

  it('exports series of known values of open labels from the start', async () => {
    const metrics = make();
    const failing = Object.entries(ERROR_CODES).filter(
      ([code, { status }]) => status >= 500 && !NOT_OURS.includes(code),
    );
    expect(new Set(FAILURE_CODES)).toEqual(new Set([...failing.map(([code]) => code), 'rate_limit_exceeded']));
    for (const code of FAILURE_CODES)
      expect(await linesOf(metrics, 'failures_total')).toContain(`support_bot_failures_total{code="${code}"} 0`);
    expect(new Set(METRICS.guardrail_findings_total.begins.guardrail)).toEqual(new Set(GUARDRAIL_TYPES));
    expect(await linesOf(metrics, 'guardrail_findings_total')).toHaveLength(GUARDRAIL_TYPES.length * 2 * 3);
    expect(await linesOf(metrics, 'refusals_total')).toHaveLength(Object.keys(ERROR_CODES).length);
    // Other values are counted too.
    metrics.of.websocket_closes_total.inc({ code: 4000 });
    expect(await linesOf(metrics, 'websocket_closes_total')).toContain(
      'support_bot_websocket_closes_total{code="4000"} 1',
    );
  });

  it('bounds the number of series for any label values', async () => {
    const metrics = make();
    for (let i = 0; i < LABEL_VALUES_MAX * 3; i++) metrics.of.llm_cost_usd.inc({ model: `model-${i}` }, 1);
    // A caller that ignores the type.
    metrics.of.requests_total.inc({ status: 'invented' as 'error' });
    const models = await linesOf(metrics, 'llm_cost_usd');
    expect(models).toHaveLength(LABEL_VALUES_MAX + 1);
    expect(models).toContain(`support_bot_llm_cost_usd{model="other"} ${LABEL_VALUES_MAX * 2}`);
    expect(await linesOf(metrics, 'requests_total')).toHaveLength(5);
  });

  it('keeps two instances in one process apart', async () => {
    const [a, b] = [make(), make()];
    a.of.connections.inc();
    expect(await linesOf(b, 'connections')).toEqual(['support_bot_connections 0']);
  });

  it('gives every metric a help text, and buckets that cover long streams', () => {
    for (const row of Object.values(METRICS)) expect(row.help.length).toBeGreaterThan(10);
    expect(METRICS.time_to_first_delta_seconds.buckets[0]).toBe(0.05);
    expect(METRICS.time_to_first_delta_seconds.buckets.at(-1)).toBe(30);
    expect(METRICS.request_duration_seconds.buckets.at(-1)).toBe(120);
  });
});

/* The exposition in OpenMetrics: the names of the text format, and exemplars. */

import { describe, expect, it } from '@jest/globals';
import { Metrics } from '../../../src/observability/metrics.js';

const TRACE = '0af7651916cd43dd8448eb211c80319c';

function observed(): Metrics {
  const metrics = new Metrics({ prefix: 'bot_', version: '1.0.0', deployment: 'a "b" \\ c' });
  metrics.of.requests_total.inc({ status: 'success' });
  metrics.of.llm_cost_usd.inc({ model: 'gpt-4o' }, 0.25);
  metrics.of.request_duration_seconds.observe({ endpoint: 'ws', delivery: 'stream' }, 4.2, TRACE);
  metrics.of.request_duration_seconds.observe({ endpoint: 'ws', delivery: 'stream' }, 500, null);
  metrics.of.append_duration_seconds.observe(0.002);
  return metrics;
}

/** Names and labels of the samples of an exposition. */
function seriesOf(body: string): string[] {
  return body
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.replace(/ [^ ]+( # .*)?$/, ''));
}

describe('OpenMetrics', () => {
  it('writes the series of the text format as OpenMetrics, and leaves the text format unchanged', async () => {
    const metrics = observed();
    const text = await metrics.exposition('text');
    const open = await metrics.exposition('openmetrics');
    expect(open.contentType).toBe('application/openmetrics-text; version=1.0.0; charset=utf-8');
    expect(seriesOf(open.body)).toEqual(seriesOf(text.body));
    expect(await metrics.exposition('text')).toEqual(text);
    expect(text.contentType).toContain('text/plain');
    expect(text.body).not.toContain(TRACE);
  });

  it('declares a counter without its suffix, and one without a suffix as unknown', async () => {
    const { body } = await observed().exposition('openmetrics');
    expect(body).toContain('\n# TYPE bot_llm_cost_usd unknown\n');
    expect(body).toContain('\nbot_llm_cost_usd{model="gpt-4o"} 0.25\n');
    expect(body).toMatch(
      /^# TYPE bot_requests counter\n# HELP bot_requests .*\nbot_requests_total\{status="success"\} 1\n/,
    );
    expect(body).toMatch(/[^\n]\n# EOF\n$/);
    expect(body).not.toContain('\n\n');
  });

  it('gives the trace of an observation as the exemplar of its bucket only', async () => {
    const { body } = await observed().exposition('openmetrics');
    const examples = body.split('\n').filter((line) => / # \{/.test(line));
    expect(examples).toEqual([
      expect.stringMatching(
        new RegExp(
          `^bot_request_duration_seconds_bucket\\{le="5",.*\\} 1 # \\{trace_id="${TRACE}"\\} 4\\.2 \\d+(\\.\\d+)?$`,
        ),
      ),
    ]);
  });
});

/* Lost spans: each one counted, one line a minute. */

import { expect, it } from '@jest/globals';
import { droppedSpans } from '../../../src/observability/dropped-spans.js';
import { Metrics } from '../../../src/observability/metrics.js';
import { HandTime } from '../../support/hand-time.js';

it('counts every lost span and logs one line a minute with their number', async () => {
  const time = new HandTime();
  const metrics = new Metrics({ prefix: 'sluice_', version: '1' });
  const lines: object[] = [];
  const dropped = droppedSpans(
    'http://collector:4318/v1/traces',
    { warn: (fields) => lines.push(fields) },
    metrics,
    time,
  );
  dropped(5);
  dropped(7);
  time.pass(59_999);
  dropped(1);
  time.pass(1);
  dropped(2);
  expect(lines).toEqual([
    { spans: 5, collector: 'collector:4318' },
    { spans: 10, collector: 'collector:4318' },
  ]);
  expect(await metrics.render()).toContain('sluice_spans_dropped_total 15');
});

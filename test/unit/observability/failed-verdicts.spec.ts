/* Failed verdicts of guardrails: each one counted, one line a minute for each judge. */

import { expect, it } from '@jest/globals';
import { reportVerdicts } from '../../../src/observability/failed-verdicts.js';
import { Metrics } from '../../../src/observability/metrics.js';
import { HandTime } from '../../support/hand-time.js';

it('counts every verdict and logs failures of each judge once a minute with their number', async () => {
  const time = new HandTime();
  const metrics = new Metrics({ prefix: 'sluice_', version: '1' });
  const lines: object[] = [];
  const report = reportVerdicts({ warn: (fields) => lines.push(fields) }, metrics, time);
  const away = new Error('the moderation endpoint answered 500');
  report('moderation');
  report('moderation', away);
  report('model', away);
  report('moderation', away);
  time.pass(59_999);
  report('moderation', away);
  time.pass(1);
  report('moderation', away);
  expect(lines).toEqual([
    { judge: 'moderation', verdicts: 1, err: away },
    { judge: 'model', verdicts: 1, err: away },
    { judge: 'moderation', verdicts: 3, err: away },
  ]);
  const rendered = await metrics.render();
  expect(rendered).toContain('sluice_guardrail_verdicts_total{judge="moderation",outcome="given"} 1');
  expect(rendered).toContain('sluice_guardrail_verdicts_total{judge="moderation",outcome="failed"} 4');
  expect(rendered).toContain('sluice_guardrail_verdicts_total{judge="model",outcome="failed"} 1');
});

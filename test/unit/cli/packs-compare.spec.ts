import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { wilson } from '../../../src/cli/packs-compare.js';
import { Metrics } from '../../../src/observability/metrics.js';
import { countPromptTurn } from '../../../src/turn/prompt-report.js';
import { runCommand } from '../../support/cli.js';
import { Workspace } from '../config/workspace.js';

let at: Workspace;
beforeAll(async () => {
  at = new Workspace();
  for (const replica of ['a', 'b']) {
    const metrics = new Metrics({ prefix: 'my_bot', version: '1.0.0' });
    const turn = (version: string, outcome: 'completed' | 'failed', firstDeltaMs: number, costUsd: number): void =>
      countPromptTurn(metrics, {
        prompt: { pack: 'shop', name: 'greet', version },
        source: 'live',
        outcome,
        firstDeltaMs,
        costUsd,
        findings: outcome === 'failed' ? [{ decision: 'note' }] : [],
      });
    for (let i = 0; i < 100; i++) turn('1.0.0', i < 90 ? 'completed' : 'failed', 300, 0.002);
    for (let i = 0; i < 50; i++) turn('1.1.0', 'completed', 1_200, 0.004);
    at.write(`${replica}.txt`, await metrics.registry.metrics());
  }
});
afterAll(() => at.remove());

const run = (...argv: string[]) => {
  const files = ['a', 'b'].flatMap((name) => ['--metrics', `${at.cwd}/${name}.txt`]);
  return runCommand(['packs', 'compare', ...argv, ...files], { cwd: at.cwd });
};

describe('sluice packs compare', () => {
  it('adds up the replicas, and gives counts and intervals of each version', async () => {
    const { code, out } = await run('shop/greet', '--json');
    expect(code).toBe(0);
    const { versions } = JSON.parse(out) as {
      versions: Record<string, { value: number; interval: [number, number]; count: number }>[];
    };
    expect(versions).toMatchObject([
      {
        version: '1.0.0',
        turns: 200,
        completed: { value: 0.9, count: 200 },
        failed: { value: 0.1 },
        findings_per_turn: { value: 0.1 },
        cost_mean_usd: { value: expect.closeTo(0.002, 6), count: 200 },
      },
      { version: '1.1.0', turns: 100, completed: { value: 1 }, cost_mean_usd: { value: expect.closeTo(0.004, 6) } },
    ]);
    for (const figures of versions) {
      for (const { value, interval } of Object.values(figures).filter((one) => typeof one === 'object')) {
        expect(interval[0]).toBeLessThanOrEqual(value);
        expect(interval[1]).toBeGreaterThanOrEqual(value);
      }
    }
    expect(versions[0]?.['first_delta_p95_seconds']?.value).toBeLessThan(0.36);
    expect(versions[1]?.['first_delta_p50_seconds']?.value).toBeGreaterThan(1);
  });

  it('prints a table of the chosen versions', async () => {
    const { out } = await run('shop/greet', '1.1.0', '1.0.0');
    expect(out).toMatch(/^shop\/greet +1\.1\.0 \(100 turns\) +1\.0\.0 \(200 turns\)\n/);
    expect(out).toMatch(/completed +100\.0 % \[96\.3 %, 100\.0 %\] n=100 +90\.0 % \[85\.1 %, 93\.4 %\] n=200/);
    expect(out).toMatch(/cost per turn +\$0\.00400/);
  });

  it('reports a version or a page that is not there', async () => {
    expect(await run('shop/greet', '2.0.0')).toMatchObject({
      code: 1,
      err: expect.stringContaining('known are 1.0.0, 1.1.0'),
    });
    expect(await run('shop/other')).toMatchObject({ code: 1, err: expect.stringContaining('no turns') });
    expect(await run('shop/greet', '--metrics', '/nowhere')).toMatchObject({
      code: 1,
      err: expect.stringContaining('ENOENT'),
    });
    expect((await run('shop/greet', '--source', 'dead')).code).toBe(64);
  });
});

describe('wilson', () => {
  it('gives the known interval of a share', () => {
    const { value, interval } = wilson(8, 10);
    expect([value, ...(interval ?? [])]).toEqual([0.8, expect.closeTo(0.4902, 3), expect.closeTo(0.9433, 3)]);
  });
});

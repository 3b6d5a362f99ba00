/* The durations of spec files that a run records, and the order that the next run makes of them. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, describe, expect, it } from '@jest/globals';
// @ts-expect-error The scripts run before anything is compiled, so they have no types.
import { readDurations as untypedRead, recordDurations as untypedRecord } from '../../../scripts/lib/durations.mjs';
// @ts-expect-error The scripts run before anything is compiled, so they have no types.
import { order as untypedOrder } from '../../../scripts/lib/longest-first.mjs';

type Durations = Readonly<Record<string, number>>;
const readDurations = untypedRead as (file: string) => Durations;
const recordDurations = untypedRecord as (ended: readonly { file: string; ms: number }[], file: string) => void;
interface Test {
  readonly path: string;
  readonly context: { readonly config: { readonly displayName: { readonly name: string } } };
}
const order = untypedOrder as (tests: readonly Test[], durations: Durations, helmIsMissing: boolean) => Test[];

const folder = mkdtempSync(join(tmpdir(), 'sluice-durations-'));
afterAll(() => rmSync(folder, { recursive: true }));

const test = (file: string): Test => ({
  path: resolve(file),
  context: { config: { displayName: { name: file.split('/')[1] ?? '' } } },
});
const files = (tests: readonly Test[]) => tests.map(({ path }) => path.slice(resolve('.').length + 1));

describe('recorded durations', () => {
  it('are empty before the first run, and keep files that did not run again', () => {
    const file = join(folder, 'new/durations.json');
    expect(readDurations(file)).toEqual({});
    recordDurations([{ file: 'a', ms: 1 }], file);
    recordDurations([{ file: 'b', ms: 2 }], file);
    recordDurations([{ file: 'b', ms: 3 }], file);
    expect(readDurations(file)).toEqual({ a: 1, b: 3 });
  });
});

describe('the order of spec files', () => {
  const [chaos, chart, rules, unit] = [
    'test/chaos/chaos.spec.ts',
    'test/operations/chart.spec.ts',
    'test/operations/rules.spec.ts',
    'test/unit/scripts/durations.spec.ts',
  ];
  const tests = [unit, chart, rules, chaos].map(test);

  it('starts with the suites of long files before the first run', () => {
    expect(files(order(tests, {}, false))).toEqual([chaos, unit, rules, chart]);
  });

  it('starts with files that usually take longer than their suite before the first run', () => {
    const [longer, contract, rest] = [
      'test/unit/protocol/largest-requests.spec.ts',
      'test/contract/redis-trouble.spec.ts',
      'test/unit/rest/rest.spec.ts',
    ];
    expect(files(order([rest, contract, longer].map(test), {}, false))).toEqual([longer, contract, rest]);
  });

  it('starts with the files that took longest, those with processes and others in turn', () => {
    expect(files(order(tests, { [unit]: 500_000, [chaos]: 10, [chart]: 20 }, false))).toEqual([
      rules,
      unit,
      chart,
      chaos,
    ]);
  });

  it('spreads the files without processes over the whole run', () => {
    const system = ['audit-log', 'auth-guide', 'replicas', 'start'].map((name) => `test/system/${name}.spec.ts`);
    const contract = ['memory', 'open-state'].map((name) => `test/contract/${name}.spec.ts`);
    const suites = files(order([...contract, ...system].map(test), {}, false)).map((file) => file.split('/')[1]);
    expect(suites).toEqual(['system', 'contract', 'system', 'system', 'contract', 'system']);
  });

  it('ends with the files that need Helm while it is being built', () => {
    expect(files(order(tests, { [chart]: 500_000 }, true))).toEqual([chaos, unit, rules, chart]);
  });
});

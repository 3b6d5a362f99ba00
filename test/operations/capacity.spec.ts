/*
 * The arithmetic of capacity: by hand, from what the bench writes, and as the page shows it. What a
 * million sockets really need is tested nowhere.
 */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from '@jest/globals';
import { type Hardware } from '../../bench/lib/hardware.js';
import { type ScenarioResult } from '../../bench/lib/run.js';
import { SCENARIOS } from '../../bench/lib/scenarios.js';
// @ts-expect-error plain JavaScript that runs without a build has no types
import { capacity, measuredIn, withExamples } from '../../scripts/deployment/capacity.mjs';

function ran(command: string, args: readonly string[]): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  return { status, output: stdout + stderr };
}

describe('the capacity script', () => {
  const given = {
    sockets: 100_000,
    streaming: 0.1,
    'deltas-per-second': 10,
    'cpu-us-per-delta': 50,
    'events-per-delta': 0.5,
    'redis-us-per-event': 10,
    'kb-per-socket': 4.096,
    'kb-per-stream': 10.24,
    'kernel-kb-per-socket': 2.048,
    garbage: 2,
    'base-mb': 100,
    'deltas-per-answer': 100,
    'redis-kb-running': 50,
    'redis-kb-packed': 10,
    'redis-kb-stored': 1,
    'stored-hours': 1,
    'memory-mb': 600,
    'cores-per-replica': 1,
    use: 0.5,
  };
  /** As `npm run bench` writes it. */
  const result = (scenario: string, name: string, median: Readonly<Record<string, number>>) =>
    ({
      ...{ scenario, title: '', rounds: 1, loadBefore: [], skipped: [] },
      at: '2026-11-23T10:00:00.000Z',
      hardware: { cpu: 'A CPU', cores: 4, memoryGb: 8, system: 'Linux', node: '26.0.0' },
      systems: [
        { name: 'floor', label: '', rounds: [], median: { cpuPerDelta: 1, heapKb: 1 } },
        { name, label: '', rounds: [], median },
      ],
    }) satisfies ScenarioResult & { readonly at: string; readonly hardware: Hardware };
  const folder = mkdtempSync(join(tmpdir(), 'sluice-capacity-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  function fileOf(of: { readonly scenario: string }): string {
    const file = join(folder, `${of.scenario}.json`);
    writeFileSync(file, JSON.stringify(of));
    return file;
  }

  it('plans the same numbers as a calculation by hand', () => {
    // 10,000 streams, 100,000 deltas a second, 5 cores at work of which each replica gives a half;
    // sockets 800 MB of heap, streams 200 MB, the kernel 200 MB: 1,200 MB in rooms of 200 MB.
    expect(capacity(given)).toEqual({
      streams: 10_000,
      deltas: 100_000,
      cores: 5,
      byCpu: 10,
      memoryMb: 1_200,
      byMemory: 6,
      replicas: 10,
      socketsPerReplica: 10_000,
      redisCores: 0.5,
      shards: 1,
      answers: 1_000,
      // Each is in Redis for 20 s with 50 KB, for 590 s with 10 KB and for an hour with 1 KB.
      redisGb: (1_000 * (50 * 20 + 10 * 590 + 3_600)) / 1_024 ** 2,
    });
  });

  it('plans several shards of Redis for a million sockets, since one Redis has one core for commands', () => {
    const most = { ...given, sockets: 1_000_000, 'deltas-per-second': 50 };
    expect(capacity(most)).toMatchObject({ deltas: 5_000_000, redisCores: 25, shards: 50, replicas: 500 });
  });

  it('refuses replicas that are too small to run at all', () => {
    expect(capacity({ ...given, 'memory-mb': 150 })).toMatchObject({ replicas: Infinity });
  });

  it('reads the results of the benchmark, with state in Redis if that was measured', () => {
    const cpu = result('cpu-100', 'sluice-redis', { cpuPerDelta: 80.04, eventsPerDelta: 0.5, redisCpuPerDelta: 4 });
    const from = 'measured, cpu-100; 2026-11-23, A CPU, 4 cores';
    expect(measuredIn(cpu)).toEqual({
      'cpu-us-per-delta': { value: 80, from },
      'events-per-delta': { value: 0.5, from },
      'redis-us-per-event': { value: 8, from },
    });
    expect(measuredIn(result('idle', 'sluice', { heapKb: 4.081, rssKb: 2.7 }))).toEqual({
      'kb-per-socket': { value: 4.08, from: 'measured, idle, state in memory; 2026-11-23, A CPU, 4 cores' },
    });
    expect(measuredIn(result('viewers', 'sluice-redis', { heapKb: 95.8 }))).toHaveProperty('kb-per-stream.value', 95.8);
    const { output } = ran('node', ['scripts/deployment/capacity.mjs', '--from', fileOf(cpu), '--sockets', '1000']);
    expect(output).toMatch(/^ +80 {2}CPU of a replica .* \(measured, cpu-100; 2026-11-23, A CPU, 4 cores\)$/m);
    // The names are those of the bench.
    const metrics = new Set(SCENARIOS.flatMap((scenario) => scenario.metrics.map(({ name }) => name)));
    expect([...metrics]).toEqual(
      expect.arrayContaining(['cpuPerDelta', 'eventsPerDelta', 'redisCpuPerDelta', 'heapKb']),
    );
    expect(SCENARIOS.map(({ name }) => name)).toEqual(expect.arrayContaining(['cpu-100', 'idle', 'viewers']));
  });

  it.each([
    ['what is no number', ['--sockets', 'many']],
    ['what it does not know', ['--socket', '5']],
    ['a file that is not there', ['--from', 'nothing.json']],
    ['a bench without Sluice', ['--from', fileOf(result('cpu-1', 'ai-sdk', { cpuPerDelta: 1 }))]],
    ['a scenario that says nothing of this', ['--from', fileOf(result('fanout', 'sluice', { cpuPerDelivery: 9 }))]],
  ])('refuses %s and names the mistake', (_what, args) => {
    expect(ran('node', ['scripts/deployment/capacity.mjs', ...args])).toMatchObject({
      status: 64,
      output: expect.stringContaining('unable to reckon'),
    });
  });

  const page = readFileSync('docs/operations/capacity.md', 'utf8');
  const shown = [...page.matchAll(/```bash\n(node .*)\n```\n\n```text\n([^]*?)```/g)];

  it('finds examples in the capacity page', () => expect(shown).toHaveLength(3));

  it.each(shown.map(([, command = '', output = '']) => [command, output]))(
    'docs/operations/capacity.md shows what %s says',
    (command, output) => {
      expect(ran('bash', ['-c', command]).output).toBe(output);
    },
  );

  it('rewrites the examples of the capacity page when the measurements change', () => {
    const measured = JSON.parse(readFileSync('docs/operations/measured.json', 'utf8')) as object;
    expect(withExamples(page, measured)).toBe(page);
    const other = withExamples(page, { ...measured, 'cpu-us-per-delta': { value: 100, from: 'elsewhere' } }) as string;
    expect(other.match(/^ +100 {2}CPU of a replica .* \(elsewhere\)$/gm)).toHaveLength(3);
    expect(other.match(/^ +100 {2}cores of replicas at work$/gm)).toHaveLength(2);
  });
});

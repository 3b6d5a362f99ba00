/* What surrounds a release: the checklist, licences, and the arithmetic of capacity. The registry's word on vulnerabilities is asked by the workflow. */

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
// @ts-expect-error plain JavaScript that runs without a build has no types
import { capacity } from '../../scripts/capacity.mjs';
// @ts-expect-error as above
import { isAllowed } from '../../scripts/licences.mjs';

function ran(command: string, args: readonly string[]): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  return { status, output: stdout + stderr };
}

describe('scripts/release-check', () => {
  const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { readonly version: string };

  it('runs what a program can judge and prints what a person must do, through a day', () => {
    const { output } = ran('scripts/release-check', ['--quick', version]);
    for (const what of [
      'package.json',
      'CHANGELOG.md',
      'the configuration',
      'alerts, dashboard',
      'the alert rules',
      'licences',
      'rollout and rollback',
    ])
      expect(output).toMatch(new RegExp(`^ok .*${what}`, 'm'));
    // Only the registry's answer may be missing, where it cannot be asked.
    expect(output.match(/^NOT OK .*/gm) ?? []).toEqual(
      output.includes('the registry did not answer') ? [expect.stringContaining('vulnerabilities')] : [],
    );
    expect(output).toMatch(/^ +gpt-4o: \$\d+\.\d\d;/m);
    for (const part of ['Before', 'During', 'After']) expect(output).toMatch(new RegExp(`^${part}`, 'm'));
    for (const hour of ['10 minutes', '1 hour', '4 hours', '24 hours']) expect(output).toContain(`[ ]    ${hour}`);
  }, 120_000);

  it('says no to a version that the repository does not speak of', () => {
    const { status, output } = ran('scripts/release-check', ['--quick', '99.0.0']);
    expect(status).toBe(1);
    expect(output).toMatch(/^NOT OK .*say 99\.0\.0/m);
    expect(output).toMatch(/^NOT OK .*CHANGELOG/m);
  }, 120_000);

  it.each([[[]], [['latest']], [['--fast', '1.0.0']]])('%j is told how it is used', (args) => {
    expect(ran('scripts/release-check', args)).toMatchObject({ status: 64, output: expect.stringContaining('usage:') });
  });

  it('nothing that shellcheck complains of', () => {
    expect(ran('shellcheck', ['scripts/release-check']).output).toBe('');
  });
});

describe('licences', () => {
  it('of everything that is shipped are on the list', () => {
    expect(ran('node', ['scripts/licences.mjs'])).toMatchObject({
      status: 0,
      output: expect.stringMatching(/^\d\d+ packages/),
    });
  });

  it.each([
    ['MIT', true],
    ['(MIT OR GPL-3.0)', true],
    ['MIT AND ISC', true],
    ['MIT AND GPL-3.0', false],
    ['AGPL-3.0', false],
    ['none', false],
  ])('%s: %s', (licence, allowed) => expect(isAllowed(licence)).toBe(allowed));
});

describe('capacity', () => {
  const given = {
    sockets: 100_000,
    streaming: 0.1,
    'deltas-per-second': 10,
    'cpu-us-per-delta': 50,
    'events-per-delta': 0.5,
    'kb-per-socket': 10.24,
    'base-mb': 100,
    'memory-mb': 600,
    'cores-per-replica': 1,
    use: 0.5,
    'redis-us-per-event': 10,
  };

  it('reckons as one would by hand', () => {
    // 10,000 streams, 100,000 deltas a second, 5 cores at work of which each replica gives a half; 1,000 MB in rooms of 200 MB.
    expect(capacity(given)).toEqual({
      streams: 10_000,
      deltas: 100_000,
      cores: 5,
      byCpu: 10,
      byMemory: 5,
      replicas: 10,
      socketsPerReplica: 10_000,
      redisCores: 0.5,
      shards: 1,
    });
  });

  it('knows no number of replicas that are too small for themselves', () => {
    expect(capacity({ ...given, 'memory-mb': 150 })).toMatchObject({ replicas: Infinity });
  });

  it('refuses what is no number', () => {
    expect(ran('node', ['scripts/capacity.mjs', '--sockets', 'many'])).toMatchObject({ status: 64 });
    expect(ran('node', ['scripts/capacity.mjs', '--socket', '5'])).toMatchObject({ status: 64 });
  });

  const page = readFileSync('docs/operations/capacity.md', 'utf8');
  const shown = [...page.matchAll(/```bash\n(node .*)\n```\n\n```text\n([^]*?)```/g)];

  it('has examples', () => expect(shown).toHaveLength(2));

  it.each(shown.map(([, command = '', output = '']) => [command, output]))(
    'docs/operations/capacity.md shows what %s says',
    (command, output) => {
      expect(ran('bash', ['-c', command]).output).toBe(output);
    },
  );
});

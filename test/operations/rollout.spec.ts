/*
 * The rollout scripts against a kubectl that records and fails on request, and a real gateway for
 * the turns that they request. What a real cluster does with those calls is tested nowhere.
 */

import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
// @ts-expect-error plain JavaScript that runs without a build has no types
import { imageInVersion } from '../../scripts/lib/image.mjs';
import { startGateway, type TestGateway } from '../support/gateway.js';
import { FakeKubectl } from './support/fake-kubectl.js';
import { mistakeIn } from './support/kubernetes-types.js';
import { at, type Manifest, one, renderWith } from './support/manifests.js';

const SCRIPTS = globSync(['scripts/*.sh', 'scripts/deployment/*.sh']).toSorted();
const KEY = 'sk-sluice-a-key-of-the-secret';

let gateway: TestGateway;
let kubectl: FakeKubectl;
beforeAll(async () => {
  gateway = await startGateway({
    config: { auth: { mode: 'keys', keys: [{ id: 'smoke', key_env: 'SMOKE', scopes: ['chat'] }] } },
    env: { SMOKE: KEY },
  });
});
afterAll(() => gateway.close());
beforeEach(() => {
  kubectl = new FakeKubectl();
  kubectl.env = cluster();
});
afterEach(() => kubectl.close());

const cluster = (more: Readonly<Record<string, string>> = {}) => ({
  FAKE_SECRET: KEY,
  FAKE_PORT: String(gateway.port),
  FAKE_OPS_PORT: new URL(gateway.opsUrl).port,
  FAKE_UNDO_TO: '0.9.0',
  ...more,
});
/** What a run gives. A difference prints the output, which names the cause. */
const SUCCESS = { status: 0, output: expect.any(String) };
const FAILURE = { status: 1, output: expect.any(String) };
const pathOf = (script: string) => SCRIPTS.find((file) => file.endsWith(`/${script}.sh`)) ?? '';
const run = (script: string, ...args: string[]) => kubectl.run(pathOf(script), args);

it.each([...SCRIPTS, ...globSync('scripts/lib/*.sh')])('passes shellcheck: %s', (file) => {
  expect(spawnSync('shellcheck', ['-x', file], { encoding: 'utf8' }).stdout).toBe('');
});

it.each([
  ['rollout'],
  ['rollout', '--fast', '1.1.0'],
  ['rollout', '1.1.0', '1.2.0'],
  ['rollout', 'latest'],
  ['rollback'],
  ['rollback', '--dry-run'],
  ['rollback', 'a b'],
  ['blue-green'],
  ['blue-green', 'up'],
  ['blue-green', 'purple'],
  ['blue-green', 'switch', '1.1.0'],
  ['canary'],
  ['canary', 'start'],
  ['canary', 'start', 'latest'],
  ['canary', 'start', '1.1.0', '0'],
  ['canary', 'start', '1.1.0', 'half'],
  ['canary', 'promote', '1.1.0'],
  ['smoke', 'everything'],
  ['apply', '--fast'],
  ['apply', 'one.yaml', 'two.yaml'],
])('prints the usage for %s %s %s %s, and changes nothing', async (script, ...args) => {
  expect(await run(script ?? '', ...args)).toMatchObject({
    status: 64,
    output: expect.stringMatching(/usage|version/),
  });
  expect(kubectl.calls).toEqual([]);
});

it.each([
  ['rollout', '1.1.0'],
  ['rollback', '0.9.0'],
  ['blue-green', 'up', '1.1.0'],
  ['blue-green', 'switch'],
  ['blue-green', 'finish'],
  ['blue-green', 'abort'],
  ['canary', 'start', '1.1.0'],
  ['canary', 'promote'],
  ['canary', 'abort'],
  ['smoke'],
  ['apply', '--with-version'],
])('prints the steps and changes nothing with %s --dry-run %s %s', async (script, ...args) => {
  kubectl.write('green', '1.1.0');
  const { status, output } = await run(script ?? '', '--dry-run', ...args);
  expect(output).toMatch(/would/);
  expect(status).toBe(0);
  expect(kubectl.changes).toEqual([]);
});

describe('smoke.sh', () => {
  it('requests health, readiness and a turn, with the key of the Secret outside the arguments', async () => {
    const { status, output } = await run('smoke');
    expect(output).toBe('ok  /health\nok  /ready\nok  a turn\n');
    expect(status).toBe(0);
    expect(kubectl.calls.join()).not.toContain(KEY);
    expect(kubectl.forwarding).toBeGreaterThan(0);
    // The port-forward ends with it.
    expect(() => process.kill(kubectl.forwarding, 0)).toThrow('ESRCH');
  });

  it.each([
    ['the key is wrong', { FAKE_SECRET: 'sk-sluice-another-one' }, 'answered 401'],
    ['the port is closed', { FAKE_OPS_PORT: '1' }, '/health answered 000'],
    ['there is no way in', { FAKE_FAIL: 'port-forward' }, 'port-forward ended'],
    ['the Secret has no key', { FAKE_SECRET: '' }, 'has no sluice-api-key'],
    [
      'the Service selects a version that no pod has',
      { FAKE_NO_PODS_OF: 'v2' },
      'selects version v2, which no pod has',
    ],
  ])('fails if %s', async (_what, more, says) => {
    kubectl.env = cluster(more);
    if ('FAKE_NO_PODS_OF' in more) kubectl.write('pinned', 'v2');
    expect(await run('smoke')).toMatchObject({ status: 1, output: expect.stringContaining(says) });
  });
});

describe('rollout.sh', () => {
  it('changes image and label, waits, and requests a turn', async () => {
    expect(await run('rollout', '1.1.0')).toMatchObject(SUCCESS);
    expect(kubectl.version).toBe('1.1.0');
    expect(kubectl.changes).toEqual([
      expect.stringMatching(
        /patch deployment\/support-bot .*"image":"registry\.example\.com:5000\/support-bot:1\.1\.0"/,
      ),
    ]);
    expect(kubectl.calls.map((call) => call.split(' ').slice(0, 2).join(' '))).toEqual([
      'get deployment/support-bot',
      'get deployment/support-bot',
      'get service/support-bot',
      'patch deployment/support-bot',
      'rollout status',
      'get service/support-bot',
      'port-forward deployment/support-bot',
      'get secret/support-bot-secrets',
    ]);
  });

  it.each([
    ['it does not become ready', { FAKE_FAIL: 'rollout status', FAKE_FAIL_TO: '1' }],
    ['it does not answer', { FAKE_SECRET: 'sk-sluice-another-one' }],
  ])('rolls back if %s', async (_what, more) => {
    kubectl.env = cluster(more);
    const { status, output } = await run('rollout', '1.1.0');
    expect(status).toBe(1);
    expect(output).toContain('going back to registry.example.com:5000/support-bot:1.0.0');
    expect(kubectl.version).toBe('1.0.0');
  });

  it('reports that the roll back failed too', async () => {
    kubectl.env = cluster({ FAKE_FAIL: 'rollout status|patch', FAKE_FAIL_FROM: '2' });
    const { status, output } = await run('rollout', '1.1.0');
    expect(status).toBe(1);
    expect(output).toContain('unable to go back; run: scripts/rollback.sh 1.0.0');
  });

  it('keeps a Service that selects another version only, since its pods would not match', async () => {
    kubectl.write('pinned', '1.0.0');
    for (const [script, version] of [
      ['rollout', '1.1.0'],
      ['rollback', '0.9.0'],
    ] as const)
      expect(await run(script, version)).toMatchObject({ status: 1, output: expect.stringContaining('blue-green.sh') });
    expect(kubectl.changes).toEqual([]);
  });

  it('stays in its namespace', async () => {
    kubectl.env = cluster({ NAMESPACE: 'chat' });
    await run('rollout', '1.1.0');
    for (const call of kubectl.calls) expect(call).toMatch(/^--namespace chat /);
  });
});

describe('images by digest or from a registry with a port', () => {
  const BY_DIGEST = `repo/support-bot@sha256:${'b'.repeat(64)}`;

  it.each([
    ['host:5000/repo', 'host:5000/repo:1.1.0'],
    ['host:5000/repo:1.0.0', 'host:5000/repo:1.1.0'],
    ['repo', 'repo:1.1.0'],
  ])('change from %s to %s, also for a second colour', async (before, after) => {
    kubectl.env = cluster({ FAKE_IMAGE: before });
    await run('rollout', '--no-smoke', '1.1.0');
    expect(kubectl.changes[0]).toContain(`"image":"${after}"`);
    expect(imageInVersion(before, '1.1.0')).toBe(after);
  });

  it.each(['repo@sha256:abc', 'repo:1.0.0@sha256:abc'])(
    'requires a new digest or tag in place of %s',
    async (image) => {
      kubectl.env = cluster({ FAKE_IMAGE: image });
      expect(await run('rollout', '1.1.0')).toMatchObject({ status: 1, output: expect.stringContaining('IMAGE=') });
      expect(kubectl.changes).toEqual([]);
      expect(() => imageInVersion(image, '1.1.0')).toThrow('IMAGE=');
    },
  );

  it('uses IMAGE for rollout.sh and for the second colour', async () => {
    kubectl.env = cluster({ FAKE_IMAGE: 'repo@sha256:abc', IMAGE: BY_DIGEST });
    expect(await run('rollout', '1.1.0')).toMatchObject(SUCCESS);
    expect(kubectl.changes[0]).toContain(`"image":"${BY_DIGEST}"`);
    await run('blue-green', 'up', '1.1.0');
    expect(kubectl.applied).toContain(BY_DIGEST);
  });

  it('rolls back to the previous version by its label', async () => {
    kubectl.env = cluster({ FAKE_IMAGE: BY_DIGEST, IMAGE: BY_DIGEST, FAKE_SECRET: 'sk-sluice-another-one' });
    expect(await run('rollout', '1.1.0')).toMatchObject(FAILURE);
    expect(kubectl.version).toBe('1.0.0');
  });
});

describe('apply.sh', () => {
  const SHIPPED = 'support-bot:1.0.0';

  it('applies a tree with the running image and requests a turn', async () => {
    kubectl.env = cluster({ FAKE_IMAGE: SHIPPED });
    const { status, output } = await run('apply');
    expect(output).toContain('ok  a turn');
    expect(status).toBe(0);
    expect(kubectl.changes).toEqual([expect.stringMatching(/^apply -f .*k8s\/deployment\.yaml$/)]);
  });

  it('refuses a tree with an older version and names the remedy', async () => {
    kubectl.env = cluster({ FAKE_IMAGE: 'support-bot:1.1.0' });
    expect(await run('apply')).toMatchObject({
      status: 1,
      output: expect.stringContaining('set-version.mjs support-bot:1.1.0 1.0.0 && npm run render'),
    });
    expect(kubectl.changes).toEqual([]);
    expect(await run('apply', '--with-version')).toMatchObject(SUCCESS);
  });

  it('names the way back if the new pods do not answer', async () => {
    kubectl.env = cluster({ FAKE_IMAGE: SHIPPED, FAKE_SECRET: 'sk-sluice-another-one' });
    expect(await run('apply')).toMatchObject({
      status: 1,
      output: expect.stringContaining('scripts/rollback.sh 1.0.0'),
    });
  });

  it.each([
    ['host:5000/repo:2.0.0', [], 'host:5000/repo:2.0.0', '2.0.0'],
    [`repo@sha256:${'a'.repeat(64)}`, ['2.0.0'], `repo@sha256:${'a'.repeat(64)}`, '2.0.0'],
  ])('writes %s and its labels into the tree with set-version', (image, more, wantedImage, version) => {
    const file = join(mkdtempSync(join(tmpdir(), 'sluice-version-')), 'deployment.yaml');
    cpSync('k8s/base/deployment.yaml', file);
    const env = { ...process.env, DEPLOYMENT_FILE: file };
    execFileSync('node', ['scripts/deployment/set-version.mjs', image, ...more], { env });
    const deployment = parse(readFileSync(file, 'utf8')) as Manifest;
    expect(at(deployment, 'spec.template.spec.containers.0.image')).toBe(wantedImage);
    for (const labels of [deployment.metadata.labels, at(deployment, 'spec.template.metadata.labels')])
      expect(labels).toMatchObject({ version });
    rmSync(dirname(file), { recursive: true });
  });

  it.each([[[]], [['repo']], [[`repo@sha256:${'a'.repeat(64)}`]], [['a b:1']]])(
    'refuses set-version with %j',
    (args) => {
      const env = { ...process.env, DEPLOYMENT_FILE: '/dev/null' };
      expect(spawnSync('node', ['scripts/deployment/set-version.mjs', ...args], { env }).status).toBe(64);
    },
  );
});

describe('rollback.sh', () => {
  it('restores the newest revision of that version with its configuration and requests a turn', async () => {
    const of = (revision: number, instance?: string) => ({ revision, version: '0.9.0', ...(instance && { instance }) });
    kubectl.revisions([of(3), of(10), of(7), of(11, 'support-bot-canary'), { revision: 12, version: '1.0.0' }]);
    const { status, output } = await run('rollback', '0.9.0');
    expect(output).toMatch(/revision 10 \(0\.9\.0, .*, configuration config-10\)[^]*ok {2}a turn/);
    expect(status).toBe(0);
    expect(kubectl.changes).toEqual(['rollout undo deployment/support-bot --to-revision=10']);
  });

  it('undoes a change of configuration by the previous revision of the running version', async () => {
    kubectl.revisions([
      { revision: 11, version: '1.0.0', config: 'support-bot-config-good' },
      { revision: 12, version: '1.0.0', config: 'support-bot-config-bad' },
    ]);
    kubectl.env = cluster({ FAKE_UNDO_TO: '1.0.0' });
    expect(await run('rollback', '1.0.0')).toMatchObject({
      status: 0,
      output: expect.stringContaining('configuration support-bot-config-good'),
    });
    expect(kubectl.changes).toEqual(['rollout undo deployment/support-bot --to-revision=11']);
  });

  it.each([
    ['that version runs, in its only revision', [{ revision: 12, version: '1.0.0' }], '1.0.0', {}, 'runs now'],
    ['that version runs, and the cluster has no revisions', [], '1.0.0', {}, 'runs now'],
    [
      'the configuration of the revision was deleted',
      [{ revision: 11, version: '0.9.0' }],
      '0.9.0',
      { FAKE_NO_CONFIG: 'config-11' },
      'needs configmap/config-11, which was deleted',
    ],
    [
      'the image is by digest and no revision is left',
      [],
      '0.9.0',
      { FAKE_IMAGE: 'repo@sha256:abc' },
      'name the new one: IMAGE=',
    ],
  ])('changes nothing if %s', async (_what, revisions, version, more, says) => {
    kubectl.revisions(revisions);
    kubectl.env = cluster(more);
    expect(await run('rollback', version)).toMatchObject({ status: 1, output: expect.stringContaining(says) });
    expect(kubectl.changes).toEqual([]);
  });

  it('fails if the previous version does not answer either', async () => {
    kubectl.env = cluster({ FAKE_SECRET: 'sk-sluice-another-one' });
    expect(await run('rollback', '0.9.0')).toMatchObject({
      status: 1,
      output: expect.stringContaining('does not answer as it should'),
    });
  });

  it('changes the image if the cluster no longer has that version', async () => {
    expect(await run('rollback', '0.9.0')).toMatchObject(SUCCESS);
    expect(kubectl.version).toBe('0.9.0');
  });

  it.each([
    ['it does not become ready', 'rollout status', 'did not become ready'],
    ['the cluster does not answer', 'get deployment', 'asked to fail'],
    ['the cluster refuses it', 'patch', 'asked to fail'],
  ])('fails if %s', async (_what, fail, says) => {
    kubectl.env = cluster({ FAKE_FAIL: fail });
    const { status, output } = await run('rollback', '0.9.0');
    expect(status).not.toBe(0);
    expect(output).toContain(says);
    expect(output).not.toContain('runs 0.9.0');
  });

  it('fails if another version runs afterwards', async () => {
    kubectl.revisions([{ revision: 3, version: '0.9.0' }]);
    kubectl.env = cluster({ FAKE_UNDO_TO: '0.8.0' });
    expect(await run('rollback', '0.9.0')).toMatchObject({ status: 1, output: expect.stringContaining('0.8.0') });
  });
});

describe('blue-green.sh', () => {
  const selects = (version: string) => `patch service/support-bot --type=merge -p {"spec":{"selector":{${version}}}}`;
  const only = (version: string) => selects(`"app":"support-bot","version":"${version}"`);
  const ALL = selects('"version":null');
  const REMOVED =
    'delete deployment/support-bot-v2 service/support-bot-v2 --ignore-not-found --cascade=foreground --wait=true --timeout=300s';

  it('starts a second colour without pods or clients of the first one (up)', async () => {
    expect(await run('blue-green', 'up', '1.1.0')).toMatchObject(SUCCESS);
    expect(kubectl.changes).toEqual([only('1.0.0'), 'apply -f -']);
    const { items } = JSON.parse(kubectl.applied) as { readonly items: readonly Manifest[] };
    const labels = { app: 'support-bot', instance: 'support-bot-v2', version: '1.1.0' };
    expect(items).toMatchObject([
      {
        kind: 'Deployment',
        metadata: { name: 'support-bot-v2' },
        spec: {
          replicas: 4,
          selector: { matchLabels: { app: 'support-bot', instance: 'support-bot-v2' } },
          template: {
            metadata: { labels },
            spec: { containers: [{ image: 'registry.example.com:5000/support-bot:1.1.0' }] },
          },
        },
      },
      { kind: 'Service', metadata: { name: 'support-bot-v2' }, spec: { selector: { version: '1.1.0' } } },
    ]);
    expect(items[0]).not.toHaveProperty('status');
    expect(items[0]).not.toHaveProperty('metadata.uid');
    expect((await Promise.all(items.map(mistakeIn))).filter(Boolean)).toEqual([]);
  });

  it.each(['apply', 'rollout status deployment/support-bot-v2'])(
    'removes the second colour if %s fails (up)',
    async (fail) => {
      kubectl.env = cluster({ FAKE_FAIL: fail });
      expect(await run('blue-green', 'up', '1.1.0')).toMatchObject(FAILURE);
      // The Service no longer selects a version, since the next rolling update replaces that
      // version.
      expect(kubectl.changes.slice(-2)).toEqual([REMOVED, ALL]);
    },
  );

  it('requests a turn of the new colour, then sends new connections to it (switch)', async () => {
    kubectl.write('green', '1.1.0');
    expect(await run('blue-green', 'switch')).toMatchObject(SUCCESS);
    expect(kubectl.changes).toEqual([only('1.1.0')]);
    expect(kubectl.calls.filter((call) => call.includes('port-forward'))).toEqual([
      'port-forward deployment/support-bot-v2 :8080 :9090',
      'port-forward deployment/support-bot-v2 :8080 :9090',
    ]);
  });

  it('changes nothing if the new colour does not answer (switch)', async () => {
    kubectl.write('green', '1.1.0');
    kubectl.env = cluster({ FAKE_FAIL: 'port-forward' });
    expect(await run('blue-green', 'switch')).toMatchObject(FAILURE);
    expect(kubectl.changes).toEqual([]);
  });

  it('returns to the old colour if the new one fails after the switch (switch)', async () => {
    kubectl.write('green', '1.1.0');
    kubectl.env = cluster({ FAKE_FAIL: 'port-forward', FAKE_FAIL_FROM: '2' });
    expect(await run('blue-green', 'switch')).toMatchObject(FAILURE);
    expect(kubectl.changes).toEqual([only('1.1.0'), only('1.0.0')]);
  });

  it('sends new connections to the old colour (back)', async () => {
    expect(await run('blue-green', 'back')).toMatchObject(SUCCESS);
    expect(kubectl.changes).toEqual([only('1.0.0')]);
  });

  it('updates the first Deployment, then drains and removes the second (finish)', async () => {
    kubectl.write('green', '1.1.0');
    expect(await run('blue-green', 'finish')).toMatchObject(SUCCESS);
    expect(kubectl.version).toBe('1.1.0');
    expect(kubectl.changes.slice(1)).toEqual([ALL, REMOVED]);
  });

  it('keeps the new colour if the first Deployment fails with the version (finish)', async () => {
    kubectl.write('green', '1.1.0');
    kubectl.env = cluster({ FAKE_FAIL: 'rollout status', FAKE_FAIL_TO: '1' });
    expect(await run('blue-green', 'finish')).toMatchObject(FAILURE);
    expect(kubectl.changes.join()).not.toContain('delete');
  });

  it('removes the new colour (abort)', async () => {
    kubectl.write('green', '1.1.0');
    expect(await run('blue-green', 'abort')).toMatchObject(SUCCESS);
    expect(kubectl.changes).toEqual([only('1.0.0'), REMOVED, ALL]);
  });
});

describe('canary.sh', () => {
  const shares = (percent: number) => {
    const patch = JSON.parse(
      execFileSync('node', ['scripts/lib/canary-routes.mjs', 'support-bot', `${percent}`], UTF8),
    );
    return `patch virtualservice/support-bot --type=merge -p ${JSON.stringify(patch)}`;
  };
  const REMOVED =
    'delete deployment/support-bot-canary --ignore-not-found --cascade=foreground --wait=true --timeout=300s';
  const UTF8 = { encoding: 'utf8' } as const;

  it('requests a turn of the canary before and after it gets its share (start)', async () => {
    expect(await run('canary', 'start', '1.1.0')).toMatchObject(SUCCESS);
    expect(kubectl.changes).toEqual([shares(0), 'apply -f -', shares(10)]);
    const steps = kubectl.calls.map((call) => call.split(' ').slice(0, 2).join(' '));
    expect(steps.filter((step) => /^(apply|rollout|port-forward|patch)/.test(step))).toEqual([
      'patch virtualservice/support-bot',
      'apply -f',
      'rollout status',
      'port-forward deployment/support-bot-canary',
      'patch virtualservice/support-bot',
      'port-forward deployment/support-bot-canary',
    ]);
    const { items } = JSON.parse(kubectl.applied) as { readonly items: readonly Manifest[] };
    expect(items).toMatchObject([
      {
        kind: 'Deployment',
        metadata: { name: 'support-bot-canary' },
        spec: {
          replicas: 1,
          selector: { matchLabels: { app: 'support-bot', instance: 'support-bot-canary' } },
          template: { spec: { containers: [{ image: 'registry.example.com:5000/support-bot:1.1.0' }] } },
        },
      },
    ]);
    expect((await Promise.all(items.map(mistakeIn))).filter(Boolean)).toEqual([]);
  });

  it('runs half of the replicas for half of the clients (start)', async () => {
    expect(await run('canary', 'start', '1.1.0', '50')).toMatchObject(SUCCESS);
    expect(kubectl.changes.at(-1)).toBe(shares(50));
    expect(JSON.parse(kubectl.applied)).toMatchObject({ items: [{ spec: { replicas: 2 } }] });
  });

  it.each([
    ['the canary is refused', { FAKE_FAIL: 'apply' }],
    ['it does not become ready', { FAKE_FAIL: 'rollout status' }],
    ['it does not answer', { FAKE_SECRET: 'sk-sluice-another-one' }],
    ['it fails once it is used', { FAKE_FAIL: 'port-forward', FAKE_FAIL_FROM: '2' }],
  ])('stops sending clients to the canary, drains and removes it if %s (start)', async (_what, more) => {
    kubectl.env = cluster(more);
    expect(await run('canary', 'start', '1.1.0')).toMatchObject(FAILURE);
    expect(kubectl.changes.slice(-2)).toEqual([shares(0), REMOVED]);
  });

  it.each([
    ['there are no routes to set', 'get virtualservice', {}],
    ['the routes are refused', 'patch virtualservice', {}],
    ['blue and green are under way', '-', { pinned: '1.0.0' }],
  ])('changes nothing if %s (start)', async (_what, fail, { pinned }: { readonly pinned?: string }) => {
    if (pinned !== undefined) kubectl.write('pinned', pinned);
    kubectl.env = cluster({ FAKE_FAIL: fail === '-' ? 'nothing' : fail });
    expect(await run('canary', 'start', '1.1.0')).toMatchObject(FAILURE);
    expect(kubectl.changes.filter((call) => !call.startsWith('patch virtualservice'))).toEqual([]);
    expect(kubectl.applied).toBe('');
  });

  it('updates the first Deployment, then drains and removes the canary (promote)', async () => {
    kubectl.write('green', '1.1.0');
    expect(await run('canary', 'promote')).toMatchObject(SUCCESS);
    expect(kubectl.version).toBe('1.1.0');
    expect(kubectl.changes).toEqual([expect.stringContaining('patch deployment/support-bot '), shares(0), REMOVED]);
  });

  it('keeps the canary and its share if the first Deployment rolls back (promote)', async () => {
    kubectl.write('green', '1.1.0');
    kubectl.env = cluster({ FAKE_FAIL: 'rollout status', FAKE_FAIL_TO: '1' });
    expect(await run('canary', 'promote')).toMatchObject(FAILURE);
    expect(kubectl.version).toBe('1.0.0');
    expect(kubectl.changes.join()).not.toMatch(/delete|virtualservice/);
  });

  it('reports that there is no canary (promote)', async () => {
    expect(await run('canary', 'promote')).toMatchObject({
      status: 1,
      output: expect.stringContaining('there is no deployment/support-bot-canary'),
    });
    expect(kubectl.changes).toEqual([]);
  });

  it('stops sending clients to the canary, then drains and removes it (abort)', async () => {
    kubectl.write('green', '1.1.0');
    expect(await run('canary', 'abort')).toMatchObject(SUCCESS);
    expect(kubectl.changes).toEqual([shares(0), REMOVED]);
  });

  it('keeps the pods of the canary if clients are still sent to them (abort)', async () => {
    kubectl.env = cluster({ FAKE_FAIL: 'patch virtualservice' });
    expect(await run('canary', 'abort')).toMatchObject(FAILURE);
    expect(kubectl.changes.join()).not.toContain('delete');
  });

  it('sets the routes of the manifests', () => {
    const routes = (percent: number) =>
      JSON.parse(
        execFileSync('node', ['scripts/lib/canary-routes.mjs', 'support-bot', `${percent}`], UTF8),
      ) as Manifest;
    for (const [component, percent] of [
      ['istio', 0],
      ['istio-canary', 10],
    ] as const) {
      const found = one(renderWith(component), 'VirtualService', 'support-bot');
      expect(at(found, 'spec.http')).toEqual(at(routes(percent), 'spec.http'));
    }
  });
});

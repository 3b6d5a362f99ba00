/*
 * The commands of the operations' pages, as they stand there, against a kubectl that records: each must be understood by the programs that
 * can run here, and by the scripts. What a cluster answers is tested nowhere.
 */

import { execFileSync } from 'node:child_process';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { startGateway, type TestGateway } from '../support/gateway.js';
import { snippetsOf } from '../support/snippets.js';
import { FakeKubectl } from './support/fake-kubectl.js';

const KEY = 'sk-sluice-a-key-of-the-secret';
const blocks = ['docs/operations/README.md', 'docs/operations/runbook.md']
  .flatMap(snippetsOf)
  .filter(({ words }) => words.has('kubectl'));

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
  kubectl.write('green', '1.1.0');
  kubectl.env = {
    FAKE_SECRET: KEY,
    FAKE_PORT: String(gateway.port),
    FAKE_OPS_PORT: new URL(gateway.opsUrl).port,
    FAKE_UNDO_TO: '0.9.0',
    OPENAI_API_KEY: 'x',
    REDIS_PASSWORD: 'x',
    SLUICE_API_KEY: KEY,
    HOME: process.env['HOME'] ?? '',
  };
});
afterEach(() => kubectl.close());

it('there are commands for whatever operators do', () => {
  const all = blocks.map(({ code }) => code).join('\n');
  for (const script of ['rollout', 'rollback', 'blue-green', 'canary', 'smoke'])
    expect(all).toContain(`scripts/${script}.sh`);
});

it.each(blocks.map((block) => [block.place, block] as const))('%s', async (_place, block) => {
  const { status, output } = await kubectl.run('bash', ['-euo', 'pipefail', '-c', block.code]);
  expect(output).not.toMatch(/unable|usage:|not found/);
  expect(status).toBe(0);
});

describe('with the real kubectl', () => {
  const secrets = blocks.flatMap(({ code }) => code.match(/kubectl create secret generic(?:\\\n|[^|\n])*/g) ?? []);

  it.each(secrets)('%s', (command) => {
    const offline = command.includes('--dry-run') ? command : `${command.trimEnd()} --dry-run=client -o yaml`;
    const env = {
      ...process.env,
      OPENAI_API_KEY: 'a',
      REDIS_PASSWORD: 'b',
      SLUICE_API_KEY: 'c',
      KUBECONFIG: '/dev/null',
    };
    expect(execFileSync('bash', ['-c', offline], { env, encoding: 'utf8' })).toContain('sluice-api-key: Yw==');
  });
});

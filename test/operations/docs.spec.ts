/*
 * Runs the commands of the operations pages, unchanged, against a kubectl that records its calls.
 * Programs that are installed here and the repository's scripts must accept each command. Logs come
 * from a real replica, and commands for a pod run here against a real Redis. The answers of a
 * cluster are not tested.
 */

import { globSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { startGateway, type TestGateway } from '../support/gateway.js';
import { RedisServer } from '../../scripts/development/cluster/redis.js';
import { Replica, type ReplicaConfig } from '../../scripts/development/cluster/replica.js';
import { snippetsOf } from '../support/snippets.js';
import { FakeKubectl } from './support/fake-kubectl.js';

const KEY = 'sk-sluice-a-key-of-the-secret';
const REDIS_PASSWORD = 'of-the-redis-in-the-cluster';
const blocks = ['docs/operations/README.md', 'docs/operations/runbook.md']
  .flatMap(snippetsOf)
  .filter(({ words }) => words.has('kubectl'));

let gateway: TestGateway;
let kubectl: FakeKubectl;
let redis: RedisServer;
let log = '';
beforeAll(async () => {
  redis = await RedisServer.start({ settings: ['--requirepass', REDIS_PASSWORD] });
  log = await logsOfReplicas();
  gateway = await startGateway({
    config: { auth: { mode: 'keys', keys: [{ id: 'smoke', key_env: 'SMOKE', scopes: ['chat'] }] } },
    env: { SMOKE: KEY },
  });
});
afterAll(async () => {
  await gateway.close();
  await redis.close();
});

/**
 * Three turns that went well, one that the provider failed, and the end. Then one that could not be
 * judged, which is refused.
 */
async function logsOfReplicas(): Promise<string> {
  const unjudged = {
    provider: { type: 'openai', model: 'gpt-4o', base_url: 'http://127.0.0.1:9/v1' },
    middleware: { validator: { guardrails: [{ type: 'moderation', direction: 'input' }] } },
  };
  const lines = [
    ...(await logOf({}, process.env, ['Hello', 'Hello', 'Count to 3', 'demo: error=provider_error'])),
    ...(await logOf(unjudged, { ...process.env, OPENAI_API_KEY: 'sk-test-not-a-key' }, ['Hello'])),
  ];
  return `${lines.join('\n')}\n`;
}

async function logOf(config: ReplicaConfig, env: NodeJS.ProcessEnv, inputs: readonly string[]) {
  const replica = await Replica.start('logs', { ...config, monitoring: { logging: { level: 'info' } } }, env);
  for (const input of inputs) {
    const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ input }) };
    await (await fetch(`${replica.url}/v1/responses`, init)).arrayBuffer();
  }
  await replica.stop();
  await replica.close();
  return replica.lines;
}

beforeEach(() => {
  kubectl = new FakeKubectl();
  kubectl.write('green', '1.1.0');
  kubectl.write('log', log);
  kubectl.env = {
    FAKE_REDIS_PORT: String(redis.port),
    FAKE_REDIS_PASSWORD: REDIS_PASSWORD,
    FAKE_SECRET: KEY,
    FAKE_PORT: String(gateway.port),
    FAKE_OPS_PORT: new URL(gateway.opsUrl).port,
    FAKE_UNDO_TO: '0.9.0',
    FAKE_IMAGE: 'support-bot:1.0.0',
    OPENAI_API_KEY: 'x',
    REDIS_PASSWORD: 'x',
    SLUICE_API_KEY: KEY,
    HOME: process.env['HOME'] ?? '',
  };
});
afterEach(() => kubectl.close());

it('finds commands for every task of operators in the documents', () => {
  const all = blocks.map(({ code }) => code).join('\n');
  for (const script of globSync(['scripts/*.sh', 'scripts/deployment/*.sh'])) expect(all).toContain(script);
});

it.each(blocks.map((block) => [block.place, block] as const))('%s', async (_place, block) => {
  const { status, output } = await kubectl.run('bash', ['-euo', 'pipefail', '-c', block.code]);
  expect(output).not.toMatch(/^(unable|usage:)|command not found/m);
  for (const part of block.says) expect(output).toContain(part);
  // With the output, which says what a command missed.
  expect(`${output}\nexit code ${status}`).toMatch(/\nexit code 0$/);
});

describe('the documented kubectl commands', () => {
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

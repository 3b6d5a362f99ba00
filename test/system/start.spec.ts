/* What a start loads: CPU that every rollout and every restart after a crash costs. */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { GatewayProcess } from '../support/gateway-process.js';

const HOOK = pathToFileURL(resolve('test/support/loaded-packages.mjs')).href;
/** Packages that only some configurations or requests use. */
const OPTIONAL = [
  ...['openai', 'undici', '@pydantic/genai-prices', 'gpt-tokenizer'],
  ...['ioredis', 'jose', 'ajv', 'file-type', 'pino-pretty'],
  ...['@opentelemetry/sdk-trace', '@opentelemetry/exporter-trace-otlp-http'],
];

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-start-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

async function loadedBy(config: Record<string, Record<string, unknown>>): Promise<readonly string[]> {
  const file = join(folder, `${Math.random()}`);
  const env = { NODE_OPTIONS: `--import ${HOOK}`, LOADED_PACKAGES: file };
  const gateway = await GatewayProcess.start({ monitoring: { logging: { format: 'json' } }, ...config }, env);
  await gateway.stop();
  return readFileSync(file, 'utf8').split('\n');
}

describe('a start', () => {
  it('loads no package that the demo provider with state in memory does not use', async () => {
    const loaded = await loadedBy({ provider: { type: 'demo' } });
    expect(loaded).toContain('@nestjs/core');
    expect(OPTIONAL.filter((name) => loaded.includes(name))).toEqual([]);
  });

  it('refuses an argument with exit code 64, instead of starting with another configuration', () => {
    const { status, stdout, stderr } = spawnSync(process.execPath, ['dist/main.js', '--config', 'chat.yaml'], {
      encoding: 'utf8',
    });
    expect([status, stdout]).toEqual([64, '']);
    expect(stderr).toMatch(/^unable to start; unknown option --config; .*CONFIG_PATH.*\n$/u);
  });

  it('loads no table of tokens and no Redis client for an OpenAI provider with state in memory', async () => {
    const loaded = await loadedBy({ provider: { type: 'openai', base_url: 'http://127.0.0.1:1/v1' } });
    expect(OPTIONAL.filter((name) => loaded.includes(name))).toEqual(['openai', 'undici', '@pydantic/genai-prices']);
  });
});

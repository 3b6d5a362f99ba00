/* The shipped files under config/, and the reference page compared with the schema. */

import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { keyTable, namesUnder } from '../../../src/config/key-table.js';
import { loadConfig } from '../../../src/config/load.js';
import { configSchema } from '../../../src/config/schema.js';
import { PROVIDER_TYPES } from '../../../src/provider/registry.js';
import { compileGuardrails } from '../../../src/validation/compile-guardrails.js';
import { configuredGuardrails } from '../../../src/validation/configured-guardrails.js';
import { Workspace } from './workspace.js';

const SECRETS = { OPENAI_API_KEY: 'sk-test-key', SLUICE_API_KEY: 'sk-sluice-test-0123456789', REDIS_PASSWORD: 'pw' };
let at: Workspace;
beforeAll(() => {
  at = new Workspace();
  at.write('packs/support.pack.json', '{}');
  for (const name of ['default', 'development', 'staging', 'production', 'compose'])
    at.write(`config/${name}.yaml`, readFileSync(`config/${name}.yaml`, 'utf8'));
});
afterAll(() => at.remove());

const load = (name: string, env: Record<string, string>) =>
  loadConfig({ types: PROVIDER_TYPES, path: `config/${name}.yaml`, env, cwd: at.cwd });

describe('config/default.yaml', () => {
  it('starts without any key or service and without a warning', () => {
    const { config, warnings } = load('default', {});
    expect(warnings).toEqual([]);
    expect(config.app).toMatchObject({ name: 'support-bot', version: '1.0.0', host: '127.0.0.1', port: 8080 });
    expect(config.provider.type).toBe('demo');
    expect(config.middleware.template).toMatchObject({ enabled: true, default: 'support' });
  });

  it('uses the real provider with OPENAI_API_KEY and OPENAI_BASE_URL', () => {
    const { config } = load('default', { OPENAI_API_KEY: 'k', OPENAI_BASE_URL: 'http://proxy/v1' });
    expect(config.provider).toMatchObject({ type: 'openai', base_url: 'http://proxy/v1' });
  });
});

describe('config/development.yaml', () => {
  it('starts with the demo provider, whatever keys are set in the environment', () => {
    const { config, warnings } = load('development', SECRETS);
    expect(warnings).toEqual([]);
    expect(config.provider.type).toBe('demo');
  });
});

describe('config/production.yaml', () => {
  it('masks numbers and keys, and its further examples of guardrails are valid', () => {
    const { guardrails } = load('production', SECRETS).config.middleware.validator;
    expect(guardrails).toMatchObject([{ type: 'pii', params: { types: ['card', 'iban', 'api_key'] } }]);
    const commented = readFileSync('config/production.yaml', 'utf8');
    at.write('config/examples.yaml', commented.replaceAll(/^ {6}# - \{/gmu, '      - {'));
    const configured = configuredGuardrails(load('examples', SECRETS).config);
    const compiled = compileGuardrails(configured).map(({ type, monitors }) => [type, monitors]);
    expect(compiled.slice(2)).toEqual([
      ['pii', false],
      ['regex', true],
      ['moderation', true],
      ['topic', true],
    ]);
  });

  it('sets the values that the deployment documents', () => {
    const { config } = load('production', SECRETS);
    expect(config.app).toMatchObject({
      name: 'support-bot',
      version: '1.0.0',
      environment: 'production',
      host: '0.0.0.0',
      port: 8080,
    });
    expect(config.provider).toMatchObject({
      type: 'openai',
      model: 'gpt-4o',
      config: { max_tokens: 500, temperature: 0.7, timeout: 30_000 },
    });
    expect(config.state).toMatchObject({
      type: 'redis',
      url: 'redis://redis:6379',
      db: 0,
      pool_size: 10,
      ttl: 86_400_000,
      max_messages: 20,
    });
    expect(config.state.password?.reveal()).toBe('pw');
    expect(config.middleware).toMatchObject({
      state: { enabled: true, max_messages: 20 },
      template: { enabled: true, source: 'support.pack', default: 'support' },
      validator: { enabled: true, banned_words: ['hack', 'crack', 'pirate'], max_length: 2_000 },
      provider: {
        enabled: true,
        rate_limit: { requests_per_minute: 60, burst: 10 },
        retry: { max_attempts: 3, backoff: 'exponential' },
        cost_tracking: true,
      },
    });
    expect(config.monitoring).toMatchObject({
      metrics: { enabled: true, port: 9090 },
      logging: { level: 'info', format: 'json', output: 'stdout' },
      tracing: { enabled: true },
    });
    expect(config.alerts).toEqual({
      error_rate_threshold: 0.05,
      latency_p99_threshold: 5_000,
      json_latency_p99_threshold: 30_000,
      cost_per_hour_threshold: 10,
      runbook_url: 'docs/operations/runbook.md',
    });
    expect(config.auth).toMatchObject({ mode: 'keys', keys: [{ id: 'support-bot', scopes: ['chat'] }] });
  });

  it('names every missing secret', () => {
    expect(() => load('production', {})).toThrow(/OPENAI_API_KEY is not set[^]*SLUICE_API_KEY is not set/);
  });
});

it('loads config/staging.yaml without a mistake', () => {
  expect(load('staging', SECRETS).config.app.environment).toBe('staging');
});

it('loads config/compose.yaml without any variable, with shared state', () => {
  expect(load('compose', {}).config).toMatchObject({ provider: { type: 'demo' }, state: { type: 'redis' } });
});

describe('the reference', () => {
  const rows = keyTable(configSchema(PROVIDER_TYPES));
  const page = readFileSync('docs/configuration.md', 'utf8');

  it('describes every key with its unit or values', () => {
    expect(rows.length).toBeGreaterThan(100);
    for (const row of rows) {
      expect([row.path, row.description.length > 8 || row.path]).toEqual([row.path, true]);
      expect(page).toContain(row.path.includes('.') ? `\`${row.path}\`` : `## ${row.path}`);
      expect(page).toContain(row.description);
    }
  });

  it('lists the names of a section', () => {
    expect(namesUnder(rows, 'batch')).toEqual(['max_window']);
    expect(namesUnder(rows, 'auth.keys[]')).toContain('key_sha256');
    expect(namesUnder(rows, '')).toEqual(Object.keys(configSchema(PROVIDER_TYPES).shape));
  });
});

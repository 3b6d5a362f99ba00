/* Every example of docs/providers.md is a file that `sluice config check` accepts. */

import { describe, expect, it } from '@jest/globals';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCli } from '../../../src/cli/run-cli.js';

const SECRETS = { AZURE_OPENAI_API_KEY: 'a', OPENROUTER_API_KEY: 'b', LITELLM_KEY: 'c', OPENAI_API_KEY: 'd' };
const page = readFileSync('docs/providers.md', 'utf8');
const examples = [...page.matchAll(/^## (.+)\n(?:(?!^## )[^])*?```yaml\n([^]*?)```/gmu)].map(
  ([, title = '', yaml = '']) => [title, yaml] as const,
);

async function check(yaml: string): Promise<{ readonly code: number; readonly lines: readonly string[] }> {
  const cwd = mkdtempSync(join(tmpdir(), 'sluice-docs-'));
  const lines: string[] = [];
  try {
    writeFileSync(join(cwd, 'sluice.yaml'), yaml);
    const code = await runCli(['config', 'check', 'sluice.yaml', '--strict'], {
      env: SECRETS,
      cwd,
      input: (async function* () {})(),
      print: (line) => lines.push(line),
      complain: (line) => lines.push(line),
    });
    return { code, lines };
  } finally {
    rmSync(cwd, { recursive: true });
  }
}

describe('docs/providers.md', () => {
  it('shows an example for each server that docs/providers.md names', () => {
    const servers = ['Azure OpenAI', 'vLLM', 'Ollama', 'OpenRouter', 'LiteLLM'];
    expect(examples.map(([title]) => title)).toEqual([...servers, 'Images and files']);
  });

  it.each(examples)('shows an example for %s that config check accepts without a note', async (_title, yaml) => {
    const { code, lines } = await check(yaml);
    expect(lines.filter((line) => line.includes('note:') || line.includes('mistake'))).toEqual([]);
    expect(code).toBe(0);
  });

  it('names the types of provider in config check, and a model without a price', async () => {
    const { lines } = await check('provider: { type: openai, model: own, base_url: "http://127.0.0.1:1/v1" }');
    expect(lines.join('\n')).toContain('types: openai, demo');
    expect(lines.join('\n')).toContain('no price is known for the model `own`');
  });

  it.each([
    ['', ['alerts.cost_per_hour_threshold'], ['limits.per_user.cost_per_day_usd']],
    ['limits: { per_user: { cost_per_day_usd: 1 } }', ['alerts.cost_per_hour_threshold', 'cost_per_day_usd'], []],
    ['monitoring: { metrics: { enabled: false } }', [], ['cost_per_hour_threshold']],
  ])('names what a model without a price makes ineffective with `%s`', async (section, named, absent) => {
    const { lines } = await check(
      `provider: { type: openai, model: own, base_url: "http://127.0.0.1:1/v1" }\n${section}\n`,
    );
    const warning = lines.find((line) => line.includes('no price is known'));
    for (const key of named) expect(warning).toContain(key);
    for (const key of absent) expect(warning).not.toContain(key);
  });

  it('joins what a model without a price makes ineffective in one sentence', async () => {
    const provider = 'provider: { type: openai, model: own, base_url: "http://127.0.0.1:1/v1" }';
    const { lines } = await check(`${provider}\nlimits: { per_user: { cost_per_day_usd: 1 } }\n`);
    expect(lines.find((line) => line.includes('no price is known'))).toContain(
      'so its cost is not counted, `limits.per_user.cost_per_day_usd` is no bound, and the alert of `alerts.cost_per_hour_threshold` does not include it; give `prices`',
    );
  });

  it.each([
    ['headers: { api-key: sk-1 }', 'headers_env'],
    ['body: { messages: [] }', 'is set for each turn'],
    ['drop: [stream]', 'is needed by every request'],
    ['headers_env: { x-key: NOT_SET }', 'NOT_SET'],
  ])('refuses a provider with %s and names the remedy', async (key, remedy) => {
    const { code, lines } = await check(`provider:\n  type: openai\n  base_url: http://127.0.0.1:1/v1\n  ${key}\n`);
    expect(code).toBe(78);
    expect(lines.join('\n')).toContain(remedy);
  });
});

/*
 * The README, as a newcomer takes it: its first command, its ways to connect, its page to
 * production, each as written but for ports and paths.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { launchChromium } from '../support/chromium.js';
import { FakeOpenAiServer } from '../support/fake-openai-server.js';
import { RedisServer } from '../../scripts/development/cluster/redis.js';
import { freePort } from '../../scripts/development/cluster/free-port.js';
import { startGateway, type TestGateway } from '../support/gateway.js';
import { readersEnv, runCode, type Snippet, snippetsOf, withPorts } from '../support/snippets.js';

const blocks = snippetsOf('README.md');
const production = blocks.filter(({ words }) => words.has('production'));
const connecting = blocks.filter(({ words }) => !words.has('production'));

async function freePorts(): Promise<{ app: number; ops: number }> {
  return { app: await freePort(), ops: await freePort() };
}

describe('the first command', () => {
  it('serves the playground, prints its address, provider and state, and exits with 0 on Ctrl-C', async () => {
    expect(readFileSync('README.md', 'utf8')).toMatch(/## Start\n\n```bash\nnpm start\n```/);
    const { app, ops } = await freePorts();
    const env = readersEnv({ PORT: String(app), METRICS_PORT: String(ops) });
    const child = spawn('npm', ['start'], { env, detached: true, stdio: ['ignore', 'pipe', 'inherit'] });
    const exited = once(child, 'exit');
    let output = '';
    await new Promise<void>((resolve, reject) => {
      child.stdout.on('data', (chunk: Buffer) => {
        output += chunk.toString();
        if (output.includes('config/default.yaml')) resolve();
      });
      void exited.then(([code]) => reject(new Error(`npm start ended with ${String(code)}: ${output}`)));
    });
    expect(output).toMatch(new RegExp(`playground: http://127\\.0\\.0\\.1:${app}/`));
    expect(output).toMatch(/demo.*no language model/);
    expect(output).toMatch(/OPENAI_API_KEY/);
    expect(output).toMatch(/state +in memory/);
    expect(await (await fetch(`http://127.0.0.1:${app}/`)).text()).toContain('<html');
    expect(await (await fetch(`http://127.0.0.1:${ops}/ready`)).json()).toEqual({ status: 'ready' });
    // A terminal's Ctrl-C goes to all programs in the foreground: npm and its child.
    process.kill(-(child.pid ?? 0), 'SIGINT');
    expect(await exited).toEqual([0, null]);
  });
});

describe('connect in two minutes', () => {
  let gateway: TestGateway;
  beforeAll(async () => {
    gateway = await startGateway({
      config: { middleware: { template: { source: 'support.pack', default: 'support' } } },
    });
  });
  afterAll(() => gateway.close());

  it.each(connecting.map((block) => [block.place, block] as const))('%s', async (_place, block) => {
    const code = withPorts(block.code, { app: gateway.port, ops: 0 });
    const output = block.words.has('console')
      ? await inConsole(gateway.url, block)
      : await inShell(block.language, code);
    for (const part of block.says) expect(output).toContain(part);
  });
});

async function inShell(language: string, code: string): Promise<string> {
  const ran = await runCode(language, code, readersEnv());
  expect(ran).toMatchObject({ code: 0 });
  return ran.output;
}

/** In the console of the playground's page. */
async function inConsole(url: string, { code }: Snippet): Promise<string> {
  const browser = await launchChromium();
  try {
    const page = await browser.newPage();
    let output = '';
    page.on('console', (message) => (output += message.text()));
    await page.goto(url);
    await page.evaluate(`(async () => { ${code} })()`);
    return output;
  } finally {
    await browser.close();
  }
}

describe('to production', () => {
  it('runs each step as written and exits with 0 on SIGTERM', async () => {
    const provider = await FakeOpenAiServer.start();
    const redis = await RedisServer.start();
    const directory = mkdtempSync(join(tmpdir(), 'sluice-readme-'));
    const ports = await freePorts();
    const steps = production.map(({ code, words }) =>
      words.has('serve')
        ? `${code.trimEnd()} & server=$!\nuntil curl -sf http://127.0.0.1:9090/ready; do kill -0 $server; sleep 0.1; done\n`
        : code,
    );
    const script = withPorts([...steps, 'kill -TERM $server', 'wait $server', 'echo ended with $?'].join('\n'), ports);
    const env = readersEnv({ OPENAI_API_KEY: 'sk-upstream', OPENAI_BASE_URL: provider.baseUrl });
    const { code, output } = await runCode(
      'bash',
      script
        .replaceAll('my-bot.yaml', join(directory, 'my-bot.yaml'))
        .replaceAll('127.0.0.1:6379', `127.0.0.1:${redis.port}`),
      env,
    );
    for (const part of production.flatMap(({ says }) => says)) expect(output).toContain(part);
    expect(output).toContain('my-bot.yaml: ok');
    expect(output).toMatch(/ended with 0\n$/);
    expect(code).toBe(0);
    expect(provider.requests.map(({ path }) => path)).toContain('/v1/chat/completions');
    expect(await redis.admin.keys('my-bot:*')).not.toEqual([]);
    await provider.close();
    await redis.close();
    rmSync(directory, { recursive: true });
  });
});

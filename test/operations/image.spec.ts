/*
 * The image, without an engine: the Dockerfile is linted, its stages are followed into a folder,
 * and what comes out runs as another user on files that it cannot write. What only an engine can
 * say (its base image, layers, the engine's own health check) is tested nowhere.
 */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { validate } from 'dockerfile-utils';
import { FakeOpenAiServer } from '../support/fake-openai-server.js';
import { freePort } from '../../scripts/development/cluster/free-port.js';
import { snippetsOf } from '../support/snippets.js';

const dockerfile = readFileSync('Dockerfile', 'utf8');
const SCRIPT = 'scripts/development/image-without-engine.mjs';
const DOCKER = 'test/operations/support/fake-docker.mjs';

/** Built once. The documents' commands run last, because they write into its configuration. */
const folder = mkdtempSync(join(tmpdir(), 'sluice-image-'));
beforeAll(() => {
  const built = spawnSync('node', [SCRIPT, 'build', folder, '--reuse-install'], { encoding: 'utf8' });
  if (built.status !== 0) throw new Error(built.stderr);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('the Dockerfile', () => {
  it('passes the linter', () => {
    expect(validate(dockerfile).map(({ message, range }) => `${range.start.line + 1}: ${message}`)).toEqual([]);
  });

  it('takes the base image by an argument that can be pinned by digest, never as latest', () => {
    expect(dockerfile).toMatch(/^ARG NODE_IMAGE=node:\d+\.\d+\.\d+[\w.-]*$/m);
    expect(dockerfile.match(/^FROM .*/gm)).toEqual(dockerfile.match(/^FROM \$\{NODE_IMAGE\} AS \w+$/gm));
  });

  it('builds in a separate stage and copies no build tools', () => {
    expect(dockerfile.match(/ AS \w+$/gm)).toEqual([' AS build', ' AS dependencies', ' AS run']);
    expect(dockerfile).toMatch(/^RUN npm ci --omit=dev --ignore-scripts$/m);
    const last = dockerfile.slice(dockerfile.indexOf(' AS run'));
    expect(last).not.toMatch(/^RUN /m);
    expect(last.match(/^USER .*/gm)).toEqual(['USER 1000:1000']);
  });

  it('checks health by the program itself, at the times that orchestrators expect', () => {
    expect(dockerfile).toMatch(
      /^HEALTHCHECK --interval=30s --timeout=3s --start-period=5s --retries=3 CMD \["node", /m,
    );
  });
});

describe('the image', () => {
  const app = join(folder, 'run/app');
  let running: ChildProcess;
  let output = '';
  let port = 0;
  let env: string[] = [];

  beforeAll(async () => {
    port = await freePort();
    const opsPort = await freePort();
    const config = join(folder, 'config.json');
    writeFileSync(config, JSON.stringify({ app: { port }, monitoring: { metrics: { port: opsPort } } }));
    env = ['-e', `CONFIG_PATH=${config}`];
    running = spawn('node', [SCRIPT, 'run', folder, ...env], { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [running.stdout, running.stderr]) stream?.on('data', (text) => (output += String(text)));
    while (!output.includes('server started')) {
      if (running.exitCode !== null) throw new Error(output);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  });
  afterAll(() => void running.kill('SIGKILL'));

  it('contains the program, its packs and configuration, and no build tools', () => {
    expect(readdirSync(app).toSorted()).toEqual(['config', 'dist', 'node_modules', 'package.json', 'packs']);
    for (const tool of ['typescript', 'jest', 'esbuild', '@nestjs/cli', 'eslint'])
      expect(existsSync(join(app, 'node_modules', tool))).toBe(false);
  });

  it('describes user, ports, environment, labels and entry point for a container engine', () => {
    expect(JSON.parse(readFileSync(join(folder, 'image.json'), 'utf8'))).toMatchObject({
      workdir: '/app',
      user: '1000:1000',
      exposed: [8080, 9090],
      env: { CONFIG_PATH: '/app/config/production.yaml', NODE_ENV: 'production' },
      labels: {
        'org.opencontainers.image.title': 'support-bot',
        'org.opencontainers.image.description': expect.stringContaining('chat gateway'),
        'org.opencontainers.image.version': '1.0.0',
        'org.opencontainers.image.revision': expect.any(String),
        'org.opencontainers.image.licenses': 'MIT',
      },
      entrypoint: ['node', 'dist/main.js'],
      healthcheck: { interval: '30s', timeout: '3s', 'start-period': '5s', retries: '3' },
    });
  });

  it('runs as an unprivileged user who cannot write any file of the image', async () => {
    const [child] = readFileSync(`/proc/${running.pid}/task/${running.pid}/children`, 'utf8').trim().split(' ');
    const status = readFileSync(`/proc/${child}/status`, 'utf8');
    if (process.getuid?.() === 0) expect(status).toMatch(/^Uid:\t1000\t1000/m);
    expect(status).toMatch(/^CapEff:\t0+$/m);
    const asUser = [
      '--reuid',
      '1000',
      '--regid',
      '1000',
      '--clear-groups',
      'find',
      app,
      '-writable',
      '-not',
      '-type',
      'l',
    ];
    const [program, ...args] = process.getuid?.() === 0 ? ['setpriv', ...asUser] : asUser.slice(5);
    const writable = spawnSync(program ?? 'find', args, { encoding: 'utf8' });
    expect(writable.stdout).toBe('');
    expect(writable.status).toBe(0);
  });

  it('answers a turn in a container', async () => {
    const answer = await fetch(`http://127.0.0.1:${port}/v1/responses`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ input: 'Hello' }),
    });
    expect(await answer.json()).toMatchObject({ status: 'completed' });
  });

  it('reports healthy while it runs, and unhealthy after SIGTERM has ended it', async () => {
    const healthy = () => spawnSync('node', [SCRIPT, 'run', folder, ...env, 'healthcheck'], { encoding: 'utf8' });
    expect(healthy()).toMatchObject({ status: 0, stdout: 'healthy\n' });
    const ended = once(running, 'exit');
    running.kill('SIGTERM');
    expect(await ended).toEqual([0, null]);
    expect(healthy()).toMatchObject({ status: 1, stderr: expect.stringContaining('did not answer') });
  });

  it('refuses to start without the keys of production and names them', () => {
    const { status, stderr } = spawnSync('node', [SCRIPT, 'run', folder], { encoding: 'utf8' });
    expect(status).toBe(78);
    for (const name of ['OPENAI_API_KEY', 'SLUICE_API_KEY']) expect(stderr).toContain(name);
  });
});

describe('the documented commands of the image', () => {
  const blocks = snippetsOf('docs/operations/README.md').filter(({ words }) => words.has('docker'));
  const state = mkdtempSync(join(tmpdir(), 'sluice-docker-'));
  let provider: FakeOpenAiServer;
  beforeAll(async () => {
    provider = await FakeOpenAiServer.start();
    // Where the second of them is run, as the README has written it.
    const [, file = ''] = /cat > my-bot\.yaml <<'YAML'\n([^]*?)YAML/.exec(readFileSync('README.md', 'utf8')) ?? [];
    writeFileSync(join(state, 'my-bot.yaml'), file);
    writeFileSync(join(state, 'docker'), `#!/bin/sh\nexec node ${resolve(DOCKER)} "$@"\n`, { mode: 0o755 });
    writeFileSync(join(state, 'npx'), `#!/bin/sh\nshift\nexec node ${resolve('dist/cli/sluice.js')} "$@"\n`, {
      mode: 0o755,
    });
    chmodSync(state, 0o755);
  });
  afterAll(async () => {
    for (const name of readdirSync(state).filter((file) => file.endsWith('.pid')))
      spawnSync('kill', ['-9', readFileSync(join(state, name), 'utf8')]);
    rmSync(state, { recursive: true, force: true });
    await provider.close();
  });

  it('documents both ways to configure the image', () => expect(blocks).toHaveLength(2));

  it.each(blocks.map((block) => [block.place, block] as const))('%s', async (_place, { code, says }) => {
    const ports = { 8080: await freePort(), 9090: await freePort(), 6379: await freePort() };
    const commands = code.replace(
      /http:\/\/127\.0\.0\.1:(8080|9090)/g,
      (_all, port: '8080' | '9090') => `http://127.0.0.1:${ports[port]}`,
    );
    const env = {
      PATH: [state, resolve('node_modules/.bin'), process.env['PATH'] ?? ''].join(delimiter),
      HOME: process.env['HOME'] ?? '',
      OPENAI_API_KEY: 'sk-test-not-a-key',
      SLUICE_API_KEY: 'sk-sluice-of-the-reader-0123456789abcdef',
      FAKE_DOCKER: state,
      FAKE_IMAGE: folder,
      FAKE_PORTS: JSON.stringify(ports),
      FAKE_ENV: `OPENAI_BASE_URL=${provider.baseUrl}`,
    };
    const child = spawn('bash', ['-euo', 'pipefail', '-c', commands], { cwd: state, env });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (output += String(text)));
    const [status] = (await once(child, 'close')) as [number | null];
    for (const part of says) expect(output).toContain(part);
    expect(status).toBe(0);
  });

  it('rejects any other flag', () => {
    const env = { ...process.env, FAKE_DOCKER: state, FAKE_IMAGE: folder, FAKE_PORTS: '{}' };
    const { status } = spawnSync('node', [DOCKER, 'run', '-d', '--name', 'x', '--readonly', 'support-bot:1.0.0'], {
      env,
    });
    expect(status).toBe(125);
  });
});

it.each([[[]], [['build']], [['run']], [['push', 'x']]])('prints the usage for %j', (args) => {
  const { status, stderr } = spawnSync('node', [SCRIPT, ...args], { encoding: 'utf8' });
  expect(status).toBe(64);
  expect(stderr).toContain('usage:');
});

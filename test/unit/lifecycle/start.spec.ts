import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { ConfigError } from '../../../src/config/config-error.js';
import { SluiceError } from '../../../src/domain/errors.js';
import { nodeTooOld, OLDEST_NODE } from '../../../src/lifecycle/node-version.js';
import { refuseArguments, startFailure } from '../../../src/lifecycle/start-failure.js';
import { announceStart, type StartupFacts, startupLines } from '../../../src/lifecycle/startup-message.js';
import { PackLoadError } from '../../../src/templating/pack-mistake.js';
import { GuardrailMistake } from '../../../src/validation/guardrails/params.js';

const LISTENERS = {
  configPath: 'config/staging.yaml',
  app: { host: 'gateway.invalid', port: 80 },
  ops: { host: '192.0.2.1', port: 9090 },
};
const listenError = (code: string, more: object) =>
  Object.assign(new Error(`listen ${code}`), { code, syscall: 'listen', ...more });

describe('a start that failed', () => {
  it('reports every mistake of the configuration and exits with 78', () => {
    const error = new ConfigError('config/x.yaml', [
      { path: 'app.port', problem: 'found "abc"', line: 3 },
      { path: 'state.type', problem: 'found "disk"', line: 7 },
    ]);
    const { lines, exitCode, isBug } = startFailure(error, LISTENERS);
    expect([exitCode, isBug]).toEqual([78, false]);
    expect(lines).toHaveLength(3);
    expect(lines[1]).toContain('app.port');
    expect(lines[2]).toContain('state.type');
  });

  it.each([
    ['EADDRINUSE', { port: 80 }, 69, /port 80 is taken.*`app\.port` in config\/staging\.yaml/],
    ['EADDRINUSE', { port: 9090 }, 69, /port 9090 is taken.*`monitoring\.metrics\.port`/],
    ['EACCES', { port: 80 }, 77, /may not listen on port 80.*`app\.port`/],
    ['EADDRNOTAVAIL', { port: 9090, address: '192.0.2.1' }, 78, /no address 192\.0\.2\.1.*`monitoring\.metrics\.host`/],
    [
      'ENOTFOUND',
      { syscall: 'getaddrinfo', hostname: 'gateway.invalid' },
      78,
      /no address gateway\.invalid.*`app\.host`/,
    ],
  ])('reports %s %j, exits with %d and names the key', (code, more, exitCode, line) => {
    const failure = startFailure(listenError(code, more), LISTENERS);
    expect(failure.exitCode).toBe(exitCode);
    expect(failure.lines).toEqual([expect.stringMatching(line)]);
  });

  it.each([80, 9090])('names a working start command when port %d of the shipped configuration is taken', (port) => {
    const shipped = { ...LISTENERS, configPath: 'config/default.yaml' };
    const { lines } = startFailure(listenError('EADDRINUSE', { port }), shipped);
    expect(lines).toEqual([expect.stringMatching(/start on others: PORT=81 METRICS_PORT=9091 npm start$/)]);
  });

  it.each([
    [['--config', 'chat.yaml'], /unknown option --config; name the configuration file in the variable CONFIG_PATH/],
    [['--api-key=sk-secret'], /unknown option --api-key; /],
    [['sk-secret'], /unexpected argument; /],
    [['-ksecret'], /unexpected argument; /],
  ])('refuses the arguments %j, exits with 64 and repeats no value', (args, line) => {
    let thrown: unknown;
    try {
      refuseArguments(args);
    } catch (error) {
      thrown = error;
    }
    const { lines, exitCode, isBug } = startFailure(thrown);
    expect([exitCode, isBug]).toEqual([64, false]);
    expect(lines).toEqual([expect.stringMatching(line)]);
    expect(lines[0]).not.toContain('secret');
  });

  it('starts without arguments', () => {
    expect(() => refuseArguments([])).not.toThrow();
  });

  it('names the keys of a default prompt that is not loaded, and of an unavailable state store', () => {
    expect(startFailure(new SluiceError('prompt_not_found', 'unable to find the prompt x'))).toMatchObject({
      exitCode: 78,
      lines: ['unable to find the prompt x (`middleware.template.default`)'],
    });
    expect(startFailure(new SluiceError('state_unavailable', 'unable'), LISTENERS)).toMatchObject({
      exitCode: 69,
      lines: ['unable (`state` in config/staging.yaml)'],
    });
  });

  it('reports mistakes in packs and guardrails like those of the configuration', () => {
    const packs = new PackLoadError('packs', [{ file: 'a.pack.json', path: 'prompts', what: 'is missing' }]);
    expect(startFailure(packs)).toMatchObject({
      exitCode: 78,
      isBug: false,
      lines: [expect.stringContaining('unable to load'), expect.stringContaining('a.pack.json: prompts')],
    });
    const guardrail = new GuardrailMistake('max_length', [{ param: 'max_characters', what: 'is missing' }]);
    expect(startFailure(guardrail)).toMatchObject({ exitCode: 78, isBug: false });
  });

  it('reports any other error as a bug and exits with 70', () => {
    expect(startFailure(new Error('sk-secret-in-a-message'))).toMatchObject({ exitCode: 70, isBug: true });
  });
});

describe('the version of Node', () => {
  it.each([
    ['20.20.2', true],
    ['24.8.9', true],
    ['24.9.0', false],
    ['24.21.0', false],
    ['26.10.0', false],
  ])('checks the version of Node: for %s too old is %s', (version, tooOld) => {
    expect(nodeTooOld(version) !== null).toBe(tooOld);
  });

  it('requires the version of package.json', () => {
    // JSON.parse returns any; the test fails if the shape differs.
    const { engines } = JSON.parse(readFileSync('package.json', 'utf8')) as { engines: { node: string } };
    expect(`>=${OLDEST_NODE.replace(/\.0$/, '')}`).toBe(engines.node);
  });
});

describe('the startup message', () => {
  const facts: StartupFacts = {
    app: { host: '127.0.0.1', port: 8080 },
    playground: true,
    ops: { host: '127.0.0.1', port: 9090 },
    metricsPath: '/metrics',
    provider: { type: 'demo', model: 'demo', baseUrl: '' },
    state: 'memory',
    configPath: 'config/default.yaml',
    revision: 'unknown',
  };

  it('names the playground, the provider and how to change it, the place of the state, and the probes', () => {
    const text = startupLines(facts).join('\n');
    for (const part of [
      'http://127.0.0.1:8080/',
      'demo',
      'OPENAI_API_KEY',
      'gone when this process ends',
      'http://127.0.0.1:9090/health',
      'http://127.0.0.1:9090/metrics',
      'config/default.yaml',
    ]) {
      expect(text).toContain(part);
    }
  });

  it('says that the playground is off, and where the gateway listens', () => {
    const [first] = startupLines({ ...facts, playground: false });
    expect(first).toBe('Sluice is running at http://127.0.0.1:8080; the playground is off (app.playground)');
  });

  it('names a real provider by model and host, without secrets in its URL', () => {
    const provider = { type: 'openai', model: 'gpt-4o', baseUrl: 'https://user:hunter2@llm.example.com/v1' } as const;
    const text = startupLines({ ...facts, provider, metricsPath: null }).join('\n');
    expect(text).toContain('gpt-4o at llm.example.com');
    expect(text).not.toMatch(/hunter2|OPENAI_API_KEY|metrics/);
  });

  it.each([
    ['0.0.0.0', 'http://localhost:8080/'],
    ['::', 'http://localhost:8080/'],
    ['::1', 'http://[::1]:8080/'],
  ])('turns host %s into a link that opens', (host, url) => {
    expect(startupLines({ ...facts, app: { host, port: 8080 } })[0]).toContain(url);
  });

  const announce = (isTTY: boolean, logFormat: 'json' | 'pretty') => {
    const written: string[] = [];
    const logged: string[] = [];
    announceStart(facts, {
      stdout: { isTTY, write: (text: string) => written.push(text) },
      logFormat,
      logger: { info: (_fields, message) => void logged.push(message) },
    });
    return { plain: written.length > 0, logged };
  };

  it('writes plain lines to a terminal and one log line among JSON', () => {
    expect(announce(true, 'json')).toEqual({ plain: true, logged: [] });
    expect(announce(false, 'pretty')).toEqual({ plain: true, logged: [] });
    expect(announce(false, 'json')).toEqual({ plain: false, logged: ['server started'] });
  });
});

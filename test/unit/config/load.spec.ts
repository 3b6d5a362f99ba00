import { inspect } from 'node:util';
import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ConfigError } from '../../../src/config/config-error.js';
import { loadConfig } from '../../../src/config/load.js';
import { PROVIDER_TYPES } from '../../../src/provider/registry.js';
import { Workspace } from './workspace.js';

let at: Workspace;
beforeAll(() => {
  at = new Workspace();
  at.write('packs/support.pack.json', '{}');
});
afterAll(() => at.remove());

describe('a valid file', () => {
  it('gives safe defaults for an empty file: loopback, no auth, memory, the demo provider, no prompt', () => {
    const { config, warnings } = at.load('');
    expect(config.app).toMatchObject({ host: '127.0.0.1', port: 8080, shutdown_timeout: 30_000 });
    expect(config.monitoring.metrics).toEqual({ enabled: true, host: '127.0.0.1', port: 9090, path: '/metrics' });
    expect(config.auth).toMatchObject({ mode: 'none', keys: [], jwt: null });
    expect(config.state).toMatchObject({ type: 'memory', ttl: 86_400_000 });
    expect(config.provider).toMatchObject({ type: 'demo', model: 'demo', api_key: null });
    expect(config.middleware.template).toMatchObject({ enabled: false, source_path: null });
    expect(config.websocket).toEqual({
      heartbeat_interval: 20_000,
      heartbeat_timeout: 10_000,
      max_message_bytes: 1_048_576,
      max_responses_in_flight: 16,
      max_lanes: 32,
      max_operations_in_flight: 32,
      outbound_buffer_bytes: 1_048_576,
      slow_reader_timeout: 15_000,
      max_connection_age: null,
    });
    expect(config.conversations).toEqual({ busy: 'queue', max_waiting: 8 });
    expect(config.batch).toEqual({ max_window: 40 });
    expect(warnings).toEqual([]);
  });

  it('treats empty sections and empty values as missing', () => {
    expect(at.load('app:\n  name:\nstate:\n').config).toEqual(at.load('').config);
  });

  it('turns durations into milliseconds, sizes into bytes and dates into moments', () => {
    const { config } = at.load(`
app: { shutdown_timeout: 1.5m }
batch: { max_window: 25 }
websocket: { max_message_bytes: 64KiB }
auth: { mode: keys, keys: [{ id: a, key_sha256: ${'A'.repeat(64)}, expires: 2030-01-31 }] }`);
    expect(config.app.shutdown_timeout).toBe(90_000);
    expect(config.batch.max_window).toBe(25);
    expect(config.websocket.max_message_bytes).toBe(65_536);
    expect(config.auth.keys[0]).toMatchObject({
      expires: Date.UTC(2030, 0, 31),
      key_sha256: 'a'.repeat(64),
      tenant: 'default',
      scopes: ['chat'],
    });
  });

  it('freezes the configuration at every depth', () => {
    const { config } = at.load('middleware: { validator: { banned_words: [a] } }');
    expect(() => (config.middleware.validator.banned_words as string[]).push('b')).toThrow(TypeError);
    expect(() => ((config.app as { port: number }).port = 1)).toThrow(TypeError);
  });

  it('reads the file that CONFIG_PATH names, else config/default.yaml', () => {
    at.write('config/default.yaml', 'app: { name: by-default }');
    at.write('other.yaml', 'app: { name: by-path }');
    expect(loadConfig({ types: PROVIDER_TYPES, env: {}, cwd: at.cwd }).config.app.name).toBe('by-default');
    expect(loadConfig({ types: PROVIDER_TYPES, env: { CONFIG_PATH: 'other.yaml' }, cwd: at.cwd }).config.app.name).toBe(
      'by-path',
    );
  });

  it('reads config/default.yaml if CONFIG_PATH is empty', () => {
    at.write('config/default.yaml', 'app: { name: by-default }');
    const { config } = loadConfig({ types: PROVIDER_TYPES, env: { CONFIG_PATH: '' }, cwd: at.cwd });
    expect(config.app.name).toBe('by-default');
  });

  it('takes middleware.state.max_messages from state.max_messages unless it is set', () => {
    expect(at.load('state: { max_messages: 7 }').config.middleware.state.max_messages).toBe(7);
    expect(
      at.load('state: { max_messages: 7 }\nmiddleware: { state: { max_messages: 3 } }').config.middleware.state
        .max_messages,
    ).toBe(3);
  });

  it('leaves the rights of clients to their credentials unless the file sets them', () => {
    expect(at.load('clients: { allow: { tools: false } }').config.clients.allow).toEqual({
      instructions: null,
      model: null,
      tools: false,
      reasoning: null,
      images: null,
      history: null,
      sampling: null,
    });
  });
});

describe('variables in values', () => {
  it('expands variables, reads the value by the type of its key, and takes defaults', () => {
    const { config } = at.load('app: { port: "${P}", name: "${N:-bot}", version: "$${x}-${V:-}1" }', { P: '81' });
    expect(config.app).toMatchObject({ port: 81, name: 'bot', version: '${x}-1' });
  });

  it('reports an unset variable without a default by name, and treats an empty one as unset', () => {
    expect(at.mistakes('app:\n  name: ${NOPE}', { NOPE: '' })).toEqual([
      'config/test.yaml:2: app.name: the variable NOPE is not set; set it, or write `${NOPE:-default}`',
    ]);
  });

  it('does not expand an expanded value again', () => {
    expect(at.load('app: { version: "${A}" }', { A: '${B}', B: 'x' }).config.app.version).toBe('${B}');
  });
});

describe('a file with a mistake', () => {
  it('reports all mistakes at once, each with line, path, value and what is allowed', () => {
    const lines = at.mistakes(`app:
  prot: 8080
  port: eighty
provder: {}
provider:
  type: opena
  config: { timeout: 5x }
limits: { per_user: 5 }
fallbacks: 3
`);
    expect(lines).toEqual([
      'config/test.yaml:2: app.prot: unknown key; did you mean `port`?',
      'config/test.yaml:3: app.port: found "eighty"; allowed: a port from 0 to 65535 (0: any free one)',
      'config/test.yaml:4: provder: unknown key; did you mean `provider`?',
      'config/test.yaml:6: provider.type: found "opena"; allowed: `auto` or `openai` or `demo`; did you mean `openai`?',
      'config/test.yaml:7: provider.config.timeout: found "5x"; allowed: a duration (`250ms`, `30s`, `5m`, `24h`, or milliseconds) from 1s to 1h',
      'config/test.yaml:8: limits.per_user: found 5; allowed: a section with keys',
      'config/test.yaml:9: fallbacks: found 3; allowed: a list of sections',
    ]);
  });

  it('reports mistakes of several sections and across sections together', () => {
    const lines = at.mistakes('app: { host: 0.0.0.0 }\nstate: { type: redis }\nbatch: { max_window: 1h }');
    expect(lines).toHaveLength(3);
    expect(lines[0]).toContain('app.host: others can reach 0.0.0.0');
    expect(lines[1]).toContain('state.url: missing');
    expect(lines[2]).toContain('batch.max_window');
  });

  it('reports YAML syntax errors with line and column', () => {
    expect(at.mistakes('app:\n  name: a\n  name: b\n')).toEqual([
      'config/test.yaml:3: the key `name` is written twice in one section (column 3); keep one',
    ]);
    expect(at.mistakes('app:\n  name: "a\n')[0]).toMatch(/^config\/test\.yaml:\d+: not valid YAML \(column \d+\)/);
    expect(at.mistakes('app: { port: ${P} }')[0]).toContain('put `${...}` in quotes');
    expect(at.mistakes('- a')).toEqual([
      'config/test.yaml: the file must hold sections such as `app:` and `provider:`',
    ]);
  });

  it('points to a second YAML document in its own words', () => {
    expect(at.mistakes('app: { name: a }\n---\napp: { name: b }\n')).toEqual([
      'config/test.yaml:2: a second YAML document begins here; keep one document in the file',
    ]);
  });

  it('refuses an empty file name without guessing another file', () => {
    at.write('config/default.yaml', 'app: { name: by-default }');
    expect(() => loadConfig({ types: PROVIDER_TYPES, path: '', env: {}, cwd: at.cwd })).toThrow(
      'the name of the file is empty; name a file',
    );
  });

  it.each([
    ['a binary file', Buffer.from([0x7f, 0x45, 0x4c, 0x46, 0, 1])],
    ['a file in UTF-16', Buffer.from('\ufeffapp: { name: a }', 'utf16le')],
    ['a file in Latin-1', Buffer.from('app: { name: "caf\u00e9" }', 'latin1')],
  ])('names the encoding of %s as the mistake', (_what, bytes) => {
    writeFileSync(at.write('config/other.yaml', ''), bytes);
    expect(() => loadConfig({ types: PROVIDER_TYPES, path: 'config/other.yaml', env: {}, cwd: at.cwd })).toThrow(
      'config/other.yaml: it is not UTF-8 text; save it as UTF-8, or name the YAML file with CONFIG_PATH',
    );
  });

  it('reads a file with a byte order mark', () => {
    expect(at.load('\ufeffapp: { name: marked }').config.app.name).toBe('marked');
  });

  it('lists each place of a pack once if the file lies in the working directory', () => {
    at.write('here.yaml', 'middleware: { template: { source: nope } }');
    const places = ['nope', 'nope.json', 'packs/nope', 'packs/nope.json'].map((name) => join(at.cwd, name)).join(', ');
    expect(() => loadConfig({ types: PROVIDER_TYPES, path: 'here.yaml', env: {}, cwd: at.cwd })).toThrow(
      `middleware.template.source: no such file or folder; looked for ${places}`,
    );
  });

  it('points to the section of a key that is in the wrong section', () => {
    expect(at.mistakes('app: { max_lanes: 3 }')[0]).toContain('there is `websocket.max_lanes`');
  });

  it.each(['10.0.0.0/33', '10.0.0', 'proxy.example.com', '::1/129', '10.0.0.1/8/8', '10.0.0.1/', '0.0.0.0/0', '::/0'])(
    'names a trusted proxy that is no address or range: %s',
    (value) => expect(at.mistakes(`http: { trusted_proxies: ["${value}"] }`)).toHaveLength(1),
  );

  it.each([
    ['an alias without an anchor', 'app: &a {name: x}\nstate: *b'],
    ['an alias inside its own anchor', 'app: &a [*a]'],
    [
      'aliases that grow without bound',
      `a: &a [${'x,'.repeat(50)}x]\nb: &b [${'*a,'.repeat(50)}*a]\nc: [${'*b,'.repeat(50)}*b]`,
    ],
    ['a hundred thousand levels', `app: ${'['.repeat(100_000)}${']'.repeat(100_000)}`],
  ])('names what it cannot read in YAML: %s', (_what, yaml) => {
    expect(at.mistakes(yaml)).toEqual([expect.stringMatching(/^config\/test\.yaml:.* not valid YAML/u)]);
  });

  it('takes addresses and CIDR ranges of both versions as trusted proxies', () => {
    expect(at.mistakes('http: { trusted_proxies: ["10.0.0.1", "10.0.0.0/8", "::1", "fd00::/8"] }')).toEqual([]);
  });

  it('reports a missing file as a mistake', () => {
    expect(() => loadConfig({ types: PROVIDER_TYPES, path: 'nope.yaml', env: {}, cwd: at.cwd })).toThrow(ConfigError);
    expect(() => loadConfig({ types: PROVIDER_TYPES, path: 'nope.yaml', env: {}, cwd: at.cwd })).toThrow(
      /there is no such file/,
    );
  });

  it.each([
    ['auth: { mode: keys }', 'auth.keys: `auth.mode` is `keys` and there is none'],
    ['auth: { mode: jwt }', 'auth.jwt: `auth.mode` is `jwt` and this section is missing'],
    ['auth: { mode: jwt, jwt: { issuer: a, audience: b } }', 'auth.jwt: neither of'],
    ['auth: { mode: jwt, jwt: { audience: b, jwks_url: "https://x/y" } }', 'auth.jwt.issuer: missing; needed: text'],
    ['auth: { mode: keys, keys: [{ id: a }] }', 'auth.keys[0]: none of'],
    [
      `auth: { mode: keys, keys: [{ id: a, key_sha256: ${'b'.repeat(64)} }, { id: a, key_sha256: ${'a'.repeat(64)} }] }`,
      'auth.keys[1].id: `a` is the id of another key too',
    ],
    [
      'auth: { mode: keys, keys: [{ id: a, key_sha256: abc }] }',
      'auth.keys[0].key_sha256: found something else (not shown)',
    ],
    ['auth: { mode: keys, keys: [{ id: a, key_sha256: abc, scopes: [amdin] }] }', 'did you mean `admin`?'],
    ['fallbacks: [{ type: openai }]', 'fallbacks[0].api_key_env: the variable OPENAI_API_KEY is not set'],
    ['fallbacks: [{ type: auto }]', 'fallbacks[0].type: found "auto"'],
    ['monitoring: { tracing: { enabled: true } }', 'monitoring.tracing.endpoint: missing'],
    ['monitoring: { metrics: { port: 8080 } }', 'monitoring.metrics.port: the same port as `app.port`'],
    ['monitoring: { metrics: { path: /health } }', 'monitoring.metrics.path: /health is taken'],
    ['monitoring: { metrics: { host: 0.0.0.0 } }', 'monitoring.metrics.host: others can reach 0.0.0.0'],
    ['middleware: { template: { enabled: true } }', 'middleware.template.source: missing'],
    ['middleware: { template: { source: nope.pack } }', 'middleware.template.source: no such file or folder'],
    [
      'provider: { type: openai, config: { timeout: 5s, idle_timeout: 6s } }',
      'provider.config.idle_timeout: longer than `timeout`',
    ],
    ['websocket: { heartbeat_timeout: 30s }', 'websocket.heartbeat_timeout: longer than'],
    ['state: { url: "redis://:hunter22@redis:6379" }', 'state.url: found "redis://[redacted]@redis:6379"'],
    ['app: { version: 1.0 }', 'app.version: found 1; allowed: text; put it in quotes'],
  ])('refuses a file with the path and the reason of its mistake: %s', (yaml, expected) => {
    expect(at.mistakes(yaml).join('\n')).toContain(expected);
  });

  it('does not repeat a secret that was written instead of the name of its variable', () => {
    const text = at
      .mistakes('provider: { api_key_env: my-own-secret-123, base_url: "https://u:pw12345@x/v1" }')
      .join('\n');
    expect(text).toContain('provider.api_key_env');
    expect(text).toContain('provider.base_url');
    expect(text).not.toMatch(/my-own-secret|pw12345/);
  });
});

describe('who can reach the gateway', () => {
  it('refuses a host that is not loopback without auth unless the file allows it', () => {
    expect(at.mistakes('app: { host: 10.0.0.1 }')).toHaveLength(1);
    expect(at.mistakes('app: { host: 10.0.0.1 }\nauth: { allow_anonymous: true }')).toEqual([]);
    expect(at.mistakes('app: { host: localhost }')).toEqual([]);
    expect(
      at.mistakes(`app: { host: 0.0.0.0 }\nauth: { mode: keys, keys: [{ id: a, key_sha256: ${'a'.repeat(64)} }] }`),
    ).toEqual([]);
  });
});

describe('secrets of a configuration', () => {
  it('reads secrets from variables and files, and no printer shows them', () => {
    at.write('config/redis-password', 'pw-from-file\n');
    const { config } = at.load(
      'provider: { type: openai, api_key_env: K }\nstate: { type: redis, url: "redis://r", password_file: redis-password }',
      {
        K: 'key-from-env',
      },
    );
    expect(config.provider.api_key?.reveal()).toBe('key-from-env');
    expect(config.state.password?.reveal()).toBe('pw-from-file');
    const printed =
      JSON.stringify(config) +
      inspect(config, { depth: 9 }) +
      String(config.provider.api_key) +
      inspect(config, { depth: 9, showHidden: true });
    expect(printed).not.toMatch(/key-from-env|pw-from-file/);
    expect(printed).toContain('[redacted]');
  });

  it('keeps the password of the Sentinels apart from that of Redis', () => {
    const state =
      'state: { type: redis, url: "redis://r", mode: sentinel, sentinel_master: main, sentinel_password_env: S }';
    const { config, warnings } = at.load(state, { S: 'pw-of-sentinels' });
    expect(config.state.sentinel_password?.reveal()).toBe('pw-of-sentinels');
    expect(config.state.password).toBeNull();
    expect(inspect(config, { depth: 9, showHidden: true })).not.toContain('pw-of-sentinels');
    expect(warnings).toEqual([]);
    expect(at.load(state, {}).warnings).toEqual([
      'state.sentinel_password_env: the variable S is not set, so no password is sent to the Sentinels',
    ]);
    expect(at.load('state: { type: redis, url: "redis://r", sentinel_password_env: S }', { S: 'x' }).warnings).toEqual([
      'state.sentinel_password_env: has no effect, because `state.mode` is not `sentinel`',
    ]);
    expect(at.mistakes(state.replace('sentinel_password_env: S', 'sentinel_password_file: gone'), {}).join()).toMatch(
      /state\.sentinel_password_file: the file .*gone cannot be read/,
    );
  });

  it('keeps a server key as its SHA-256 only', () => {
    const { config } = at.load('auth: { mode: keys, keys: [{ id: a, key_env: K }] }', { K: 'abc' });
    expect(config.auth.keys[0]?.key_sha256).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
    expect(config.auth.keys[0]).not.toHaveProperty('key_env');
  });

  it('refuses a server key that could be guessed, and warns of it in development', () => {
    const keys = 'auth: { mode: keys, keys: [{ id: a, key_env: K }] }';
    const short =
      'auth.keys[0].key_env: the key has fewer than 24 characters, so it could be guessed; make one with `sluice keys new`';
    const production = `app: { environment: production }\n${keys}`;
    expect(at.mistakes(production, { K: 'x'.repeat(23) })).toEqual([`config/test.yaml:2: ${short}`]);
    expect(at.mistakes(production, { K: 'x'.repeat(24) })).toEqual([]);
    expect(at.load(keys, { K: 'x'.repeat(23) }).warnings).toEqual([short]);
  });

  it('refuses `jwt` without a way to verify tokens', () => {
    const jwt = (more: string): string => `auth: { mode: jwt, jwt: { issuer: i, audience: a${more} } }`;
    expect(at.mistakes('auth: { mode: jwt }').join()).toMatch(
      /auth\.jwt: `auth\.mode` is `jwt` and this section is missing/,
    );
    expect(at.mistakes(jwt('')).join()).toMatch(/neither of `jwks_url` and `public_key_file`/);
    expect(at.mistakes(jwt(', public_key_file: gone')).join()).toMatch(
      /auth\.jwt\.public_key_file: the file .*gone cannot/,
    );
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    at.write('config/private.pem', privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
    at.write('config/public.pem', publicKey.export({ type: 'spki', format: 'pem' }).toString());
    at.write('config/garbage.pem', 'garbage');
    expect(at.mistakes(jwt(', public_key_file: private.pem')).join()).toMatch(/the file holds a private key/);
    expect(at.mistakes(jwt(', public_key_file: garbage.pem')).join()).toMatch(/the file holds no public key in PEM/);
    expect(at.load(jwt(', public_key_file: public.pem')).config.auth.jwt?.public_key).toContain('PUBLIC KEY');
  });

  it('refuses a class of a server key that no limits have', () => {
    const key = 'auth: { mode: keys, keys: [{ id: a, key_env: K, class: gold }] }';
    const K = 'x'.repeat(24);
    expect(at.mistakes(key, { K }).join()).toMatch(/auth\.keys\[0\]\.class: `gold` is no class of `limits\.classes`/);
    expect(at.mistakes(`limits: { classes: { gold: { requests_per_minute: 5 } } }\n${key}`, { K })).toEqual([]);
  });

  it('reads the time to live of each class, and refuses a class that no limits have', () => {
    const times = 'state: { ttl: 2h, ttl_by_class: { gold: 30d } }';
    expect(at.mistakes(times).join()).toMatch(/state\.ttl_by_class\.gold: `gold` is no class of `limits\.classes`/);
    const { state } = at.load(`limits: { classes: { gold: {} } }\n${times}`).config;
    expect([state.ttl, state.ttl_by_class]).toEqual([7_200_000, { gold: 2_592_000_000 }]);
    expect(at.mistakes('state: { ttl_by_class: { gold: 1s } }').join()).toMatch(/state\.ttl_by_class\.gold/);
  });

  it('reports an unset variable only where its secret is needed', () => {
    expect(at.mistakes('provider: { type: openai }')).toEqual([
      'config/test.yaml:1: provider.api_key_env: the variable OPENAI_API_KEY is not set; set it to the secret',
    ]);
    expect(at.mistakes('provider: { type: demo, api_key_env: K }')).toEqual([]);
    expect(at.mistakes('provider: { type: openai, base_url: "http://localhost:11434/v1" }')).toEqual([]);
    expect(at.mistakes('state: { type: memory, password_env: REDIS_PASSWORD }')).toEqual([]);
    expect(at.mistakes('state: { type: redis, url: "redis://redis:6379", password_env: REDIS_PASSWORD }')).toEqual([]);
  });

  it('reports an unreadable or empty secret file by name', () => {
    at.write('config/empty', ' \n');
    expect(at.mistakes('provider: { type: openai, api_key_file: gone }').join()).toMatch(
      /provider\.api_key_file: the file .*gone cannot be read \(ENOENT\)/,
    );
    expect(at.mistakes('provider: { type: openai, api_key_file: empty }').join()).toMatch(/is empty/);
    expect(at.mistakes('provider: { type: openai, api_key_file: empty, api_key_env: A }').join()).toMatch(/keep one/);
  });

  it('reports missing secrets as warnings when a file is only checked', () => {
    const { warnings } = at.load('provider: { type: openai }', {}, { missingSecrets: 'warning' });
    expect(warnings).toEqual(['provider.api_key_env: the variable OPENAI_API_KEY is not set; set it to the secret']);
  });
});

describe('the provider type', () => {
  it('accepts each type of the list, with the defaults of its entry', () => {
    const types = { ...PROVIDER_TYPES, other: { defaultModel: 'its-own', remote: false } };
    const { provider, fallbacks } = at.load(
      'provider: { type: other }\nfallbacks: [{ type: other }]',
      {},
      { types },
    ).config;
    expect([provider, ...fallbacks]).toMatchObject([
      { type: 'other', model: 'its-own', api_key: null },
      { type: 'other', model: 'its-own' },
    ]);
    expect(at.mistakes('provider: { type: other }').join()).toContain('allowed: `auto` or `openai` or `demo`');
  });

  it('resolves auto to openai when the variable of the key is set, else to the demo', () => {
    expect(at.load('provider: { model: m }').config.provider).toMatchObject({ type: 'demo', model: 'demo' });
    expect(at.load('provider: { model: m }', { OPENAI_API_KEY: 'k' }).config.provider).toMatchObject({
      type: 'openai',
      model: 'm',
    });
    expect(at.load('provider: { api_key_env: MINE }', { MINE: 'k' }).config.provider).toMatchObject({
      type: 'openai',
      model: 'gpt-4o-mini',
    });
    expect(at.load('provider: { api_key_env: MINE }', { OPENAI_API_KEY: 'k' }).config.provider.type).toBe('demo');
  });

  it('takes base_url from the file, then from OPENAI_BASE_URL, then from OpenAI', () => {
    const env = { OPENAI_API_KEY: 'k', OPENAI_BASE_URL: 'http://proxy/v1/' };
    expect(at.load('provider: { base_url: "http://mine/v1" }', env).config.provider.base_url).toBe('http://mine/v1');
    expect(at.load('', env).config.provider.base_url).toBe('http://proxy/v1');
    expect(at.load('', { OPENAI_API_KEY: 'k' }).config.provider.base_url).toBe('https://api.openai.com/v1');
    expect(at.mistakes('', { OPENAI_API_KEY: 'k', OPENAI_BASE_URL: 'nonsense' }).join()).toContain('OPENAI_BASE_URL');
    expect(at.load('', { OPENAI_BASE_URL: 'http://proxy/v1' }).warnings.join()).toContain(
      'so the demo provider answers',
    );
  });

  it('keeps stream timeouts within the timeout of the whole call', () => {
    expect(at.load('provider: { type: demo, config: { timeout: 8s } }').config.provider.config).toMatchObject({
      first_delta_timeout: 8_000,
      idle_timeout: 8_000,
    });
  });
});

describe('the pack of a configuration', () => {
  it('finds packs beside the file, then in the working directory, then in packs/, with or without .json', () => {
    const found = () =>
      at.load('middleware: { template: { source: support.pack } }').config.middleware.template.source_path;
    expect(found()).toBe(`${at.cwd}/packs/support.pack.json`);
    at.write('support.pack.json', '{}');
    expect(found()).toBe(`${at.cwd}/support.pack.json`);
    at.write('config/support.pack', '{}');
    expect(found()).toBe(`${at.cwd}/config/support.pack`);
  });
});

describe('warnings of a configuration', () => {
  it('turns an old Jaeger collector URL into the OTLP endpoint of the same host', () => {
    const { config, warnings } = at.load(
      'monitoring: { tracing: { enabled: true, endpoint: "http://jaeger:14268/api/traces" } }',
    );
    expect(config.monitoring.tracing.endpoint).toBe('http://jaeger:4318/v1/traces');
    expect(warnings.join('\n')).toContain('a Jaeger collector URL');
  });

  it('warns of a key without effect and says why', () => {
    expect(at.load('state: { url: "redis://r" }\nconversations: { busy: reject, max_waiting: 2 }').warnings).toEqual([
      'state.url: has no effect, because `state.type` is `memory`',
      'conversations.max_waiting: has no effect, because `conversations.busy` is `reject`',
    ]);
    const uncounted =
      'middleware: { provider: { cost_tracking: false } }\nlimits: { per_user: { cost_per_day_usd: 5 } }';
    expect(at.load(uncounted).warnings).toEqual([
      'limits.per_user.cost_per_day_usd: has no effect, because cost is not tracked (`middleware.provider`)',
    ]);
  });
});

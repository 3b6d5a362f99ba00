/*
 * Starts that Redis refuses: each message names the address, the cause and the key to change. Real
 * servers, real mistakes.
 */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { openState } from '../../src/compose/open-state.js';
import { startFailure } from '../../src/lifecycle/start-failure.js';
import { Metrics } from '../../src/observability/metrics.js';
import { freePort, onFreePorts } from '../../scripts/development/cluster/free-port.js';
import { RedisServer } from '../../scripts/development/cluster/redis.js';
import { LinesLog } from '../support/lines-log.js';
import { deltas, headOf, terminal } from './suites/log-fixtures.js';
import { Workspace } from '../unit/config/workspace.js';

const PASSWORD = 'planted-pass-of-redis';
const folder = mkdtempSync(join(tmpdir(), 'sluice-start-'));
const at = (name: string) => join(folder, name);
const workspace = new Workspace();
let redis: RedisServer;
let tlsPort: number;
let http: Server;
let silent: Server;

/** A certificate signed by itself, which is its own authority. */
function certificate(name: string): void {
  const subject = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
  const key = ['-newkey', 'rsa:2048', '-nodes', '-keyout', at(`${name}.key`), '-out', at(`${name}.pem`)];
  execFileSync('openssl', ['req', '-x509', ...key, '-days', '1', ...subject], { stdio: 'ignore' });
}

beforeAll(async () => {
  for (const name of ['server', 'gateway', 'stranger']) certificate(name);
  execFileSync('sh', ['-c', 'cat server.pem gateway.pem > trusted.pem'], { cwd: folder });
  redis = await onFreePorts(async () => {
    tlsPort = await freePort();
    const tls = ['--tls-port', String(tlsPort), '--tls-auth-clients', 'yes', '--tls-ca-cert-file', at('trusted.pem')];
    const own = ['--tls-cert-file', at('server.pem'), '--tls-key-file', at('server.key')];
    return RedisServer.start({ settings: [...tls, ...own, '--requirepass', PASSWORD] });
  });
  http = createHttpServer((_request, response) => response.end('no Redis'));
  silent = createServer(() => undefined);
  for (const server of [http, silent]) {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  }
});
afterAll(async () => {
  await redis.close();
  http.close();
  silent.close();
  workspace.remove();
  rmSync(folder, { recursive: true, force: true });
});

// Servers on TCP.
const portOf = (server: Server) => (server.address() as AddressInfo).port;

async function failed(state: object, env: Record<string, string> = { REDIS_PASSWORD: PASSWORD }) {
  const { config } = workspace.load(JSON.stringify({ state: { type: 'redis', ...state } }), env);
  const log = new LinesLog();
  const thrown = await openState(config, log, new Metrics({ prefix: 'test_', version: '0' })).then(
    async ({ state: opened }) => {
      await opened.close();
      throw new Error('it started');
    },
    (error: unknown) => error,
  );
  const listeners = { host: '127.0.0.1', port: 1 };
  const { lines, exitCode } = startFailure(thrown, { configPath: 'my.yaml', app: listeners, ops: listeners });
  return { text: lines.join('\n'), exitCode, logged: log.lines };
}

const OWN = { password_env: 'REDIS_PASSWORD' };
const url = (port: number, scheme = 'redis') => `${scheme}://localhost:${port}`;

const WAITING = {
  refused: () => ({ url: url(1) }),
  unknownName: () => ({ url: 'redis://no-such-host.invalid:6379' }),
  silent: () => ({ url: url(portOf(silent)) }),
  web: () => ({ url: url(portOf(http)) }),
  needlessTls: () => ({ ...OWN, url: url(redis.port, 'rediss') }),
  missingTls: () => ({ ...OWN, url: url(tlsPort) }),
  noCluster: () => ({ ...OWN, url: url(redis.port), mode: 'cluster' }),
  stranger: () => ({ ...OWN, url: url(tlsPort, 'rediss') }),
  noCertificate: () => ({ ...OWN, url: url(tlsPort, 'rediss'), tls: { ca_file: at('server.pem') } }),
};

describe('a start without Redis', () => {
  const results = new Map<string, Awaited<ReturnType<typeof failed>>>();
  // Each of them waits for Redis as long as a start does: all at once.
  beforeAll(async () => {
    await Promise.all(Object.entries(WAITING).map(async ([name, state]) => results.set(name, await failed(state()))));
  });

  it.each<[string, keyof typeof WAITING, RegExp]>([
    [
      'a port where nothing listens',
      'refused',
      /localhost:1; nothing listens there \(ECONNREFUSED\); .*\(`state\.url` in my\.yaml\)/,
    ],
    [
      'a name that does not resolve',
      'unknownName',
      /no-such-host\.invalid:6379; its name does not resolve \((ENOTFOUND|EAI_AGAIN)\); .*`state\.url`/,
    ],
    ['a server that does not answer', 'silent', /it does not answer; .*NetworkPolicy.*`state\.url`/],
    ['a web server', 'web', /does not speak the protocol of Redis; correct the address \(`state\.url`/],
    [
      'TLS to a port without',
      'needlessTls',
      /localhost:\d+; it does not answer.*is TLS right for that port.*`state\.url`/,
    ],
    ['no TLS to a port with it', 'missingTls', /closes the connection.*rediss.*`state\.url, state\.tls`/],
    ['a Cluster that is none', 'noCluster', /it is no Cluster; use mode `single` \(`state\.mode` in my\.yaml\)/],
    [
      'an authority that is not trusted',
      'stranger',
      /no trusted authority signed its certificate \(\w+\); name the authority \(`state\.url, state\.tls`/,
    ],
    [
      'a certificate that the server wants',
      'noCertificate',
      /(TLS fails|closes the connection).*`state\.url, state\.tls`/,
    ],
  ])('names %s, and what to change', (_what, name, says) => {
    const { text = '', exitCode, logged = [] } = results.get(name) ?? {};
    expect(text).toMatch(says);
    expect(exitCode).toBe(69);
    expect(text).not.toContain(PASSWORD);
    expect(logged).toEqual([expect.objectContaining({ level: 'warn', message: 'state store does not answer yet' })]);
  });

  it.each([
    [
      'a wrong password',
      () => ({ ...OWN, url: url(redis.port) }),
      { REDIS_PASSWORD: 'wrong' },
      /it does not accept the user or the password \(WRONGPASS\).*`state\.password_env: REDIS_PASSWORD` in/,
    ],
    [
      'an unknown user',
      () => ({ ...OWN, username: 'unknown-user', url: url(redis.port) }),
      { REDIS_PASSWORD: 'wrong' },
      /does not accept the user/,
    ],
    [
      'no password',
      () => ({ url: url(redis.port) }),
      {},
      /it asks for a password and none is configured \(NOAUTH\); set the password \(`state\.password_env` in/,
    ],
  ])('names what to change, and no later attempt, for %s', async (_what, state, env, says) => {
    const { text } = await failed(state(), env);
    expect(text).toMatch(says);
    expect(text).not.toMatch(/again/);
  });

  it('refuses a database that does not exist as a mistake of the configuration', async () => {
    const { text, exitCode } = await failed({ ...OWN, url: url(redis.port), db: 99 });
    expect(exitCode).toBe(78);
    expect(text).toMatch(/my\.yaml: state\.db: .*localhost:\d+; it has no database 99/);
  });
});

it('serves with the permissions of the operations page, and with no more', async () => {
  const page = readFileSync('docs/operations/README.md', 'utf8');
  const [, ...rule] = /^ACL (SETUSER support-bot .*)$/m.exec(page)?.[1]?.split(' ') ?? [];
  const server = await RedisServer.start();
  try {
    await server.admin.call('ACL', 'SETUSER', ...rule);
    const { config } = workspace.load(
      JSON.stringify({
        app: { name: 'support-bot' },
        state: { type: 'redis', username: 'support-bot', password_env: 'PASSWORD', url: server.url },
      }),
      { PASSWORD: 'PASSWORD' },
    );
    const metrics = new Metrics({ prefix: 'test_', version: '0' });
    const { state } = await openState(config, new LinesLog(), metrics);
    const head = headOf();
    const fence = await state.events.create(head);
    await state.events.append(head.responseId, fence, [...deltas(0, 3), terminal(4)]);
    expect((await state.events.read(head.responseId, -1, 10))?.last).toBe(4);
    await state.conversations.create({ id: 'conv_1', owner: 'ann', createdAt: 1, updatedAt: 1, metadata: {} }, []);
    const unsubscribe = await state.events.subscribe(
      head.responseId,
      () => undefined,
      () => undefined,
    );
    unsubscribe();
    expect(await metrics.render()).toMatch(/\ntest_state_used_bytes [1-9]/);
    await state.close();
    expect(await server.admin.call('ACL', 'LOG')).toEqual([]);
    const user = server.admin.duplicate({ username: 'support-bot', password: 'PASSWORD' });
    const forbidden: [string, ...string[]][] = [
      ['FLUSHALL'],
      ['KEYS', '*'],
      ['GET', 'other:key'],
      ['CONFIG', 'GET', '*'],
    ];
    for (const command of forbidden) await expect(user.call(...command)).rejects.toThrow('NOPERM');
    user.disconnect();
  } finally {
    await server.close();
  }
});

it('serves with a private authority and a certificate of its own, both from files', async () => {
  const tls = { ca_file: at('server.pem'), cert_file: at('gateway.pem'), key_file: at('gateway.key') };
  const state = { type: 'redis', ...OWN, url: url(tlsPort, 'rediss'), tls };
  const { config } = workspace.load(JSON.stringify({ state }), { REDIS_PASSWORD: PASSWORD });
  const { state: opened } = await openState(config, new LinesLog(), new Metrics({ prefix: 'test_', version: '0' }));
  await opened.ping();
  await opened.close();
});

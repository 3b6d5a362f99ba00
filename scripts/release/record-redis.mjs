/*
 * Records what this build writes to Redis, for the builds after it: every command of a known run of
 * turns, the scripts, and what clients received. test/system/version-before.spec.ts compares each
 * later build with it. For a release, before its tag; never to make that test pass.
 *
 *   node scripts/release/record-redis.mjs [FOLDER]   writes test/fixtures/redis-VERSION/, or there
 */

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { NODE, prepare, ROOT } from '../lib/prepare.mjs';
import { recordedRun } from '../lib/recorded-run.mjs';
import { requestsIn } from '../lib/resp.mjs';

const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
const FOLDER = process.argv[2] ?? join(ROOT, `test/fixtures/redis-${version}`);
/** Commands of a connection or a replica, which store nothing. */
const PASSING = new Set(['HELLO', 'AUTH', 'CLIENT', 'INFO', 'PING', 'SELECT', 'COMMAND', 'SUBSCRIBE', 'UNSUBSCRIBE']);
const PASSING_SCRIPTS = new Set(['heartbeat', 'adopt']);

class Recording {
  /**
   * In the order in which Redis received them: `at` is the step of the run; a script is given by
   * its name.
   */
  commands = [];
  /** Texts by name. */
  scripts = {};
  step = 'start';
  #names = new Map();
  #files = globSync('dist/state/redis/lua/*.lua', { cwd: ROOT });

  take([command, ...args]) {
    const word = command.toUpperCase();
    if (PASSING.has(word)) return;
    const [first, ...rest] = args;
    if (word === 'EVAL') {
      const sha = createHash('sha1').update(first).digest('hex');
      this.#names.set(sha, this.#nameOf(first));
      this.scripts[this.#names.get(sha)] = first;
      // The client tried it by its digest before.
      const vain = this.commands.findLastIndex(({ sha: tried, args: with_ }) => tried === sha && same(with_, rest));
      this.commands.splice(vain, 1);
      this.commands.push({ at: this.step, sha, args: rest });
    } else if (word === 'EVALSHA') this.commands.push({ at: this.step, sha: first, args: rest });
    else this.commands.push({ at: this.step, command: word, args });
  }

  /** The id of the response that a step opened; waits for it. */
  async opened(step) {
    for (;;) {
      const create = this.named().find(({ at, script }) => at === step && script === 'create');
      // The response is the first argument after the keys, whose number comes first.
      if (create !== undefined) return create.args[1 + Number(create.args[0])];
      await sleep(20);
    }
  }

  named() {
    return this.commands
      .map(({ at, sha, command, args }) =>
        sha === undefined ? { at, command, args } : { at, script: this.#names.get(sha), args },
      )
      .filter(({ script }) => !PASSING_SCRIPTS.has(script));
  }

  #nameOf(text) {
    const file = this.#files.find((path) => text.endsWith(readFileSync(join(ROOT, path), 'utf8')));
    return /([\w-]+)\.lua$/.exec(file)[1];
  }
}

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

async function listening(server, port = 0) {
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return server.address().port;
}

async function freePort() {
  const server = createServer();
  const port = await listening(server);
  server.close();
  await once(server, 'close');
  return port;
}

function reachable(port) {
  const socket = connect(port, '127.0.0.1');
  return Promise.race([once(socket, 'connect').then(() => true), once(socket, 'error').then(() => false)])
    .catch(() => false)
    .finally(() => socket.destroy());
}

/** A proxy between the gateway and Redis that records every command. */
function tap(redisPort, onCommand) {
  return createServer((near) => {
    const far = connect(redisPort, '127.0.0.1');
    near.on('data', requestsIn(onCommand));
    near.pipe(far).pipe(near);
    for (const socket of [near, far])
      socket.on('error', () => undefined).on('close', () => (near.destroy(), far.destroy()));
  });
}

async function record(folder, started) {
  const [redisPort, port, opsPort] = [await freePort(), await freePort(), await freePort()];
  const own = ['--port', `${redisPort}`, '--bind', '127.0.0.1', '--dir', folder, '--save', ''];
  started.push(spawn('redis-server', own, { stdio: 'ignore' }));
  while (!(await reachable(redisPort))) await sleep(20);
  const recording = new Recording();
  const server = tap(redisPort, (command) => recording.take(command));
  const config = {
    app: { name: 'support-bot', version, port },
    provider: { type: 'demo' },
    state: { type: 'redis', url: `redis://127.0.0.1:${await listening(server)}` },
    middleware: { template: { enabled: false }, validator: { banned_words: ['hack'] } },
    limits: { per_user: { requests_per_minute: 30 } },
    monitoring: { metrics: { port: opsPort }, logging: { level: 'warn' } },
  };
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
  const env = { PATH: process.env.PATH, CONFIG_PATH: join(folder, 'config.json') };
  const gateway = spawn(NODE, [join(ROOT, 'dist/main.js')], { env, stdio: 'inherit' });
  started.push(gateway);
  const ready = () =>
    fetch(`http://127.0.0.1:${opsPort}/ready`)
      .then(({ ok }) => ok)
      .catch(() => false);
  while (!(await ready())) await sleep(50);
  const received = await recordedRun(`http://127.0.0.1:${port}`, recording);
  // A crash leaves one turn that runs and one that waits.
  gateway.kill('SIGKILL');
  await once(gateway, 'exit');
  server.close();
  return { received: { version, ...received }, recording };
}

function write({ received, recording }) {
  mkdirSync(FOLDER, { recursive: true });
  const lines = (all) => `${all.map((one) => JSON.stringify(one)).join('\n')}\n`;
  writeFileSync(join(FOLDER, 'commands.ndjson'), lines(recording.named()));
  writeFileSync(join(FOLDER, 'scripts.ndjson'), lines(Object.entries(recording.scripts).toSorted()));
  writeFileSync(join(FOLDER, 'received.json'), `${JSON.stringify(received)}\n`);
  console.log(
    `${recording.named().length} commands, ${Object.keys(recording.scripts).length} scripts, ${Object.keys(received.turns).length} turns: ${FOLDER}`,
  );
}

if (!(await prepare())) process.exit(1);
const folder = mkdtempSync(join(tmpdir(), 'sluice-record-'));
const started = [];
try {
  write(await record(folder, started));
} finally {
  for (const child of started) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
}
process.exit();

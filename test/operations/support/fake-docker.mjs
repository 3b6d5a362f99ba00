/*
 * A docker for tests, where no engine is: takes the command lines of the documents, refuses what
 * docker does not know of them, and runs the image that
 * scripts/development/image-without-engine.mjs has built. A published port and a network are
 * emulated in the configuration that the image reads: its ports and its Redis become the test's
 * own. FAKE_DOCKER: a folder; FAKE_IMAGE: the built image; FAKE_PORTS: `{"8080": 41234, …, "6379":
 * …}`.
 */

import { spawn } from 'node:child_process';
import { copyFileSync, openSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

const { FAKE_DOCKER: folder, FAKE_IMAGE: image, FAKE_PORTS } = process.env;
const ports = JSON.parse(FAKE_PORTS);
const script = resolve(import.meta.dirname, '../../../scripts/development/image-without-engine.mjs');
const RUN = {
  detach: { type: 'boolean', short: 'd' },
  name: { type: 'string' },
  network: { type: 'string' },
  publish: { type: 'string', short: 'p', multiple: true, default: [] },
  env: { type: 'string', short: 'e', multiple: true, default: [] },
  volume: { type: 'string', short: 'v', multiple: true, default: [] },
  tmpfs: { type: 'string' },
  'read-only': { type: 'boolean' },
  'cap-drop': { type: 'string' },
  'security-opt': { type: 'string' },
  'stop-timeout': { type: 'string' },
};

function run(args) {
  // Flags end at the image; what follows is the container's own.
  const at = args.findIndex((word, i) => /^[\w./-]+:[\w.-]+$/.test(word) && !/^-/.test(word) && isImage(args, i));
  const { values } = parseArgs({ args: args.slice(0, at), options: RUN });
  const [name, ...command] = args.slice(at);
  if (!values.detach || values.name === undefined) throw new Error('only -d with --name can be followed here');
  const log = openSync(join(folder, `${values.name}.log`), 'w');
  const [program, words] = name.startsWith('redis:')
    ? redis(command)
    : ['node', [script, 'run', image, ...own(values)]];
  const child = spawn(program, words, { detached: true, stdio: ['ignore', log, log] });
  child.unref();
  writeFileSync(join(folder, `${values.name}.pid`), String(child.pid));
  console.log(child.pid);
}

/** Is this word the value of a flag before it? */
function isImage(args, i) {
  const before = args[i - 1] ?? '';
  const flag = Object.entries(RUN).find(([name, { short }]) => before === `--${name}` || before === `-${short}`);
  return flag === undefined || flag[1].type === 'boolean';
}

function redis([program, ...words]) {
  return [program, [...words, '--port', `${ports['6379']}`, '--bind', '127.0.0.1', '--save', '', '--dir', folder]];
}

/** The flags that reach the program, and the configuration as this network has it. */
function own({ env, volume, publish }) {
  for (const one of publish)
    if (!/^(8080:8080|127\.0\.0\.1:9090:9090)$/.test(one)) throw new Error(`nothing listens there: ${one}`);
  const config = join(image, 'run/app/config');
  for (const [source, target] of volume.map((one) => one.split(':'))) {
    if (!target.startsWith('/app/config/')) throw new Error(`nothing looks there: ${target}`);
    copyFileSync(source, join(config, basename(target)));
  }
  for (const file of readdirSync(config)) {
    const text = readFileSync(join(config, file), 'utf8');
    const mapped = text
      .replace(/\b(8080|9090)\b/g, (port) => ports[port])
      .replace('redis://redis:6379', `redis://127.0.0.1:${ports['6379']}`);
    writeFileSync(join(config, file), mapped);
  }
  // A name alone takes its value from here.
  const all = [...env, ...(process.env.FAKE_ENV ?? '').split(' ').filter(Boolean)];
  return all.flatMap((one) => ['-e', one.includes('=') ? one : `${one}=${process.env[one] ?? ''}`]);
}

async function stop(names) {
  for (const name of names) {
    const pid = Number(readFileSync(join(folder, `${name}.pid`), 'utf8'));
    process.kill(pid, 'SIGTERM');
    while (alive(pid)) await sleep(20);
    console.log(name);
  }
}

function alive(pid) {
  try {
    process.kill(pid, 0);
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

const [command, ...args] = process.argv.slice(2);
try {
  if (command === 'run') run(args);
  else if (command === 'stop') await stop(args);
  else if (command === 'logs') process.stdout.write(readFileSync(join(folder, `${args[0]}.log`), 'utf8'));
  else if (command === 'build')
    parseArgs({
      args,
      allowPositionals: true,
      options: { tag: { type: 'string', short: 't' }, 'build-arg': { type: 'string' } },
    });
  else if (command !== 'network' || args[0] !== 'create') throw new Error(`${command} is not followed here`);
} catch (error) {
  console.error(`docker: ${error.message}`);
  process.exitCode = 125;
}

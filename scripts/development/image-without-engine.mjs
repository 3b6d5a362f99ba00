/*
 * Builds the image of the Dockerfile without a container engine: follows its stages into a folder,
 * step by step, and runs the result as the image's user, on files that this user cannot write. It
 * is no engine: the base image is the host with the project's own Node, paths of the image are
 * paths below the folder, and RUN steps are not isolated. An unknown instruction is a failure.
 *
 *   node scripts/development/image-without-engine.mjs build FOLDER [--reuse-install]   (uses the installed packages instead of `npm ci`)
 *   node scripts/development/image-without-engine.mjs run FOLDER [-e NAME=VALUE]... [healthcheck]
 */

import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, readFileSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, delimiter, join, resolve } from 'node:path';
import process from 'node:process';
import { NODE, ROOT } from '../lib/prepare.mjs';

const USAGE = 64;

/** Returns instructions as `{ keyword, flags, text }`, without comments and line continuations. */
function instructionsOf(dockerfile) {
  const lines = dockerfile.split('\n').filter((line) => !/^\s*#/.test(line));
  return lines
    .join('\n')
    .replace(/\\\n/g, ' ')
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const [, keyword, rest] = /^\s*(\w+)\s+(.*)$/.exec(line) ?? [];
      if (keyword === undefined) throw new Error(`unable to read the Dockerfile; this line is no instruction: ${line}`);
      const flags = {};
      const text = rest.replace(/^(?:--(\S+?)=(\S+)\s+)+/, (all) => {
        for (const [, name, value] of all.matchAll(/--(\S+?)=(\S+)/g)) flags[name] = value;
        return '';
      });
      return { keyword: keyword.toUpperCase(), flags, text: text.trim() };
    });
}

const expand = (text, vars) =>
  text.replace(/\$\{(\w+)(?::-([^}]*))?\}|\$(\w+)/g, (_all, a, or, b) => vars[a ?? b] ?? or ?? '');
const unquote = (text) => text.replace(/^"(.*)"$/, '$1');
const pairs = (text) => [...text.matchAll(/([\w.-]+)=("[^"]*"|\S+)/g)].map(([, name, value]) => [name, unquote(value)]);

/** Names that .dockerignore excludes from the context; its patterns name entries at the top. */
function ignored(context) {
  const patterns = readFileSync(join(context, '.dockerignore'), 'utf8').split('\n').filter(Boolean);
  const tests = patterns.map((pattern) => new RegExp(`^${pattern.replaceAll('.', '\\.').replaceAll('*', '[^/]*')}$`));
  return (path) => tests.some((test) => test.test(path.split('/')[0]));
}

function build(folder, reuseInstall, context = ROOT) {
  const base = join(folder, 'base');
  mkdirSync(base, { recursive: true });
  chmodSync(folder, 0o755);
  // A place from which every user can run it.
  cpSync(spawnSync(NODE, ['-p', 'process.execPath'], { encoding: 'utf8' }).stdout.trim(), join(base, 'node'));
  const without = ignored(context);
  const args = {};
  const stages = new Map();
  let stage;
  for (const { keyword, flags, text } of instructionsOf(readFileSync(join(context, 'Dockerfile'), 'utf8'))) {
    const vars = { ...args, ...stage?.args, ...stage?.env };
    const inStage = (path) => join(stage.root, path.startsWith('/') ? path : join(stage.workdir, path));
    switch (keyword) {
      case 'ARG': {
        const [name, value = ''] = text.split(/=(.*)/s);
        (stage?.args ?? args)[name] = value;
        break;
      }
      case 'FROM': {
        const name = / as (\S+)$/i.exec(text)?.[1] ?? `${stages.size}`;
        stage = { root: join(folder, name), workdir: '/', args: {}, env: {}, labels: {}, exposed: [] };
        mkdirSync(stage.root, { recursive: true });
        stages.set(name, stage);
        break;
      }
      case 'WORKDIR':
        stage.workdir = expand(text, vars);
        mkdirSync(inStage('.'), { recursive: true });
        break;
      case 'COPY': {
        const paths = text.split(/\s+/);
        const to = paths.pop();
        const from = flags.from === undefined ? context : stages.get(flags.from)?.root;
        if (from === undefined) throw new Error(`unable to follow COPY --from=${flags.from}; there is no such stage`);
        for (const path of paths) {
          if (flags.from === undefined && without(path))
            throw new Error(`.dockerignore keeps out ${path}, which is copied`);
          const source = join(from, path);
          const into = to.endsWith('/') || paths.length > 1;
          const target = into ? join(inStage(to), basename(path)) : inStage(to);
          cpSync(source, target, { recursive: statSync(source).isDirectory(), verbatimSymlinks: true });
        }
        break;
      }
      case 'RUN': {
        if (reuseInstall && text === 'npm ci') {
          symlinkSync(join(context, 'node_modules'), inStage('node_modules'));
          break;
        }
        const env = { ...process.env, ...stage.env, npm_config_prefer_offline: 'true' };
        env.PATH = [
          base,
          ...(process.env.PATH ?? '').split(delimiter).filter((part) => !part.includes('node_modules')),
        ].join(delimiter);
        const ran = spawnSync('sh', ['-c', text], { cwd: inStage('.'), env, encoding: 'utf8' });
        if (ran.status !== 0)
          throw new Error(`unable to build; \`${text}\` ended with ${ran.status}:\n${ran.stdout}${ran.stderr}`);
        break;
      }
      case 'ENV':
        Object.assign(stage.env, Object.fromEntries(pairs(text).map(([name, value]) => [name, expand(value, vars)])));
        break;
      case 'LABEL':
        Object.assign(
          stage.labels,
          Object.fromEntries(pairs(text).map(([name, value]) => [name, expand(value, vars)])),
        );
        break;
      case 'EXPOSE':
        stage.exposed = text.split(/\s+/).map(Number);
        break;
      case 'USER':
        stage.user = text;
        break;
      case 'ENTRYPOINT':
        stage.entrypoint = JSON.parse(text);
        break;
      case 'HEALTHCHECK': {
        const [, command] = /CMD\s+(\[.*\])$/.exec(text) ?? [];
        if (command === undefined)
          throw new Error('unable to follow HEALTHCHECK; it must name a program, not a shell line');
        stage.healthcheck = { ...flags, command: JSON.parse(command) };
        break;
      }
      default:
        throw new Error(`unable to follow the Dockerfile; this script does not know ${keyword}`);
    }
  }
  if (process.getuid?.() !== 0) readOnly(stage.root);
  writeFileSync(join(folder, 'image.json'), JSON.stringify({ ...stage, base }, null, 2));
}

/**
 * Other users cannot write root's files; for files of another owner this removes write permission.
 */
function readOnly(path) {
  for (const entry of readdirSync(path, { recursive: true, withFileTypes: true })) {
    if (!entry.isSymbolicLink()) chmodSync(join(entry.parentPath, entry.name), entry.isDirectory() ? 0o555 : 0o444);
  }
}

/** Runs a program in place of this process: passes signals in and the exit code out. */
function start(folder, given, what) {
  const image = JSON.parse(readFileSync(join(folder, 'image.json'), 'utf8'));
  const below = (value) => value.replace(/^\/app(?=\/|$)/, join(image.root, 'app'));
  const env = { PATH: [image.base, '/usr/bin', '/bin'].join(delimiter) };
  for (const [name, value] of Object.entries({ ...image.env, ...given })) env[name] = below(value);
  const command = what === 'healthcheck' ? image.healthcheck.command : image.entrypoint;
  const [uid, gid] = image.user.split(':');
  const as = ['--reuid', uid, '--regid', gid, '--clear-groups', '--no-new-privs', '--inh-caps=-all', '--'];
  const [program, ...rest] = process.getuid?.() === 0 ? ['setpriv', ...as, ...command] : command;
  const child = spawn(program, rest, { cwd: join(image.root, image.workdir), env, stdio: 'inherit' });
  for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => {
    console.error(`unable to run ${program}; ${error.message}`);
    process.exitCode = 127;
  });
  child.on('exit', (code, signal) => (process.exitCode = code ?? (signal === 'SIGKILL' ? 137 : 143)));
}

if (process.argv[1] === import.meta.filename) {
  const [command, folder, ...rest] = process.argv.slice(2);
  const given = {};
  const reuse = rest[0] === '--reuse-install' && rest.shift() !== undefined;
  while (rest[0] === '-e') {
    const [name, value = ''] = rest.splice(0, 2)[1].split(/=(.*)/s);
    given[name] = value;
  }
  if (command === 'build' && folder !== undefined && rest.length === 0) build(resolve(folder), reuse);
  else if (command === 'run' && folder !== undefined && rest.every((word) => word === 'healthcheck'))
    start(resolve(folder), given, rest[0]);
  else {
    console.error(
      'usage: image-without-engine.mjs build FOLDER [--reuse-install] | run FOLDER [-e NAME=VALUE]... [healthcheck]',
    );
    process.exitCode = USAGE;
  }
}

/*
 * Prepares a fresh checkout: installs the dependencies of the lock file, and builds the sources.
 * Does nothing if nothing has changed. Runs under any Node from 18 on, without packages.
 */

import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { alone } from './alone.mjs';
import { run, seconds } from './run.mjs';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const BIN = join(ROOT, 'node_modules/.bin');
/** The project's own Node, which is one of its dependencies. */
export const NODE = join(BIN, 'node');

const BUILT_FROM = [
  'src',
  'client',
  'scripts/development/build-client.mjs',
  'tsconfig.json',
  'tsconfig.build.json',
  'tsconfig.quick.json',
  'nest-cli.json',
  'package-lock.json',
];
const INSTALL_LIMIT_MS = 10 * 60_000;
const BUILD_LIMIT_MS = 10 * 60_000;

/** The environment in which the project's own programs come first. */
export function ownEnv() {
  return { ...process.env, PATH: [BIN, foreignPath()].join(delimiter) };
}

/** PATH without the project's own programs: an install replaces them while it runs. */
function foreignPath() {
  const folders = (process.env.PATH ?? '').split(delimiter);
  return folders.filter((folder) => resolve(folder) !== BIN).join(delimiter);
}

/**
 * Whether npm's record of its last install in `root` matches the lock file. Optional packages may
 * be absent: they belong to other platforms.
 */
export function installIsCurrent(root = ROOT) {
  const wanted = packagesOf(join(root, 'package-lock.json'));
  const present = packagesOf(join(root, 'node_modules/.package-lock.json'));
  if (wanted === undefined || present === undefined) return false;
  return Object.entries(wanted).every(([path, { version, integrity, optional }]) => {
    if (path === '') return true;
    const found = present[path];
    if (found === undefined) return optional === true;
    return found.version === version && found.integrity === integrity;
  });
}

function packagesOf(lockFile) {
  try {
    return JSON.parse(readFileSync(lockFile, 'utf8')).packages;
  } catch {
    return undefined;
  }
}

/** Returns a digest of all inputs of a build. */
export function sourcesDigest(root = ROOT, paths = BUILT_FROM) {
  const hash = createHash('sha256');
  const add = (path) => {
    const full = join(root, path);
    if (!existsSync(full)) return;
    if (statSync(full).isDirectory())
      readdirSync(full)
        .sort()
        .forEach((name) => add(`${path}/${name}`));
    else hash.update(`${path}\0`).update(readFileSync(full)).update('\0');
  };
  paths.forEach(add);
  return hash.digest('hex');
}

/**
 * Installs and builds if needed, one line each; one process of a checkout at a time.
 * @returns {Promise<boolean>} false if it failed, with the cause printed
 */
export function prepare() {
  return alone(join(ROOT, '.cache/preparing'), prepareAlone, (pid) =>
    process.stderr.write(`waiting for process ${pid}, which installs or builds here\n`),
  );
}

async function prepareAlone() {
  if (!installIsCurrent()) {
    const args = ['ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'];
    const env = { ...process.env, PATH: foreignPath() };
    if (!(await phase('installing dependencies', 'npm', args, env, INSTALL_LIMIT_MS))) return false;
  }
  const { code } = await run(NODE, ['--version']);
  if (code !== 0) {
    process.stderr.write(
      `unable to continue; the Node of this project does not run on ${process.platform}-${process.arch}; use Linux (glibc) or macOS\n`,
    );
    return false;
  }
  const stamp = join(ROOT, 'dist/.built-from');
  const digest = sourcesDigest();
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === digest) return true;
  // The check judges the types, once.
  if (!(await phase('building', 'npm', ['run', '--silent', 'build:quick'], ownEnv(), BUILD_LIMIT_MS))) return false;
  writeFileSync(stamp, digest);
  return true;
}

async function phase(what, command, args, env, limitMs) {
  process.stderr.write(`${what} ... `);
  const { code, output, timedOut, ms } = await run(command, args, { cwd: ROOT, env, limitMs });
  process.stderr.write(`${seconds(ms)}\n`);
  if (code === 0 && !timedOut) return true;
  const why = timedOut
    ? `it took longer than ${seconds(limitMs)}`
    : `"${command} ${args.join(' ')}" ended with ${code}`;
  process.stderr.write(`${output}\nunable to continue; ${what} failed: ${why}; see its output above\n`);
  return false;
}

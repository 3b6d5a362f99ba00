/*
 * Programs that some suites need and npm does not install. On Debian as root they are installed;
 * elsewhere they are reported.
 */

import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import process from 'node:process';
import { run, seconds } from './run.mjs';

export const TOOLS = [
  {
    program: 'redis-server',
    apt: 'redis-server',
    brew: 'redis',
    why: 'the contract and system suites run on a real Redis',
  },
  { program: 'chromium', apt: 'chromium', brew: 'chromium', why: 'the browser suite drives a real browser' },
  { program: 'prometheus', apt: 'prometheus', brew: 'prometheus', why: 'every query of dashboard and alerts is run' },
  { program: 'promtool', apt: 'prometheus', brew: 'prometheus', why: 'the alert rules have tests of their own' },
  {
    program: 'prometheus-alertmanager',
    apt: 'prometheus-alertmanager',
    brew: 'alertmanager',
    why: 'an alert is followed to a webhook',
  },
  { program: 'amtool', apt: 'prometheus-alertmanager', brew: 'alertmanager', why: 'Alertmanager’s example is checked' },
  { program: 'shellcheck', apt: 'shellcheck', brew: 'shellcheck', why: 'the rollout scripts are checked' },
  { program: 'kubectl', apt: 'kubernetes-client', brew: 'kubernetes-cli', why: 'the manifests are rendered' },
  { program: 'curl', apt: 'curl', brew: 'curl', why: 'the rollout scripts request a turn' },
  { program: 'haproxy', apt: 'haproxy', brew: 'haproxy', why: 'the load balancer of compose.yaml is tried' },
  { program: 'python3', apt: 'python3-venv', brew: 'python', why: 'the clients for Python are tried' },
  { program: 'go', apt: 'golang-go', brew: 'go', why: 'the client for Go is tried, and Helm is built' },
  { program: 'javac', apt: 'default-jdk-headless', brew: 'openjdk', why: 'the client for Java is tried' },
  { program: 'mvn', apt: 'maven', brew: 'maven', why: 'the client for Java is installed' },
  { program: 'openssl', apt: 'openssl', brew: 'openssl', why: 'Redis over TLS needs certificates' },
  { program: 'mkfifo', apt: 'coreutils', brew: 'coreutils', why: 'the audit log is written to a named pipe' },
];
const LIMIT_MS = 8 * 60_000;

const missing = () => TOOLS.filter(({ program }) => !onPath(program));

/**
 * @returns {Promise<boolean>} false if a program is missing and could not be installed; it is
 * reported
 */
export async function ensureTools() {
  if (missing().length > 0 && isDebianRoot()) await install(missing());
  const left = missing();
  for (const { program, apt, brew, why } of left) {
    console.error(`missing: ${program} (${why}); install it: apt-get install ${apt}, or brew install ${brew}`);
  }
  return left.length === 0;
}

async function install(tools) {
  const packages = [...new Set(tools.map(({ apt }) => apt))];
  process.stderr.write(`installing ${packages.join(', ')} ... `);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const update = await run('apt-get', ['update', '-q'], { env, limitMs: LIMIT_MS });
  const add = await run('apt-get', ['install', '-y', '-q', '--no-install-recommends', ...packages], {
    env,
    limitMs: LIMIT_MS,
  });
  process.stderr.write(`${seconds(update.ms + add.ms)}\n`);
  if (add.code !== 0) process.stderr.write(`${update.output}${add.output}\n`);
}

function isDebianRoot() {
  return process.getuid?.() === 0 && existsSync('/etc/debian_version') && onPath('apt-get');
}

export function onPath(program) {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/*
 * Another gateway, beside the relay and Sluice over what they all speak: chat completions over
 * server-sent events. It is installed once, in the version named here, below .cache/bench/peers.
 */

import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { freePort, keep, listening } from './processes.js';
import { type System } from './systems.js';

const PEERS = resolve('.cache/bench/peers');
/** LiteLLM imports every provider that it knows. */
const STARTS_WITHIN_MS = 180_000;

const LITELLM = '1.106.12';
/** LiteLLM does not start without a key of its own. */
const LITELLM_KEY = 'sk-bench';

/** Has no probe: its CPU is read from the operating system, exact to 10 ms. */
export const litellm: System = {
  name: 'litellm',
  label: `LiteLLM proxy ${LITELLM}, one worker`,
  needsRedis: false,
  sockets: false,
  metrics: false,
  speaks: 'chat',
  start: async ({ upstream }) => {
    const program = installed();
    const port = await freePort();
    const args = ['--config', configFor(upstream), '--host', '127.0.0.1', '--port', String(port), '--num_workers', '1'];
    const out = process.env['BENCH_OUT'] === undefined ? 'ignore' : 'inherit';
    const env = { ...process.env, LITELLM_MASTER_KEY: LITELLM_KEY };
    const child = keep(spawn(program, args, { env, stdio: ['ignore', out, out] }));
    await listening(child, port, STARTS_WITHIN_MS);
    const headers = { authorization: `Bearer ${LITELLM_KEY}` };
    return { children: [child], targets: [{ dialect: 'chat-sse', url: `http://127.0.0.1:${port}/v1`, headers }] };
  },
};

/** Installs LiteLLM, unless it is there. @returns its program */
function installed(): string {
  const folder = join(PEERS, `litellm-${LITELLM}`);
  const program = join(folder, 'bin/litellm');
  if (!existsSync(program)) {
    must('python3', ['-m', 'venv', folder]);
    must(join(folder, 'bin/pip'), ['install', '--quiet', `litellm[proxy]==${LITELLM}`]);
  }
  return program;
}

function configFor(upstream: string): string {
  const file = join(mkdtempSync(join(tmpdir(), 'sluice-bench-')), 'litellm.json');
  const params = { model: 'openai/gpt-4o-mini', api_base: upstream, api_key: 'bench' };
  // JSON is YAML.
  writeFileSync(file, JSON.stringify({ model_list: [{ model_name: 'gpt-4o-mini', litellm_params: params }] }));
  return file;
}

/** @throws Error if the command fails */
function must(command: string, args: readonly string[]): void {
  const { status, error } = spawnSync(command, args, { stdio: 'inherit' });
  if (status !== 0) throw new Error(`unable to install a peer; ${command} ended with ${status ?? String(error)}`);
}

/*
 * Gateways of others, beside the relay and Sluice over what they all speak: chat completions over server-sent events. Each is installed
 * once, in the version named here, below .cache/bench/peers.
 */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
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

/** A peer has no probe: its CPU is read from the operating system, exact to 10 ms. */
interface Peer {
  readonly name: string;
  readonly label: string;
  /** Installs it, unless it is there. @returns the program and its arguments up to its own */
  install(): readonly string[];
  argumentsFor(port: number, upstream: string): readonly string[];
  /** Sent with each request. */
  readonly headers: Readonly<Record<string, string>>;
}

const litellm: Peer = {
  name: 'litellm',
  label: `LiteLLM proxy ${LITELLM}, one worker`,
  install: () => {
    const folder = join(PEERS, `litellm-${LITELLM}`);
    const program = join(folder, 'bin/litellm');
    if (!existsSync(program)) {
      must('python3', ['-m', 'venv', folder]);
      must(join(folder, 'bin/pip'), ['install', '--quiet', `litellm[proxy]==${LITELLM}`]);
    }
    return [program];
  },
  argumentsFor: (port, upstream) => {
    const config = join(mkdtempSync(join(tmpdir(), 'sluice-bench-')), 'litellm.json');
    const params = { model: 'openai/gpt-4o-mini', api_base: upstream, api_key: 'bench' };
    // JSON is YAML.
    writeFileSync(config, JSON.stringify({ model_list: [{ model_name: 'gpt-4o-mini', litellm_params: params }] }));
    return ['--config', config, '--host', '127.0.0.1', '--port', String(port), '--num_workers', '1'];
  },
  headers: { authorization: `Bearer ${LITELLM_KEY}` },
};

function system({ name, label, install, argumentsFor, headers }: Peer): System {
  return {
    name,
    label,
    needsRedis: false,
    sockets: false,
    metrics: false,
    speaks: 'chat',
    start: async ({ upstream }) => {
      const [program, ...before] = install();
      if (program === undefined) throw new Error(`unable to start ${name}; it has no program`);
      const port = await freePort();
      const child = start(program, [...before, ...argumentsFor(port, upstream)]);
      await listening(child, port, STARTS_WITHIN_MS);
      const target = {
        dialect: 'chat-sse',
        url: `http://127.0.0.1:${port}/v1`,
        headers,
      } as const;
      return { children: [child], targets: [target] };
    },
  };
}

function start(program: string, args: readonly string[]): ChildProcess {
  const out = process.env['BENCH_OUT'] === undefined ? 'ignore' : 'inherit';
  const env = { ...process.env, LITELLM_MASTER_KEY: LITELLM_KEY };
  return keep(spawn(program, args, { env, stdio: ['ignore', out, out] }));
}

/** @throws Error if the command fails */
function must(command: string, args: readonly string[]): void {
  const { status, error } = spawnSync(command, args, { stdio: 'inherit' });
  if (status !== 0) throw new Error(`unable to install a peer; ${command} ended with ${status ?? String(error)}`);
}

export const PEER_SYSTEMS: readonly System[] = [litellm].map(system);

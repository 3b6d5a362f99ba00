/*
 * What is compared: how each system is started for a bench and how the load generator talks to it.
 */

import { type ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type Target } from './ipc.js';
import { litellm } from './peers.js';
import { freePort, listening, startNode } from './processes.js';
import { bannedWords } from './words.js';

export interface Surroundings {
  /** The provider, up to and including `/v1`. */
  readonly upstream: string;
  readonly redisUrl: string | null;
}

export interface RunningSystem {
  /**
   * None: there is no process between, the client talks to the provider. Several: replicas, each
   * with its target.
   */
  readonly children: readonly ChildProcess[];
  readonly targets: readonly Target[];
  /** Address of a gateway's metrics. */
  readonly metricsUrls?: readonly string[];
}

export interface System {
  readonly name: string;
  readonly label: string;
  readonly needsRedis: boolean;
  /** Has connections that may be idle. */
  readonly sockets: boolean;
  /** Has metrics, and conversations: it is a gateway. */
  readonly metrics: boolean;
  /** `chat`: measured only beside the peers, over chat completions. */
  readonly speaks?: 'chat';
  start(around: Surroundings): Promise<RunningSystem>;
}

const direct: System = {
  name: 'direct',
  label: 'no gateway: the client reads the provider',
  needsRedis: false,
  sockets: false,
  metrics: false,
  start: async ({ upstream }) => ({ children: [], targets: [{ dialect: 'chat-sse', url: upstream }] }),
};

const floor: System = {
  name: 'floor',
  label: 'plain ws relay (the floor)',
  needsRedis: false,
  sockets: true,
  metrics: false,
  start: (around) => startRelay('floor', around, 'responses-ws'),
};

const floorSse: System = {
  name: 'floor-sse',
  label: 'plain SSE relay (the floor)',
  needsRedis: false,
  sockets: false,
  metrics: false,
  speaks: 'chat',
  start: (around) => startRelay('floor-sse', around, 'chat-sse'),
};

const naiveRedis: System = {
  name: 'naive-redis',
  label: 'naive relay, XADD + PUBLISH a delta',
  needsRedis: true,
  sockets: true,
  metrics: false,
  start: (around) => startRelay('naive-redis', around, 'responses-ws'),
};

const aiSdk: System = {
  name: 'ai-sdk',
  label: 'AI SDK with resumable-stream, SSE',
  needsRedis: true,
  sockets: false,
  metrics: false,
  start: (around) => startRelay('ai-sdk', around, 'ui-sse'),
};

const PACK = 'packs/support.pack.json';
/** So that the turns of a conversation cost the same after a minute as at its start. */
const CONVERSATION_ITEMS = 20;
const GUARDS = { bannedWords: 1_000, maxCharacters: 100_000 } as const;

export interface SluiceOptions {
  readonly name: string;
  readonly label: string;
  /** Where it was built to. */
  readonly dist: string;
  /** In Redis; else in memory. */
  readonly redis?: boolean;
  readonly replicas?: number;
  /** Whether Redis holds text encrypted. */
  readonly encrypted?: boolean;
  /** Whether each turn is tried on a candidate version of its prompt, too. */
  readonly shadow?: boolean;
  readonly speaks?: 'chat';
}

/** The gateway as `npm run build` made it, with guards and metrics on. */
export function sluice(options: SluiceOptions): System {
  const { name, label, dist, redis = false, replicas = 1, encrypted = false, shadow = false, speaks } = options;
  return {
    name,
    label,
    needsRedis: redis,
    sockets: true,
    metrics: true,
    ...(speaks === undefined ? {} : { speaks }),
    start: async ({ upstream, redisUrl }) => {
      const started = await Promise.all(
        Array.from({ length: replicas }, () =>
          startReplica({ dist, upstream, redisUrl: redis ? redisUrl : null, encrypted, shadow }),
        ),
      );
      return {
        children: started.map(({ child }) => child),
        targets: started.map(({ target, chat }) => (speaks === 'chat' ? chat : target)),
        metricsUrls: started.map(({ metricsUrl }) => metricsUrl),
      };
    },
  };
}

interface ReplicaOptions {
  readonly dist: string;
  readonly upstream: string;
  readonly redisUrl: string | null;
  readonly encrypted: boolean;
  readonly shadow: boolean;
}

async function startReplica({ dist, upstream, redisUrl, encrypted, shadow }: ReplicaOptions): Promise<{
  readonly child: ChildProcess;
  readonly target: Target;
  readonly chat: Target;
  readonly metricsUrl: string;
}> {
  const [port, opsPort] = [await freePort(), await freePort()];
  const folder = mkdtempSync(join(tmpdir(), 'sluice-bench-'));
  const path = join(folder, 'config.json');
  const template = shadow ? shadowedPrompt(folder) : { source: resolve(PACK), default: 'support' };
  writeFileSync(path, JSON.stringify(sluiceConfig({ upstream, port, opsPort, redisUrl, encrypted, template })));
  const env = { CONFIG_PATH: path, OPENAI_API_KEY: 'bench', STATE_KEY: Buffer.alloc(32, 7).toString('base64') };
  const child = startNode(join(resolve(dist), 'main.js'), env);
  await listening(child, port);
  const url = `ws://127.0.0.1:${port}/v1/responses?on_disconnect=cancel`;
  const chat = { dialect: 'chat-sse', url: `http://127.0.0.1:${port}/v1` } as const;
  return { child, chat, target: { dialect: 'responses-ws', url }, metricsUrl: `http://127.0.0.1:${opsPort}/metrics` };
}

/** Writes the pack in two versions, of which every turn of the first is tried on the second. */
function shadowedPrompt(folder: string): object {
  const pack = JSON.parse(readFileSync(PACK, 'utf8')) as object;
  for (const version of ['1.0.0', '1.1.0'])
    writeFileSync(join(folder, `support-${version}.pack.json`), JSON.stringify({ ...pack, version }));
  return {
    source: folder,
    default: 'support/support',
    canary: { 'support/support': { '1.0.0': 100 } },
    shadow: { 'support/support': { version: '1.1.0', sample: 1, max_per_hour: 1_000_000, cost_per_hour_usd: 1_000 } },
  };
}

interface SluiceConfig {
  readonly upstream: string;
  readonly port: number;
  readonly opsPort: number;
  /** Null: state in memory. */
  readonly redisUrl: string | null;
  readonly encrypted: boolean;
  readonly template: object;
}

function sluiceConfig({ upstream, port, opsPort, redisUrl, encrypted, template }: SluiceConfig): unknown {
  const encryption = encrypted ? { encryption: { key_env: 'STATE_KEY' } } : {};
  return {
    app: { name: 'bench', port },
    provider: { type: 'openai', model: 'gpt-4o-mini', base_url: upstream },
    state: {
      ...(redisUrl === null ? { type: 'memory' } : { type: 'redis', url: redisUrl, ...encryption }),
      max_messages: CONVERSATION_ITEMS,
    },
    middleware: {
      template,
      validator: { banned_words: bannedWords(GUARDS.bannedWords), max_length: GUARDS.maxCharacters },
    },
    monitoring: { metrics: { enabled: true, port: opsPort }, logging: { format: 'json' } },
  };
}

async function startRelay(
  entry: string,
  { upstream, redisUrl }: Surroundings,
  dialect: Target['dialect'],
): Promise<RunningSystem> {
  const port = await freePort();
  const child = startNode(entry, { PORT: String(port), UPSTREAM: upstream, REDIS_URL: redisUrl ?? '' });
  await listening(child, port);
  const scheme = dialect === 'responses-ws' ? 'ws' : 'http';
  return { children: [child], targets: [{ dialect, url: `${scheme}://127.0.0.1:${port}` }] };
}

/** In the order in which a round measures them. `dist`: where the gateway was built to. */
export function systemsOf(dist: string): readonly System[] {
  return [
    direct,
    floor,
    naiveRedis,
    aiSdk,
    sluice({ name: 'sluice', label: 'Sluice, memory, 1,000 banned words, metrics', dist }),
    sluice({ name: 'sluice-shadow', label: 'Sluice, memory, each turn tried on a candidate', dist, shadow: true }),
    sluice({ name: 'sluice-redis', label: 'Sluice, Redis, the same', dist, redis: true }),
    sluice({ name: 'sluice-redis-encrypted', label: 'Sluice, Redis, encrypted', dist, redis: true, encrypted: true }),
    floorSse,
    sluice({ name: 'sluice-chat', label: 'Sluice, memory, 1,000 banned words, metrics', dist, speaks: 'chat' }),
    sluice({ name: 'sluice-chat-redis', label: 'Sluice, Redis, the same', dist, redis: true, speaks: 'chat' }),
    litellm,
    sluice({ name: 'sluice-redis-2', label: 'Sluice, Redis, two replicas', dist, redis: true, replicas: 2 }),
  ];
}

/*
 * The state that all replicas share, in Redis: opens the connections, creates the stores on them,
 * and starts the heartbeat.
 */

import { randomUUID } from 'node:crypto';
import { SluiceError } from '../../domain/errors.js';
import { systemTime } from '../../domain/time.js';
import { MAX_BYTES } from '../conversation-store.js';
import { LOG_TIMES } from '../event-log.js';
import { LISTED_MS } from '../owner-index.js';
import { longestTtl } from '../retention.js';
import { type State } from '../state.js';
import { RedisConversationAnnouncements } from './conversation/redis-conversation-announcements.js';
import { LogPacker, replicaName } from './log/log-packer.js';
import { AppendQueue } from './log/append-queue.js';
import { RedisConnector } from './connection/redis-connector.js';
import { RedisStartError, startError } from './connection/start-error.js';
import { RedisOwnerIndex } from './redis-owner-index.js';
import { RedisCredentialStore } from './redis-credential-store.js';
import { Heartbeat } from './connection/heartbeat.js';
import { memoryOf, type RedisMemory } from './connection/redis-memory.js';
import { LocalFollowers } from './log/local-followers.js';
import { RedisKeys } from './redis-keys.js';
import { REDIS_TIMING, type RedisCounts, type RedisHooks, type RedisStateOptions } from './redis-options.js';
import { RedisCommands } from './connection/redis-commands.js';
import { RedisConversationClaim } from './conversation/redis-conversation-claim.js';
import { IndexLife } from './conversation/index-life.js';
import { RedisConversationEntry } from './conversation/redis-conversation-entry.js';
import { RedisConversationExit } from './conversation/redis-conversation-exit.js';
import { RedisConversationStore } from './conversation/redis-conversation-store.js';
import { meaningOf } from './connection/redis-errors.js';
import { RedisEventLog } from './log/redis-event-log.js';
import { RedisIdempotencyStore } from './redis-idempotency-store.js';
import { RedisRateLimiter } from './redis-rate-limiter.js';
import { RedisResponseStore } from './conversation/redis-response-store.js';
import { RedisTurnLease } from './log/redis-turn-lease.js';
import { Scripts } from './scripts.js';
import { DataKeys } from './encryption/data-keys.js';
import { MasterKeys } from './encryption/master-keys.js';
import { Scopes } from './encryption/scopes.js';
import { Vault } from './encryption/vault.js';
import { Subscriptions } from './connection/subscriptions.js';
import { WrittenTails } from './log/written-tails.js';

/**
 * Number of successful heartbeats after which limits are shared again, so that an unstable Redis
 * does not switch them to and fro.
 */
const LIMITER_SETTLES_BEATS = 5;

export interface RedisState extends State {
  readonly counts: Readonly<RedisCounts>;
  /** Whether the last heartbeat succeeded. */
  readonly isUp: boolean;
  /** Returns the memory of the fullest server. @throws SluiceError `state_unavailable` */
  memory(): Promise<RedisMemory>;
}

const NEEDED_VERSION = 7;

/**
 * Opens the state in Redis. Resolves when Redis answers and accepts writes.
 * @throws SluiceError `state_unavailable` if there is no answer within `startTimeoutMs`, the
 * credentials are wrong, or the version is too old
 */
export async function redisState(options: RedisStateOptions): Promise<RedisState> {
  const timing = { ...REDIS_TIMING, ...options.timing };
  const times = options.times ?? LOG_TIMES;
  let dataKeys: DataKeys | undefined;
  const hooks: RedisHooks = {
    ...options.hooks,
    onState: (now, reason) => {
      // A Redis replica that took over may lack the newest data keys.
      if (now === 'up') dataKeys?.recheck();
      options.hooks?.onState?.(now, reason);
    },
  };
  const counts = { commands: 0, appends: 0, messages: 0 };
  const { ttlMs, maxItems, maxBytes = MAX_BYTES, poolSize = 3, time = systemTime } = options;
  const { leaseMs } = times;
  const retention = { ttlMs, ...(options.ttlOfClass === undefined ? {} : { ttlOfClass: options.ttlOfClass }) };

  const connector = new RedisConnector(options, timing);
  const sharded = connector.mode === 'cluster';
  const keys = new RedisKeys(options.keyPrefix ?? 'sluice:');
  const scripts = new Scripts({ times, ...retention, sharded });
  const open = (name: string): RedisCommands =>
    new RedisCommands({ connector, client: connector.commands(name), timing, counts, hooks, time });
  const forLogs = open('sluice-log');
  const forStores = poolSize >= 3 ? open('sluice-store') : forLogs;
  const health = open('sluice-health');
  const { client } = forLogs;
  const cluster = 'slots' in client ? client : undefined;
  const subscriptions = new Subscriptions({ connector, cluster, timing, counts, hooks });
  const heartbeat = new Heartbeat({
    connector,
    health,
    forCommands: forStores === forLogs ? [forLogs] : [forLogs, forStores],
    subscriptions,
    script: scripts.get('heartbeat'),
    replicasKey: keys.replicas,
    replicaId: replicaName(options.replicaId ?? randomUUID()),
    leaseMs,
    timing,
    hooks,
    time,
  });
  if (options.encryption !== undefined) {
    const { write = true } = options.encryption;
    const masterKeys = new MasterKeys(options.encryption);
    // The connection of appends, so that no large read delays a turn that needs its key.
    dataKeys = new DataKeys({ commands: forLogs, keys, scripts, masterKeys, rewrap: write, time });
  }
  const vault = new Vault({
    hooks,
    ...(dataKeys === undefined ? {} : { dataKeys }),
    write: options.encryption?.write ?? true,
  });
  const scopes = new Scopes({ times });
  const local = new LocalFollowers(leaseMs, time);
  const packer = new LogPacker({
    commands: forStores,
    keys,
    scripts,
    vault,
    sharded,
    afterMs: timing.packAfterMs,
    time,
  });
  const close = async (): Promise<void> => {
    packer.close();
    await heartbeat.close();
    local.close();
    subscriptions.close();
    forLogs.close();
    forStores.close();
    health.close();
  };
  try {
    const onWait = (error: unknown): void =>
      hooks.onStartWaits?.(startError(error, connector.lastError, connector.addresses.join(', ')).message);
    await firstBeat([health, forLogs, forStores], { heartbeat, connector, timeoutMs: timing.startTimeoutMs, onWait });
    await checkDatabase(health, options.db ?? 0, connector);
    await checkServer(forLogs, hooks);
  } catch (error) {
    const { lastError, addresses } = connector;
    await close();
    throw startError(error, lastError, addresses.join(', '));
  }
  heartbeat.start();

  const appends = new AppendQueue({ commands: forLogs, keys, script: scripts.get('append'), sharded, counts });
  const logs = { commands: forLogs, subscriptions, local, keys, scripts, time };
  const stores = { commands: forStores, keys, scripts, vault, scopes, time };
  const { endedUnstoredMs } = times;
  const tails = new WrittenTails({ time });
  const claim = new RedisConversationClaim({ ...stores, subscriptions, leaseMs, pollMs: timing.claimPollMs });
  const life = new IndexLife({ ...stores, ...retention });
  const bounds = { maxItems, maxBytes };
  const conversations = new RedisConversationStore({ ...stores, ...retention, ...bounds, sharded, hooks, life });
  const responses = new RedisResponseStore({ ...stores, hooks, ...retention, deletedMs: times.deletedMs });
  const events = new RedisEventLog({
    ...logs,
    appends,
    responses,
    sharded,
    packer,
    tails,
    hooks,
    vault,
    scopes,
    endedUnstoredMs,
    retention,
    endedMs: times.endedMs,
  });
  return {
    events,
    lease: new RedisTurnLease({ ...logs, heartbeat, sharded, leaseMs }),
    claim,
    entry: new RedisConversationEntry({ ...stores, hooks, life, claim, conversations, maxBytes }),
    exit: new RedisConversationExit({ ...stores, events, conversations, sharded }),
    announcements: new RedisConversationAnnouncements({ ...stores, subscriptions, retryMs: timing.claimPollMs }),
    conversations,
    responses,
    limiter: new RedisRateLimiter({
      ...stores,
      heartbeat,
      hooks,
      settleMs: timing.heartbeatMs * LIMITER_SETTLES_BEATS,
    }),
    keys: new RedisIdempotencyStore({ ...stores, hooks }),
    credentials: new RedisCredentialStore({ ...stores, hooks }),
    index: new RedisOwnerIndex({ ...stores, listedMs: Math.max(LISTED_MS, longestTtl(retention)) }),
    counts,
    get isUp() {
      return heartbeat.isUp;
    },
    ping: () => heartbeat.beat(),
    memory: () => memoryOf(health),
    close,
  };
}

interface FirstBeatOptions {
  readonly heartbeat: Heartbeat;
  readonly connector: RedisConnector;
  readonly timeoutMs: number;
  /** Called with the first error after which the start keeps waiting. */
  readonly onWait: (error: unknown) => void;
}

/**
 * Refuses a database that does not exist: ioredis would continue in database 0.
 * @throws RedisStartError
 */
async function checkDatabase(commands: RedisCommands, db: number, connector: RedisConnector): Promise<void> {
  if (db === 0 || connector.mode === 'cluster') return;
  try {
    await commands.call('SELECT', db);
  } catch (error) {
    const [address] = [connector.addresses.join(', ')];
    const cause = error instanceof SluiceError ? error.cause : error;
    if (!/out of range|SELECT is not allowed/i.test(String(cause))) throw error;
    throw new RedisStartError('database', address, `it has no database ${db}`, 'use one that exists, such as 0', cause);
  }
}

/** After this time without an answer, a start logs that it waits, in milliseconds. */
const REPORT_WAIT_AFTER_MS = 2_500;

/**
 * Sends heartbeats until one succeeds. Errors that a retry cannot change, and the end of
 * `timeoutMs`, are thrown.
 */
async function firstBeat(
  forCommands: readonly RedisCommands[],
  { heartbeat, connector, timeoutMs, onWait }: FirstBeatOptions,
): Promise<void> {
  const startedAt = performance.now();
  let reported = false;
  for (;;) {
    try {
      // A heartbeat fails at once while a connection is being opened; PING waits for it.
      await Promise.all(forCommands.map((commands) => commands.call('PING')));
      await heartbeat.beat();
      return;
    } catch (error) {
      const { reason } = meaningOf(connector.lastError ?? (error instanceof Error ? error.cause : error));
      const hopeless = reason === 'auth' || reason === 'wrong_mode';
      if (hopeless || performance.now() - startedAt > timeoutMs) throw error;
      // One failed attempt on a busy machine is no trouble yet.
      const trouble = performance.now() - startedAt > Math.min(REPORT_WAIT_AFTER_MS, timeoutMs / 4);
      if (trouble && !reported) onWait(error);
      reported ||= trouble;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

/** Refuses a Redis that is too old, and reports settings under which Redis drops keys. */
async function checkServer(commands: RedisCommands, hooks: RedisHooks): Promise<void> {
  // A user without the permission for INFO is accepted: then neither is checked.
  const info = String(await commands.call('INFO').catch(() => ''));
  const version = /^redis_version:(\d+)/m.exec(info)?.[1];
  if (version !== undefined && Number(version) < NEEDED_VERSION) {
    throw new SluiceError(
      'state_unavailable',
      `unable to keep state in this Redis; its version is ${version}; use ${NEEDED_VERSION} or newer`,
      { retryable: false },
    );
  }
  const policy = /^maxmemory_policy:(\S+)/m.exec(info)?.[1];
  const limited = /^maxmemory:([1-9]\d*)/m.test(info);
  if (limited && policy !== undefined && policy !== 'noeviction') {
    hooks.onNotice?.(`Redis may drop keys when its memory is full (maxmemory-policy ${policy}); set it to noeviction`);
  }
}

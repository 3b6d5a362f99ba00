/* Opens Redis as the state, reports its health to metrics and log, and tracks its outages. */

import { StartMistake } from '../config/config-error.js';
import { type AppConfig } from '../config/schema.js';
import { type Secret } from '../config/secret.js';
import { tlsOptions } from '../config/resolve-tls.js';
import { SluiceError } from '../domain/errors.js';
import { type Log } from '../observability/log.js';
import { type Metrics } from '../observability/metrics.js';
import { type Outage } from '../state/outage.js';
import { RedisStartError, type StartSubject } from '../state/redis/connection/start-error.js';
import { type RedisHooks, type RedisStateOptions } from '../state/redis/redis-options.js';
import { redisState, type RedisState } from '../state/redis/redis-state.js';
import { type State } from '../state/state.js';

const SAMPLE_EVERY_MS = 1_000;
const MEMORY_EVERY_MS = 15_000;

/** Bounds of what is stored, which every state has. */
export type StateLimits = Pick<RedisStateOptions, 'ttlMs' | 'ttlOfClass' | 'maxItems' | 'maxBytes'>;

/** @throws SluiceError `state_unavailable` if Redis does not answer or rejects the credentials */
export async function openRedis(
  config: AppConfig,
  limits: StateLimits,
  { outage, logger, metrics }: { readonly outage: Outage; readonly logger: Log; readonly metrics: Metrics },
): Promise<State> {
  const { url, mode, nodes, sentinel_master, sentinel_password, username, password } = config.state;
  const { db, pool_size, key_prefix } = config.state;
  const { tls } = config.state;
  const state = await redisState({
    ...limits,
    url: url ?? '',
    mode,
    nodes: nodes.map(addressOf),
    db,
    poolSize: pool_size,
    keyPrefix: key_prefix ?? `${config.app.name}:`,
    hooks: redisHooks(outage, logger, metrics),
    ...encryptionOptions(config.state.encryption),
    ...(tls === null ? {} : { tls: tlsOptions(tls) }),
    ...(sentinel_master === null ? {} : { sentinelMaster: sentinel_master }),
    ...(sentinel_password === null ? {} : { sentinelPassword: sentinel_password.reveal() }),
    ...(username === null ? {} : { username }),
    ...(password === null ? {} : { password: password.reveal() }),
  }).catch((error: unknown) => {
    throw stateStartError(error, config);
  });
  let counted = 0;
  const sample = setInterval(() => {
    metrics.of.state_commands_total.inc(state.counts.commands - counted);
    counted = state.counts.commands;
  }, SAMPLE_EVERY_MS).unref();
  const memory = setInterval(() => void sampleMemory(state, metrics), MEMORY_EVERY_MS).unref();
  await sampleMemory(state, metrics);
  const close = async (): Promise<void> => {
    clearInterval(sample);
    clearInterval(memory);
    outage.close();
    await state.close();
  };
  return { ...state, ping: () => state.ping(), close };
}

/** The master keys as bytes; the configuration has checked their form. */
function encryptionOptions({ keys, write }: AppConfig['state']['encryption']): Pick<RedisStateOptions, 'encryption'> {
  if (keys === null) return {};
  const bytesOf = (secret: Secret): Buffer => Buffer.from(secret.reveal(), 'base64');
  const { current, next, previous } = keys;
  const nextKey = next === null ? {} : { nextKey: bytesOf(next) };
  return { encryption: { key: bytesOf(current), ...nextKey, previousKeys: previous.map(bytesOf), write } };
}

/** Keeps the last figures if Redis does not answer, or if its user may not read INFO. */
async function sampleMemory(state: Pick<RedisState, 'memory'>, { of }: Metrics): Promise<void> {
  const memory = await state.memory().catch(() => undefined);
  if (memory === undefined) return;
  of.state_used_bytes.set(memory.usedBytes);
  of.state_max_bytes.set(memory.maxBytes);
}

function redisHooks(outage: Outage, logger: Log, metrics: Metrics): RedisHooks {
  let found = false;
  return {
    onState: (now, reason) => {
      // The first report is no change: if Redis does not answer at the start, `openRedis` throws.
      const first = !found;
      found ||= now === 'up';
      if (first) return;
      metrics.of.state_up.set(now === 'up' ? 1 : 0);
      if (now === 'up') {
        outage.end();
        logger.info({}, 'state store is back');
      } else {
        outage.start();
        logger.error({ reason }, 'state store is away');
      }
    },
    onStartWaits: (cause) => logger.warn({ cause }, 'state store does not answer yet'),
    onError: (reason) => metrics.of.state_errors_total.inc({ reason }),
    onTailRepaired: (events) => {
      metrics.of.tail_repairs_total.inc();
      logger.warn({ events }, 'rewrote events lost by the state store');
    },
    onUnreadable: (what) => {
      metrics.of.state_unreadable_total.inc({ what });
      logger.error({ what }, 'unreadable entry in the state store skipped');
    },
    onNotDecrypted: (reason, message) => {
      metrics.of.state_not_decrypted_total.inc({ reason });
      logger.error({ reason, cause: message }, 'stored data not decrypted');
    },
    onSubscriberReset: () => metrics.of.subscriber_resets_total.inc(),
    onLimiterLocal: (local, replicas) => {
      metrics.of.limiter_local.set(local ? 1 : 0);
      logger.warn(
        { local, replicas },
        local ? 'rate limits degraded to a per-replica share' : 'rate limits shared again',
      );
    },
    onNotice: (notice) => logger.warn({}, notice),
  };
}

/** Splits `host:port`; the configuration has checked the form. */
function addressOf(node: string): { host: string; port: number } {
  const at = node.lastIndexOf(':');
  return { host: node.slice(0, at), port: Number(node.slice(at + 1)) };
}

/** Returns the error to report for a failed start, with the configuration key to change. */
function stateStartError(thrown: unknown, { state }: AppConfig): unknown {
  if (!(thrown instanceof RedisStartError)) return thrown;
  if (thrown.subject === 'database') return new StartMistake({ path: 'state.db', problem: thrown.message });
  const param = keyOf(thrown.subject, state);
  return new SluiceError('state_unavailable', thrown.message, { cause: thrown.cause, retryable: false, param });
}

function keyOf(subject: StartSubject, state: AppConfig['state']): string {
  switch (subject) {
    case 'address':
      return 'state.url';
    case 'mode':
      return 'state.mode';
    case 'tls':
      return 'state.url, state.tls';
    case 'credentials':
      if (state.password_file !== null) return `state.password_file: ${state.password_file}`;
      return state.password_env === null ? 'state.password_env' : `state.password_env: ${state.password_env}`;
    case 'sentinels':
      return 'state.sentinel_password_env';
    default:
      return 'state';
  }
}

/* Starts the gateway from its configuration file, or ends with one line and an exit code. */

import { ConfigError, type Mistake } from './config/config-error.js';
import { loadConfig } from './config/load.js';
import { type AppConfig } from './config/schema.js';
import { secretsIn } from './config/secret.js';
import { createGateway, type Gateway } from './compose/gateway-app.js';
import { DRAIN_TIMES, longestDrainMs } from './lifecycle/drain.js';
import { LogLevelSwitch } from './lifecycle/log-level-switch.js';
import { ProcessEnd } from './lifecycle/process-end.js';
import { type Listeners, refuseArguments, startFailure } from './lifecycle/start-failure.js';
import { announceStart } from './lifecycle/startup-message.js';
import { BUILD } from './observability/build.js';
import { createPino, PinoLog } from './observability/logger.js';
import { guardrailMistakes } from './validation/configured-guardrails.js';
import { PROVIDER_TYPES, providerType } from './provider/registry.js';

/** Time limit of the shutdown after a second signal, in milliseconds. */
const HURRY_MS = 5_000;
/** Time for Nest's own hooks besides the drain, in milliseconds. */
const CLOSE_MARGIN_MS = 2_000;
/** Time limit of the check of the provider key at start, in milliseconds. */
const KEY_CHECK_MS = 3_000;

export async function start(): Promise<void> {
  let listeners: Listeners | undefined;
  try {
    refuseArguments(process.argv.slice(2));
    const loaded = loadConfig({ types: PROVIDER_TYPES });
    const { config, path, warnings } = loaded;
    listeners = listenersOf(config, path);
    const wrong = guardrailMistakes(config);
    if (wrong.length > 0) throw new ConfigError(path, wrong);
    const pino = createPino({
      logging: config.monitoring.logging,
      base: { app: config.app.name, environment: config.app.environment, version: BUILD.version },
      secrets: secretsIn(config),
    });
    const logger = new PinoLog(pino);
    for (const warning of warnings) logger.warn({ config: path }, warning);
    const [gateway, refused] = await Promise.all([createGateway(config, pino), refusedKey(config)]);
    if (refused !== null) throw new ConfigError(path, [refused]);
    await gateway.app.listen({ host: config.app.host, port: config.app.port });
    installEnd(gateway, config);
    new LogLevelSwitch(pino, logger).install();
    process.on('SIGHUP', () => {
      gateway.audit?.reopen();
      void gateway.parts.prompts.reload();
    });
    announceStart(
      {
        app: { host: config.app.host, port: config.app.port },
        playground: config.app.playground,
        ops: { host: config.monitoring.metrics.host, port: config.monitoring.metrics.port },
        metricsPath: config.monitoring.metrics.enabled ? config.monitoring.metrics.path : null,
        provider: { type: config.provider.type, model: config.provider.model, baseUrl: config.provider.base_url },
        state: config.state.type,
        configPath: path,
        revision: BUILD.revision,
      },
      { stdout: process.stdout, logFormat: config.monitoring.logging.format, logger },
    );
  } catch (thrown) {
    fail(thrown, listeners);
  }
}

/**
 * Returns the mistake to report if the provider refuses the key, or null. With fallbacks the
 * gateway can serve without this provider.
 */
async function refusedKey({ provider, fallbacks }: AppConfig): Promise<Mistake | null> {
  const { api_key_env, api_key_file, base_url: baseUrl } = provider;
  if (fallbacks.length > 0 || !(await providerType(provider).refusesKey(provider, KEY_CHECK_MS))) return null;
  const [name, place] =
    api_key_file === null
      ? ['api_key_env', `the variable ${api_key_env ?? 'OPENAI_API_KEY'}`]
      : ['api_key_file', `the file ${api_key_file}`];
  const problem = `${new URL(baseUrl).host} does not accept the key in ${place} (HTTP 401); put a valid one there`;
  return { path: `provider.${name}`, problem };
}

function installEnd({ app, drain, logger }: Gateway, config: AppConfig): void {
  const longest = longestDrainMs({
    ...DRAIN_TIMES,
    sharedState: config.state.type === 'redis',
    graceMs: config.app.shutdown_timeout,
  });
  new ProcessEnd(app, drain, logger, { closeWithinMs: longest + CLOSE_MARGIN_MS, hurryWithinMs: HURRY_MS }).install();
}

function listenersOf(config: AppConfig, configPath: string): Listeners {
  const { host, port } = config.monitoring.metrics;
  return { configPath, app: { host: config.app.host, port: config.app.port }, ops: { host, port } };
}

function fail(thrown: unknown, listeners: Listeners | undefined): never {
  const { lines, exitCode, isBug } = startFailure(thrown, listeners);
  process.stderr.write(`${lines.join('\n')}\n`);
  if (isBug && thrown instanceof Error && !(thrown instanceof ConfigError))
    process.stderr.write(`${thrown.stack ?? ''}\n`);
  process.exit(exitCode);
}

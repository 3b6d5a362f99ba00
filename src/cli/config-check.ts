/*
 * `sluice config check`: prints the meaning of a configuration file, or all its mistakes. Starts
 * nothing.
 */

import { ConfigError, EXIT_CONFIG } from '../config/config-error.js';
import { loadConfig } from '../config/load.js';
import { scrub } from '../config/secret.js';
import { type AppConfig } from '../config/schema.js';
import { SluiceError } from '../domain/errors.js';
import { loadPacks } from '../templating/load-packs.js';
import { PackLoadError } from '../templating/pack-mistake.js';
import { guardrailMistakes } from '../validation/configured-guardrails.js';
import { guardrailsFrom } from '../validation/read-guardrails.js';
import { PROVIDER_TYPES } from '../provider/registry.js';
import { Prices } from '../provider/prices.js';
import { type CliContext } from './context.js';

export async function checkConfig(
  file: string | undefined,
  strict: boolean,
  { env, cwd, print, complain }: CliContext,
): Promise<number> {
  try {
    const missingSecrets = strict ? 'mistake' : 'warning';
    const { config, path, warnings } = loadConfig({
      types: PROVIDER_TYPES,
      ...(file !== undefined && { path: file }),
      env,
      cwd,
      missingSecrets,
    });
    const wrong = guardrailMistakes(config);
    if (wrong.length > 0) throw new ConfigError(path, wrong);
    const packs = await mistakesInPacks(config);
    if (packs.length > 0) {
      packs.forEach(complain);
      return EXIT_CONFIG;
    }
    print(`${path}: ok`);
    // An ordinary key may hold an expanded variable that is a secret.
    for (const line of summary(config)) print(`  ${scrub(line)}`);
    for (const warning of [...warnings, ...(await Prices.load(config)).warnings()]) print(`  note: ${warning}`);
    return 0;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    for (const line of error.lines) complain(scrub(line));
    const n = error.lines.length;
    complain(`${n} mistake${n === 1 ? '' : 's'}`);
    return EXIT_CONFIG;
  }
}

/** Checks the packs too: the gateway loads them at start, so their mistakes prevent a start. */
async function mistakesInPacks({ middleware }: AppConfig): Promise<readonly string[]> {
  const { source_path: source, strict } = middleware.template;
  if (source === null) return [];
  try {
    const prompts = await loadPacks(source, { readGuardrails: guardrailsFrom, strict });
    prompts.requireNamed(middleware.template);
    return [];
  } catch (error) {
    if (error instanceof PackLoadError) return error.message.split('\n');
    if (error instanceof SluiceError) return [`middleware.template: ${error.message}`];
    throw error;
  }
}

function summary({ app, provider, state, auth, middleware, monitoring }: AppConfig): string[] {
  const off = Object.entries(middleware).flatMap(([name, step]) => (step.enabled ? [] : [name]));
  const answers =
    provider.type === 'demo' ? 'the built-in demo (no language model)' : `${provider.model} at ${provider.base_url}`;
  return [
    `${app.name} ${app.version}, ${app.environment}`,
    `provider: ${answers} (types: ${Object.keys(PROVIDER_TYPES).join(', ')})`,
    `state: ${state.type === 'redis' ? `Redis at ${state.url ?? ''}` : 'memory, lost when the process ends'}`,
    `auth: ${auth.mode}${auth.keys.length > 0 ? `, server keys: ${auth.keys.map((key) => key.id).join(', ')}` : ''}`,
    `prompts: ${middleware.template.source_path ?? 'none'}${off.length > 0 ? `; steps that are off: ${off.join(', ')}` : ''}`,
    `listens on ${app.host}:${app.port}, operations on ${monitoring.metrics.host}:${monitoring.metrics.port}`,
  ];
}

/* Loads the prompt packs of the configuration, and loads them again when their files change. */

import { type AppConfig } from '../config/schema.js';
import { type Log } from '../observability/log.js';
import { type Metrics } from '../observability/metrics.js';
import { loadPacks, fingerprintOf } from '../templating/load-packs.js';
import { PromptCatalog } from '../templating/prompt-catalog.js';
import { PromptRegistry } from '../templating/registry.js';
import { type TurnGuards } from '../turn/turn-guards.js';
import { guardrailsFrom } from '../validation/read-guardrails.js';

/**
 * Loads the packs and starts to watch their files.
 * @throws PackLoadError, GuardrailMistake, SluiceError (the default prompt is not loaded)
 */
export async function openPrompts(
  config: AppConfig,
  guards: TurnGuards,
  logger: Log,
  metrics: Metrics,
): Promise<PromptCatalog> {
  const { template } = config.middleware;
  const { enabled, source_path: source, strict, reload_every: everyMs } = template;
  if (!enabled || source === null) {
    const none = new PromptRegistry([]);
    return new PromptCatalog(none, () => Promise.resolve(none), { loaded: () => undefined, refused: () => undefined });
  }
  const { prompt_reloads_total: reloads, prompts_stale: stale } = metrics.of;
  const load = async (): Promise<PromptRegistry> => {
    const prompts = await loadPacks(source, { readGuardrails: guardrailsFrom, strict });
    prompts.requireNamed(template);
    for (const prompt of prompts.all()) guards.compileFor(prompt);
    return prompts;
  };
  const warn = (prompts: PromptRegistry): void => {
    for (const warning of prompts.warnings) logger.warn({ source }, warning);
  };
  const first = await load();
  warn(first);
  const catalog = new PromptCatalog(first, load, {
    loaded: (prompts) => {
      warn(prompts);
      reloads.inc({ result: 'loaded' });
      stale.set(0);
      logger.info({ source, prompts: prompts.all().length }, 'prompt packs reloaded');
    },
    refused: (error) => {
      reloads.inc({ result: 'refused' });
      stale.set(1);
      logger.error({ source, err: error }, 'prompt packs not reloaded');
    },
  });
  if (everyMs > 0) watch(catalog, source, everyMs);
  return catalog;
}

/**
 * Reloads when the files have changed and then stayed the same for one interval, so that a file
 * that is being written is not read. Polls: change notifications do not arrive from every volume.
 */
function watch(catalog: PromptCatalog, source: string, everyMs: number): void {
  let loaded: string | undefined;
  let seen: string | undefined;
  const look = async (): Promise<void> => {
    const now = await fingerprintOf(source);
    loaded ??= now;
    if (now !== loaded && now === seen) {
      loaded = now;
      await catalog.reload();
    }
    seen = now;
  };
  void look();
  setInterval(() => void look(), everyMs).unref();
}

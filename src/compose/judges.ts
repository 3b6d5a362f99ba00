/* Wires what guardrails request verdicts from: the providers of the configuration. */

import { type AppConfig } from '../config/schema.js';
import { newId } from '../domain/ids.js';
import { reportVerdicts } from '../observability/failed-verdicts.js';
import { type Log } from '../observability/log.js';
import { type Metrics } from '../observability/metrics.js';
import { type Provider, type ProviderRequest } from '../provider/provider.js';
import { providerType } from '../provider/registry.js';
import { type Judges } from '../validation/kind-context.js';
import { type ComposedProviders } from './providers.js';

/** A verdict is one word; a model may think before it. */
const VERDICT_TOKENS = 512;
/** Characters of an answer that are read for a verdict. */
const VERDICT_LENGTH = 200;

/** Returns no judge if only the demo provider is configured, because it judges nothing. */
export function composeJudges(
  config: AppConfig,
  providers: ComposedProviders,
  { logger, metrics }: { readonly logger: Log; readonly metrics: Metrics },
): Judges {
  const settings = [config.provider, ...config.fallbacks].find((one) => providerType(one).moderate !== undefined);
  if (settings === undefined) return {};
  const { moderate } = providerType(settings);
  return {
    ...(moderate && { moderate: (text, model, signal) => moderate(settings, { text, model, signal }) }),
    ask: (instructions, text, model, signal) =>
      ask(providers, metrics, requestOf(instructions, text, model ?? config.provider.model), signal),
    onVerdict: reportVerdicts(logger, metrics),
  };
}

async function ask(
  { provider, cost }: { readonly provider: Provider; readonly cost: ComposedProviders['cost'] },
  metrics: Metrics,
  request: ProviderRequest,
  signal: AbortSignal,
): Promise<string> {
  let said = '';
  let name: string | null = null;
  for await (const part of provider.stream(request, signal)) {
    if (part.type === 'start') name = part.provider;
    else if (part.type === 'text' && said.length < VERDICT_LENGTH) said += part.text;
    else if (part.type === 'usage') {
      const { model } = request;
      metrics.of.tokens_total.inc({ direction: 'input', model }, part.usage.input_tokens);
      metrics.of.tokens_total.inc({ direction: 'output', model }, part.usage.output_tokens);
      metrics.of.llm_cost_usd.inc({ model }, cost(model, part.usage, name) ?? 0);
    }
  }
  return said;
}

function requestOf(system: string, text: string, model: string): ProviderRequest {
  return {
    model,
    system,
    items: [
      { type: 'message', id: newId('msg'), role: 'user', status: 'completed', content: [{ type: 'input_text', text }] },
    ],
    temperature: null,
    topP: null,
    maxOutputTokens: VERDICT_TOKENS,
    tools: [],
    toolChoice: 'none',
    parallelToolCalls: false,
    textFormat: { type: 'text' },
    reasoningEffort: null,
    safetyIdentifier: null,
  };
}

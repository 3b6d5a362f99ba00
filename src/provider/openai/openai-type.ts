/*
 * The registry entry for chat completions servers: converts settings to options of the provider.
 * Loads the provider and the price list at first use, because the demo provider needs neither.
 */

import { type ProviderSettings } from '../../config/schema.js';
import { tlsOptions } from '../../config/resolve-tls.js';
import { type Secret } from '../../config/secret.js';
import { type InputKind } from '../../domain/media.js';
import { type ProviderType } from '../provider-type.js';
import { dialectOf, type RequestShape, usualInput } from './chat-request.js';
import { moderate } from './moderations.js';

export const openAiType: ProviderType = {
  defaultModel: 'gpt-4o-mini',
  remote: true,
  open: async (settings, { name, scheduleRead }) => {
    const { OpenAiProvider } = await import('./openai-provider.js');
    const provider = new OpenAiProvider({
      name,
      baseUrl: settings.base_url,
      scheduleRead,
      headers: headersOf(settings),
      query: settings.query,
      tls: tlsOptions(settings.tls),
      shapeOf: shapesOf(settings),
      ...(settings.api_key === null ? {} : { apiKey: settings.api_key.reveal() }),
    });
    return { provider, close: () => provider.close() };
  },
  refusesKey: async ({ api_key: key, base_url: baseUrl, tls }, timeoutMs) => {
    if (key === null) return false;
    const { keyIsRefused } = await import('./key-check.js');
    return keyIsRefused({ baseUrl, apiKey: key.reveal(), timeoutMs, tls: tlsOptions(tls) });
  },
  takes: (settings, model) => shapeOf(settings, model).input,
  moderate: (settings, call) =>
    moderate({
      ...call,
      baseUrl: settings.base_url,
      headers: {
        ...(settings.api_key === null ? {} : { authorization: `Bearer ${settings.api_key.reveal()}` }),
        ...headersOf(settings),
      },
    }),
  price: async ({ base_url, prices, models }) => {
    const { costUsd, listedPrice, priceListOf } = await import('../cost.js');
    const list = priceListOf(base_url);
    return (model, usage) => {
      const own = models[model]?.prices ?? prices;
      return own === null ? costUsd(model, usage, list) : listedPrice(usage, own);
    };
  },
};

function headersOf({ headers, secret_headers }: ProviderSettings): Record<string, string> {
  const secrets = Object.entries<Secret>(secret_headers).map(([name, secret]) => [name, secret.reveal()] as const);
  return { ...headers, ...Object.fromEntries(secrets) };
}

/** Returns `shapeOf` for one provider. A model without settings of its own has the usual shape. */
function shapesOf(settings: ProviderSettings): (model: string) => RequestShape {
  const own = new Map(Object.keys(settings.models).map((model) => [model, shapeOf(settings, model)]));
  const usual = shapeOf({ ...settings, models: {} }, '');
  return (model) => own.get(model) ?? usual;
}

/**
 * Returns the request shape for a model: the model's own settings, else the provider's, else the
 * defaults of its host.
 */
function shapeOf(settings: ProviderSettings, model: string): RequestShape {
  const { base_url, body, drop, tokens_field, stream_options, tool_call_ids, send_reasoning, models, input } = settings;
  const own = models[model];
  const host = URL.parse(base_url)?.hostname ?? '';
  const dialect = dialectOf(base_url);
  return {
    dialect,
    body: { ...body, ...own?.body },
    drop: [...drop, ...(own?.drop ?? [])],
    tokensField: own?.tokens_field ?? tokens_field ?? (dialect === 'openai' ? 'max_completion_tokens' : 'max_tokens'),
    streamOptions: stream_options,
    shortCallIds: (tool_call_ids ?? (isHostOf(host, 'mistral.ai') ? 'nine_characters' : 'as_given')) !== 'as_given',
    input: new Set<InputKind>(own?.input ?? input ?? usualInput(dialect)),
    sendReasoning: send_reasoning ?? THINKS_BETWEEN_CALLS.some((domain) => isHostOf(host, domain)),
  };
}

/** Providers that expect the reasoning of earlier tool rounds. */
const THINKS_BETWEEN_CALLS = ['deepseek.com', 'moonshot.ai', 'moonshot.cn', 'googleapis.com'];

function isHostOf(host: string, domain: string): boolean {
  return host === domain || host.endsWith(`.${domain}`);
}

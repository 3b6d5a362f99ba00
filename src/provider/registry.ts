/*
 * Every type of provider. To add one: a folder here that exports a ProviderType, and an entry
 * below. The configuration, `sluice config check` and the reference page read this list.
 */

import { demoType } from './demo/demo-provider.js';
import { openAiType } from './openai/openai-type.js';
import { type ProviderType } from './provider-type.js';

export const PROVIDER_TYPES = { openai: openAiType, demo: demoType } as const satisfies Record<string, ProviderType>;

/**
 * @returns the type of a provider from a loaded configuration, whose types were checked against
 * this list
 */
export function providerType({ type }: { readonly type: string }): ProviderType {
  const found = (PROVIDER_TYPES as Readonly<Record<string, ProviderType>>)[type];
  if (found === undefined) throw new Error(`unable to find the provider type ${type}; it is not registered`);
  return found;
}

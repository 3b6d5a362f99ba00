/*
 * Which types of provider there are, and what each assumes where the file says nothing.
 * src/provider/registry.ts has an entry for each.
 */

interface TypeDefaults {
  readonly model: string;
  /** Whether it is called over the network, with a key and an address. */
  readonly remote: boolean;
}

export const PROVIDER_TYPES = {
  openai: { model: 'gpt-4o-mini', remote: true },
  demo: { model: 'demo', remote: false },
} as const satisfies Record<string, TypeDefaults>;

export type ProviderTypeName = keyof typeof PROVIDER_TYPES;

/** In the order of the reference page. */
export const PROVIDER_TYPE_NAMES = ['openai', 'demo'] as const satisfies readonly ProviderTypeName[];

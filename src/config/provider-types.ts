/*
 * What the configuration needs to know about a type of provider. The types themselves are entries
 * of src/provider/registry.ts, which is passed in: config does not import provider.
 */

/** The facts of one type. */
export interface ProviderTypeFacts {
  /** The model if the file names none. */
  readonly defaultModel: string;
  /** Whether it is called over the network, with a key and an address. */
  readonly remote: boolean;
}

/**
 * The types by name, in the order of the reference page. `openai` and `demo` are what `auto`
 * chooses from.
 */
export type ProviderTypes = Readonly<Record<'openai' | 'demo', ProviderTypeFacts> & Record<string, ProviderTypeFacts>>;

/** @returns the names of the types, of which there is at least one */
export function namesOf(types: ProviderTypes): readonly [string, ...string[]] {
  // The type of ProviderTypes guarantees two keys.
  return Object.keys(types) as [string, ...string[]];
}

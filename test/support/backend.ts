/*
 * Server keys of a gateway under test: that of a shop's backend, and others; and the client secrets
 * that it makes.
 */

import { type ApiAnswer, type GatewayHarness } from './gateway-harness.js';

/** The key of the shop's backend, which acts for its users. */
export const BACKEND = 'sk-backend-0000000000000000000000000001';

/** Facts of a key in the configuration beside its id. Default: a key of the shop that may chat. */
export interface KeyFacts {
  readonly tenant?: string;
  readonly class?: string;
  readonly scopes?: readonly string[];
  readonly expires?: string;
}

export interface ServerKeys<Id extends string> {
  /** The section `auth` of the configuration. */
  readonly auth: object;
  readonly env: Readonly<Record<string, string>>;
  /** The keys by id. */
  readonly keys: Readonly<Record<Id, string>>;
}

/**
 * Returns the configuration of the backend's key and of further keys.
 * @param further facts of the further keys by id
 */
export function serverKeys<Id extends string>(
  further: Readonly<Record<Id, KeyFacts>>,
  backend: KeyFacts = {},
): ServerKeys<Id> {
  const ids = Object.keys(further) as Id[];
  const keys = Object.fromEntries(ids.map((id) => [id, `sk-${id}-`.padEnd(40, '0')])) as Record<Id, string>;
  const all: readonly (readonly [string, KeyFacts, string])[] = [
    ['backend', backend, BACKEND],
    ...ids.map((id) => [id, further[id], keys[id]] as const),
  ];
  return {
    keys,
    auth: {
      mode: 'keys',
      keys: all.map(([id, facts]) => ({ id, key_env: variableOf(id), tenant: 'shop', ...facts })),
    },
    env: Object.fromEntries(all.map(([id, , key]) => [variableOf(id), key])),
  };
}

/** Requests a client secret. */
export function mintSecret(
  harness: Pick<GatewayHarness, 'api'>,
  body: object,
  key = BACKEND,
  headers: Readonly<Record<string, string>> = {},
): Promise<ApiAnswer> {
  return harness.api('/v1/client_secrets', { method: 'POST', body, key, headers });
}

function variableOf(id: string): string {
  return `KEY_${id.toUpperCase()}`;
}

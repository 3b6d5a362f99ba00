/*
 * Every section of the configuration file, put together, and the type that the rest of the program
 * sees. schema-*.ts describes each key, and load.ts reads a file into this type.
 */

import { z } from 'zod';
import { type ProviderTypes } from './provider-types.js';
import { type FileProvider, providerSections } from './schema-provider.js';
import { middleware } from './schema-turn.js';
import { type EncryptionKeys } from './resolve-encryption.js';
import { type TlsSettings } from './resolve-tls.js';
import { type Secret } from './secret.js';
import { app, batch, compaction, conversations, http, state, websocket } from './schema-serving.js';
import { auth, clients, limits } from './schema-access.js';
import { alerts, monitoring } from './schema-operations.js';

/** @returns the schema of the whole file, in the order of the reference page */
export const configSchema = (types: ProviderTypes) =>
  z.strictObject({
    app,
    ...providerSections(types),
    state,
    middleware,
    conversations,
    compaction,
    batch,
    websocket,
    http,
    clients,
    limits,
    auth,
    monitoring,
    alerts,
  });

/**
 * The file after parsing: with the file's own names, durations in milliseconds and sizes in bytes.
 * An absent key is null or has its default.
 */
export type FileConfig = z.output<ReturnType<typeof configSchema>>;

type DeepReadonly<T> = unknown extends T
  ? T
  : T extends Secret | string | number | boolean | null | undefined
    ? T
    : T extends readonly (infer Item)[]
      ? readonly DeepReadonly<Item>[]
      : { readonly [K in keyof T]: DeepReadonly<T[K]> };

/** A provider with `auto` resolved, its key read and its timeouts set. */
export type ProviderSettings = DeepReadonly<ResolvedProvider>;
type ResolvedProvider = Omit<FileProvider, 'model' | 'base_url' | 'config' | 'tls'> & {
  tls: TlsSettings | null;
  model: string;
  base_url: string;
  /** Null if none is needed: for the demo provider, or for a server that requires none. */
  api_key: Secret | null;
  /** Headers from `headers_env` and `headers_file`. */
  secret_headers: Record<string, Secret>;
  config: Omit<FileProvider['config'], 'first_delta_timeout' | 'idle_timeout' | 'reasoning_timeout'> & {
    first_delta_timeout: number;
    idle_timeout: number;
    reasoning_timeout: number;
  };
};

/**
 * A server key. The key itself is not kept, only its SHA-256 (64 lower-case hex digits). `expires`:
 * Unix milliseconds.
 */
export type ServerKeySettings = Omit<FileConfig['auth']['keys'][number], 'key_env' | 'key_file' | 'key_sha256'> & {
  key_sha256: string;
};

/**
 * How users' tokens are verified. `public_key`: the key of `public_key_file` as PEM, or null with
 * `jwks_url`.
 */
type TokenSettings = NonNullable<FileConfig['auth']['jwt']> & { public_key: string | null };

/**
 * The configuration of a running gateway, frozen: the file's own names (snake_case), every duration
 * in milliseconds, every size in bytes, secrets wrapped. `null` means "none" or "not limited", as
 * the key's description says.
 */
export type AppConfig = DeepReadonly<
  Omit<FileConfig, 'provider' | 'fallbacks' | 'state' | 'auth' | 'middleware' | 'compaction'> & {
    compaction: FileConfig['compaction'] & { key: Secret | null };
    provider: ProviderSettings;
    fallbacks: ProviderSettings[];
    state: Omit<FileConfig['state'], 'tls' | 'encryption'> & {
      password: Secret | null;
      sentinel_password: Secret | null;
      tls: TlsSettings | null;
      /** `keys`: the master keys, or null if text is stored unencrypted. */
      encryption: FileConfig['state']['encryption'] & { keys: EncryptionKeys | null };
    };
    auth: Omit<FileConfig['auth'], 'keys' | 'jwt'> & { keys: ServerKeySettings[]; jwt: TokenSettings | null };
    middleware: Omit<FileConfig['middleware'], 'state' | 'template'> & {
      state: { enabled: boolean; max_messages: number };
      /** `source_path`: where the pack file or folder was found; null: no packs are loaded. */
      template: FileConfig['middleware']['template'] & { source_path: string | null };
    };
  }
>;

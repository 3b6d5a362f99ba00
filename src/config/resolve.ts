/*
 * Resolves what the file alone does not determine: keys and passwords from variables and mounted
 * files, `auto`, OPENAI_BASE_URL, defaults that follow another key, and the location of packs.
 * Collects mistakes; never throws or prints.
 */

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { dirname, resolve as resolvePath } from 'node:path';
import { type Mistake } from './config-error.js';
import { type Env, fileErrorCode, fromEnv } from './read-yaml.js';
import { type AppConfig, type FileConfig, type ProviderSettings, type ServerKeySettings } from './schema.js';
import { type ProviderTypeFacts, type ProviderTypes } from './provider-types.js';
import { type FileProvider } from './schema-provider.js';
import { url } from './keys.js';
import { Secret } from './secret.js';
import { findTemplateSource, templateSourceCandidates } from './template-source.js';

const OPENAI_BASE_URL = 'https://api.openai.com/v1';
const DEFAULT_STREAM_TIMEOUT_MS = 20_000;
const JAEGER_COLLECTOR = /:14268\/api\/traces\/?$/;

export interface ResolveContext {
  readonly types: ProviderTypes;
  readonly env: Env;
  readonly cwd: string;
  readonly configPath: string;
  /**
   * `warning`: the file is checked on another machine than the one that runs it, so a missing
   * secret is only a warning.
   */
  readonly missingSecrets: 'mistake' | 'warning';
}

export interface Notes {
  readonly mistakes: Mistake[];
  readonly warnings: string[];
}

/**
 * Reads a secret by its `_env` or `_file` key. @returns null if neither is set, or if `needed` is
 * false and the variable is unset
 */
function readSecret(
  at: { path: string; name: string },
  env: string | null,
  file: string | null,
  needed: boolean,
  context: ResolveContext,
  notes: Notes,
): Secret | null {
  if (env !== null && file !== null) {
    notes.mistakes.push({
      path: `${at.path}.${at.name}_file`,
      problem: `both \`${at.name}_env\` and \`${at.name}_file\` are given; keep one`,
    });
    return null;
  }
  const missing = (path: string, problem: string) => {
    if (context.missingSecrets === 'mistake') notes.mistakes.push({ path, problem });
    else notes.warnings.push(`${path}: ${problem}`);
    return null;
  };
  if (file !== null) {
    const path = resolvePath(context.cwd, dirname(context.configPath), file);
    try {
      const content = readFileSync(path, 'utf8').trim();
      if (content !== '') return new Secret(content);
      return missing(`${at.path}.${at.name}_file`, `the file ${path} is empty; put the secret in it`);
    } catch (error) {
      const why = fileErrorCode(error);
      return missing(
        `${at.path}.${at.name}_file`,
        `the file ${path} cannot be read (${why}); mount it, or correct the path`,
      );
    }
  }
  if (env === null) return null;
  const value = fromEnv(context.env, env);
  if (value !== undefined) return new Secret(value.trim());
  return needed ? missing(`${at.path}.${at.name}_env`, `the variable ${env} is not set; set it to the secret`) : null;
}

function resolveProvider(file: FileProvider, path: string, context: ResolveContext, notes: Notes): ProviderSettings {
  const envName = file.api_key_env ?? 'OPENAI_API_KEY';
  const keyIsThere = file.api_key_file !== null || fromEnv(context.env, envName) !== undefined;
  const type = file.type === 'auto' ? (keyIsThere ? 'openai' : 'demo') : file.type;
  // The schema accepts only names of `types`.
  const { defaultModel, remote } = context.types[type] as ProviderTypeFacts;
  const fromVariable = fromEnv(context.env, 'OPENAI_BASE_URL');
  if (file.type === 'auto' && type === 'demo' && fromVariable !== undefined) {
    notes.warnings.push(
      `${path}.type: OPENAI_BASE_URL is set but ${envName} is not, so the demo provider answers; set ${envName} (to anything where the server asks for no key)`,
    );
  }

  const baseUrl = (file.base_url ?? fromVariable ?? OPENAI_BASE_URL).trim().replace(/\/+$/, '');
  const kind = url(['http', 'https']);
  if (file.base_url === null && remote && !kind.schema.safeParse(baseUrl).success) {
    notes.mistakes.push({
      path: `${path}.base_url`,
      problem: `the variable OPENAI_BASE_URL holds something else; allowed: ${kind.allowed}`,
    });
  }
  let apiKey: Secret | null = null;
  if (remote) {
    const needed = file.api_key_env !== null || baseUrl.startsWith('https://api.openai.com');
    apiKey = readSecret(
      { path, name: 'api_key' },
      file.api_key_file === null ? envName : file.api_key_env,
      file.api_key_file,
      needed,
      context,
      notes,
    );
  }

  const { timeout, first_delta_timeout: first, idle_timeout: idle, reasoning_timeout: reasoning } = file.config;
  for (const [name, value] of Object.entries({
    first_delta_timeout: first,
    idle_timeout: idle,
    reasoning_timeout: reasoning,
  })) {
    if (value !== null && value > timeout) {
      notes.mistakes.push({
        path: `${path}.config.${name}`,
        problem: `longer than \`timeout\`, which bounds the whole call, so it could never take effect; shorten it or lengthen \`timeout\``,
      });
    }
  }
  const byDefault = Math.min(DEFAULT_STREAM_TIMEOUT_MS, timeout);
  const autoDemo = file.type === 'auto' && type === 'demo';
  return {
    ...file,
    type,
    model: (autoDemo ? null : file.model) ?? defaultModel,
    base_url: baseUrl,
    api_key: apiKey,
    secret_headers: !remote ? {} : secretHeaders(file, path, context, notes),
    config: {
      ...file.config,
      first_delta_timeout: first ?? byDefault,
      idle_timeout: idle ?? byDefault,
      reasoning_timeout: reasoning ?? timeout,
    },
  };
}

/** Headers that hold secrets, each read like an API key. */
function secretHeaders(
  { headers, headers_env, headers_file }: FileProvider,
  path: string,
  context: ResolveContext,
  notes: Notes,
): Record<string, Secret> {
  const secrets: Record<string, Secret> = {};
  for (const name of Object.keys(headers)) {
    if (!SECRET_HEADERS.test(name)) continue;
    const problem = `\`${name}\` carries a secret; name its variable under \`headers_env\` or its file under \`headers_file\``;
    notes.mistakes.push({ path: `${path}.headers`, problem });
  }
  for (const [name, env] of Object.entries(headers_env)) {
    const secret = readSecret({ path: `${path}.headers`, name }, env, null, true, context, notes);
    if (secret !== null) secrets[name] = secret;
  }
  for (const [name, file] of Object.entries(headers_file)) {
    const secret = readSecret({ path: `${path}.headers`, name }, null, file, true, context, notes);
    if (secret !== null) secrets[name] = secret;
  }
  return secrets;
}

/** Header and parameter names that carry secrets. */
const SECRET_HEADERS = /^(?:proxy-)?authorization$|api-?key|token|secret|cookie/iu;

/**
 * Reads a password. A server may need none, so an unset variable is only a warning.
 * @param whom the server, for the warning
 */
function resolvePassword(
  { name, whom }: { readonly name: 'password' | 'sentinel_password'; readonly whom: string },
  state: FileConfig['state'],
  context: ResolveContext,
  notes: Notes,
): Secret | null {
  if (state.type !== 'redis') return null;
  const [env, file] = [state[`${name}_env`], state[`${name}_file`]];
  const password = readSecret({ path: 'state', name }, env, file, false, context, notes);
  if (password === null && env !== null && file === null) {
    notes.warnings.push(`state.${name}_env: the variable ${env} is not set, so ${whom} asked without a password`);
  }
  return password;
}

/** Fewest characters of a server key: 24 of base64 are 144 bits. */
const KEY_MIN_LENGTH = 24;

function resolveKeys(
  { app, auth: { keys, mode } }: FileConfig,
  context: ResolveContext,
  notes: Notes,
): ServerKeySettings[] {
  return keys.map(({ key_env, key_file, key_sha256, ...rest }, i) => {
    const path = `auth.keys[${i}]`;
    const secret = readSecret({ path, name: 'key' }, key_env, key_file, mode !== 'none', context, notes);
    if (secret !== null && mode !== 'none' && secret.reveal().length < KEY_MIN_LENGTH) {
      const from = key_env === null ? 'key_file' : 'key_env';
      const problem = `the key has fewer than ${KEY_MIN_LENGTH} characters, so it could be guessed; make one with \`sluice keys new\``;
      if (app.environment === 'development') notes.warnings.push(`${path}.${from}: ${problem}`);
      else notes.mistakes.push({ path: `${path}.${from}`, problem });
    }
    const hash = secret === null ? (key_sha256 ?? '').toLowerCase() : sha256Hex(secret.reveal());
    return { ...rest, key_sha256: hash };
  });
}

/** Returns the stored form of a server key: the SHA-256 of its UTF-8 bytes, in lower-case hex. */
export function sha256Hex(key: string): string {
  return createHash('sha256').update(key, 'utf8').digest('hex');
}

function resolveTracing(
  tracing: FileConfig['monitoring']['tracing'],
  notes: Notes,
): FileConfig['monitoring']['tracing'] {
  if (tracing.endpoint === null || !JAEGER_COLLECTOR.test(tracing.endpoint)) return tracing;
  const endpoint = new URL(tracing.endpoint);
  endpoint.port = '4318';
  endpoint.pathname = '/v1/traces';
  notes.warnings.push(
    `monitoring.tracing.endpoint: a Jaeger collector URL; traces go to the same host's OTLP/HTTP endpoint ${endpoint.href}; write that instead`,
  );
  return { ...tracing, endpoint: endpoint.href };
}

/**
 * Builds the configuration of a running gateway. If `notes.mistakes` is not empty afterwards, the
 * result must not be used.
 */
export function resolveConfig(file: FileConfig, context: ResolveContext, notes: Notes): AppConfig {
  const { template } = file.middleware;
  let sourcePath: string | null = null;
  if (template.source !== null && template.enabled) {
    const search = { configDir: dirname(context.configPath), cwd: context.cwd };
    sourcePath = findTemplateSource(template.source, search) ?? null;
    if (sourcePath === null) {
      const places = templateSourceCandidates(template.source, search).join(', ');
      notes.mistakes.push({
        path: 'middleware.template.source',
        problem: `no such file or folder; looked for ${places}`,
      });
    }
  }
  return {
    ...file,
    provider: resolveProvider(file.provider, 'provider', context, notes),
    fallbacks: file.fallbacks.map((fallback, i) => resolveProvider(fallback, `fallbacks[${i}]`, context, notes)),
    state: {
      ...file.state,
      password: resolvePassword({ name: 'password', whom: 'Redis is' }, file.state, context, notes),
      sentinel_password: resolvePassword(
        { name: 'sentinel_password', whom: 'Sentinels are' },
        file.state,
        context,
        notes,
      ),
    },
    middleware: {
      ...file.middleware,
      state: { ...file.middleware.state, max_messages: file.middleware.state.max_messages ?? file.state.max_messages },
      template: { ...template, enabled: template.enabled && sourcePath !== null, source_path: sourcePath },
    },
    auth: { ...file.auth, keys: resolveKeys(file, context, notes) },
    monitoring: { ...file.monitoring, tracing: resolveTracing(file.monitoring.tracing, notes) },
  };
}

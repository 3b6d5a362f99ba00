/*
 * Resolves what the file alone does not determine: keys and passwords from variables and mounted
 * files, `auto`, OPENAI_BASE_URL, defaults that follow another key, and the location of packs.
 * Collects mistakes; never throws or prints.
 */

import { statSync } from 'node:fs';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { type Notes, readSecret, type ResolveContext } from './read-secret.js';
import { fromEnv } from './read-yaml.js';
import { resolveJwt, resolveKeys } from './resolve-auth.js';
import { type AppConfig, type FileConfig, type ProviderSettings } from './schema.js';
import { type ProviderTypeFacts } from './provider-types.js';
import { type FileProvider } from './schema-provider.js';
import { resolveEncryption } from './resolve-encryption.js';
import { resolveTls } from './resolve-tls.js';
import { url } from './keys.js';
import { type Secret } from './secret.js';

const OPENAI_BASE_URL = 'https://api.openai.com/v1';
const DEFAULT_STREAM_TIMEOUT_MS = 20_000;
const JAEGER_COLLECTOR = /:14268\/api\/traces\/?$/;

function resolveProvider(file: FileProvider, path: string, context: ResolveContext, notes: Notes): ProviderSettings {
  const envName = file.api_key_env ?? 'OPENAI_API_KEY';
  const keyIsThere = file.api_key_file !== null || fromEnv(context.env, envName) !== undefined;
  const type = file.type === 'auto' ? (keyIsThere ? 'openai' : 'demo') : file.type;
  // The schema accepts only names of `types`.
  const { defaultModel, remote } = context.types[type] as ProviderTypeFacts;
  const fromVariable = fromEnv(context.env, 'OPENAI_BASE_URL');
  if (file.type === 'auto' && type === 'demo' && fromVariable !== undefined) {
    notes.warnings.push(
      `${path}.type: OPENAI_BASE_URL is set but ${envName} is not, so the demo provider answers; set ${envName} (to anything if the server requires no key)`,
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
    tls: resolveTls(`${path}.tls`, file.tls, context, notes),
    secret_headers: !remote ? {} : secretHeaders(file, path, context, notes),
    config: {
      ...file.config,
      first_delta_timeout: first ?? byDefault,
      idle_timeout: idle ?? byDefault,
      reasoning_timeout: reasoning ?? timeout,
    },
  };
}

/** Warns if a production serves scripted answers because a key is missing. */
function productionProvider({ app, provider }: FileConfig, settings: ProviderSettings, notes: Notes): ProviderSettings {
  if (app.environment === 'production' && provider.type === 'auto' && settings.type === 'demo') {
    const env = provider.api_key_env ?? 'OPENAI_API_KEY';
    notes.warnings.push(
      `provider.type: the demo provider answers in production, because ${env} is not set; set it, and \`type: openai\`, which refuses to start without it`,
    );
  }
  return settings;
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

const SHORTEST_SUMMARY_KEY = 32;

function resolveSummaryKey(
  { key_env, key_file }: FileConfig['compaction'],
  context: ResolveContext,
  notes: Notes,
): Secret | null {
  const key = readSecret({ path: 'compaction', name: 'key' }, key_env, key_file, true, context, notes);
  if (key !== null && key.reveal().length < SHORTEST_SUMMARY_KEY) {
    const path = `compaction.key_${key_file === null ? 'env' : 'file'}`;
    notes.mistakes.push({
      path,
      problem: `shorter than ${SHORTEST_SUMMARY_KEY} characters; use a random one (\`openssl rand -base64 32\`)`,
    });
  }
  return key;
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
    notes.warnings.push(`state.${name}_env: the variable ${env} is not set, so no password is sent to ${whom}`);
  }
  return password;
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
    provider: productionProvider(file, resolveProvider(file.provider, 'provider', context, notes), notes),
    fallbacks: file.fallbacks.map((fallback, i) => resolveProvider(fallback, `fallbacks[${i}]`, context, notes)),
    state: {
      ...file.state,
      tls: resolveTls('state.tls', file.state.tls, context, notes),
      encryption: { ...file.state.encryption, keys: resolveEncryption(file.state, context, notes) },
      password: resolvePassword({ name: 'password', whom: 'Redis' }, file.state, context, notes),
      sentinel_password: resolvePassword(
        { name: 'sentinel_password', whom: 'the Sentinels' },
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
    compaction: { ...file.compaction, key: resolveSummaryKey(file.compaction, context, notes) },
    auth: {
      ...file.auth,
      keys: resolveKeys(file, context, notes),
      jwt: resolveJwt(file.auth, context, notes),
    },
    monitoring: {
      ...file.monitoring,
      audit: { ...file.monitoring.audit, output: auditOutput(file.monitoring.audit.output, context) },
      tracing: resolveTracing(file.monitoring.tracing, notes),
    },
  };
}

const PACK_SUFFIX = '.json';

interface SourceSearch {
  /** Folder of the configuration file. */
  readonly configDir: string;
  readonly cwd: string;
}

/**
 * Returns each path that `middleware.template.source` may mean, once and in order: beside the
 * configuration file, in the working directory, in its `packs/`. Each as written, then with
 * `.json`.
 */
function templateSourceCandidates(source: string, { configDir, cwd }: SourceSearch): string[] {
  const folders = isAbsolute(source) ? [''] : [resolve(cwd, configDir), cwd, join(cwd, 'packs')];
  const names = source.endsWith(PACK_SUFFIX) ? [source] : [source, source + PACK_SUFFIX];
  const paths = folders.flatMap((folder) => names.map((name) => (folder ? join(folder, name) : name)));
  return [...new Set(paths)];
}

/** Returns the first candidate that exists, a file or folder, or undefined if there is none. */
function findTemplateSource(source: string, search: SourceSearch): string | undefined {
  return templateSourceCandidates(source, search).find(
    (path) => statSync(path, { throwIfNoEntry: false }) !== undefined,
  );
}

/** Returns the path of the audit log's file, or the name of its stream. */
function auditOutput(output: string | null, { cwd, configPath }: ResolveContext): string | null {
  if (output === null || output === 'stdout' || output === 'stderr') return output;
  return resolve(cwd, dirname(configPath), output);
}

/*
 * Loads one frozen configuration from a file and the environment, or reports all mistakes at once.
 * The order: read, expand, parse section by section, check across sections, resolve secrets and
 * defaults. Only reads files: it prints nothing and does not end the process.
 */

import { readFileSync } from 'node:fs';
import { isAbsolute, resolve } from 'node:path';
import { type Sections, crossCheck, withoutEffect } from './checks.js';
import { ConfigError, type Mistake } from './config-error.js';
import { keyTable } from './key-table.js';
import { toMistakes } from './mistakes.js';
import { type Env, type Path, type Tree, fileErrorCode, isTree, readYaml } from './read-yaml.js';
import { type ProviderTypes } from './provider-types.js';
import { resolveConfig } from './resolve.js';
import { type AppConfig, type FileConfig, configSchema } from './schema.js';
import { Secret, scrub } from './secret.js';

type Schema = ReturnType<typeof configSchema>;

const DEFAULT_CONFIG_PATH = 'config/default.yaml';

export interface LoadOptions {
  /** The types of provider that the file may name. */
  readonly types: ProviderTypes;
  /** The file; default: CONFIG_PATH, then config/default.yaml. Relative to `cwd`. */
  readonly path?: string;
  readonly env?: Env;
  readonly cwd?: string;
  /**
   * `warning` if the file is checked on another machine than the one that runs it. Default:
   * `mistake`.
   */
  readonly missingSecrets?: 'mistake' | 'warning';
}

export interface LoadedConfig {
  readonly config: AppConfig;
  /** The file, as the caller named it. */
  readonly path: string;
  /** Warnings to log once at start. */
  readonly warnings: readonly string[];
}

/** @throws ConfigError with all mistakes of the file. */
export function loadConfig(options: LoadOptions): LoadedConfig {
  const env = options.env ?? process.env;
  const cwd = options.cwd ?? process.cwd();
  const path = options.path ?? (env['CONFIG_PATH']?.trim() || DEFAULT_CONFIG_PATH);
  if (path.trim() === '') {
    throw new ConfigError('configuration', [{ path: '', problem: 'the name of the file is empty; name a file' }]);
  }
  const file = isAbsolute(path) ? path : resolve(cwd, path);

  const yaml = readYaml(readSource(file, path), env);
  const written = (key: string) => valueAt(yaml.tree, key.split('.')) !== undefined;
  const fail = (mistakes: readonly Mistake[]): never => {
    throw new ConfigError(
      path,
      mistakes.map((mistake) => {
        const line = mistake.line ?? yaml.lineOf(toPath(mistake.path));
        return line === undefined ? mistake : { ...mistake, line };
      }),
    );
  };
  // A file that is not YAML has no keys to check.
  if (yaml.mistakes.some((mistake) => mistake.path === '')) fail(yaml.mistakes);

  const schema = configSchema(options.types);
  const { sections, mistakes } = parseSections(yaml.tree, schema);
  const early = [
    ...yaml.mistakes,
    ...mistakes.filter((mistake) => !yaml.mistakes.some((known) => known.path === mistake.path)),
    ...crossCheck(sections, written),
  ];
  const parsed = isComplete(sections, schema) ? sections : undefined;
  if (parsed === undefined) return fail(early);

  const notes = { mistakes: [...early], warnings: [] as string[] };
  const context = {
    types: options.types,
    env,
    cwd,
    configPath: file,
    missingSecrets: options.missingSecrets ?? 'mistake',
  } as const;
  const config = resolveConfig(parsed, context, notes);
  if (notes.mistakes.length > 0) fail(notes.mistakes);

  return {
    config: deepFreeze(config),
    path,
    warnings: [...notes.warnings, ...withoutEffect(parsed, written)].map(scrub),
  };
}

function readSource(file: string, shown: string): string {
  const source = decode(readBytes(file, shown));
  if (source !== undefined) return source;
  throw new ConfigError(shown, [
    { path: '', problem: 'it is not UTF-8 text; save it as UTF-8, or name the YAML file with CONFIG_PATH' },
  ]);
}

/** Returns the text of a file, or undefined if it is binary or in another encoding. */
function decode(bytes: Uint8Array): string | undefined {
  if (bytes.includes(0)) return undefined;
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

function readBytes(file: string, shown: string): Uint8Array {
  try {
    return readFileSync(file);
  } catch (error) {
    const code = fileErrorCode(error);
    const why =
      code === 'ENOENT'
        ? 'there is no such file'
        : code === 'EISDIR'
          ? 'it is a folder'
          : `it cannot be read (${code})`;
    throw new ConfigError(shown, [
      { path: '', problem: `${why}; name the file with CONFIG_PATH (looked for ${file})` },
    ]);
  }
}

/** Parses each section separately, so that a mistake in one does not hide those of another. */
function parseSections(tree: Tree, schema: Schema): { sections: Sections; mistakes: Mistake[] } {
  const rows = keyTable(schema);
  const mistakes: Mistake[] = [];
  const sections: Record<string, unknown> = {};
  for (const [name, section] of Object.entries(schema.shape)) {
    // Not compiled: compiling a schema costs more than the one time that it is used.
    const result = section.safeParse(tree[name], { jitless: true });
    if (result.success) sections[name] = result.data;
    else {
      const issues = result.error.issues.map((issue) => ({ ...issue, path: [name, ...issue.path] }));
      mistakes.push(...toMistakes(issues, tree, rows));
    }
  }
  const unknown = Object.keys(tree).filter((name) => !Object.hasOwn(schema.shape, name));
  if (unknown.length > 0)
    mistakes.push(...toMistakes([{ code: 'unrecognized_keys', keys: unknown, path: [], message: '' }], tree, rows));
  // The schemas of exactly these names produced the values.
  return { sections: sections as Sections, mistakes };
}

function isComplete(sections: Sections, schema: Schema): sections is FileConfig {
  return Object.keys(schema.shape).every((name) => Object.hasOwn(sections, name));
}

function valueAt(tree: Tree, path: Path): unknown {
  return path.reduce<unknown>((inner, step) => (isTree(inner) ? inner[String(step)] : undefined), tree);
}

/** Splits `auth.keys[0].id` into auth, keys, 0, id. */
function toPath(shown: string): Path {
  return shown
    .split(/[.[\]]+/)
    .filter(Boolean)
    .map((step) => (/^\d+$/.test(step) ? Number(step) : step));
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !(value instanceof Secret)) {
    Object.values(value).forEach(deepFreeze);
    Object.freeze(value);
  }
  return value;
}

/* Reads secrets from variables and mounted files. Collects mistakes; never throws or prints. */

import { readFileSync } from 'node:fs';
import { dirname, resolve as resolvePath } from 'node:path';
import { type Mistake } from './config-error.js';
import { type ProviderTypes } from './provider-types.js';
import { type Env, fileErrorCode, fromEnv } from './read-yaml.js';
import { Secret } from './secret.js';

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
 * Reads a secret by its `_env` or `_file` key.
 * @returns null if neither is set, or if `needed` is false and the variable is unset
 */
export function readSecret(
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

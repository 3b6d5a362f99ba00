/* Resolves `middleware.template.source` to a path. Does not know what a pack contains. */

import { statSync } from 'node:fs';
import { isAbsolute, join, resolve } from 'node:path';

const PACK_SUFFIX = '.json';

export interface SourceSearch {
  /** Folder of the configuration file. */
  readonly configDir: string;
  readonly cwd: string;
}

/**
 * Returns each candidate path once, in order: beside the configuration file, in the working directory,
 * in its `packs/`. Each as written, then with `.json`.
 */
export function templateSourceCandidates(source: string, { configDir, cwd }: SourceSearch): string[] {
  const folders = isAbsolute(source) ? [''] : [resolve(cwd, configDir), cwd, join(cwd, 'packs')];
  const names = source.endsWith(PACK_SUFFIX) ? [source] : [source, source + PACK_SUFFIX];
  const paths = folders.flatMap((folder) => names.map((name) => (folder ? join(folder, name) : name)));
  return [...new Set(paths)];
}

/** Returns the first candidate that exists, a file or folder, or undefined if there is none. */
export function findTemplateSource(source: string, search: SourceSearch): string | undefined {
  return templateSourceCandidates(source, search).find(
    (path) => statSync(path, { throwIfNoEntry: false }) !== undefined,
  );
}

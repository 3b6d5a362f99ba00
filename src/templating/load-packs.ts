/*
 * Reads pack files into a registry and reports every mistake of every file in one error. The only
 * file of templating that reads the disk.
 */

import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { errorCode } from '../domain/errors.js';
import { compilePack, type CompiledPack, type CompileOptions } from './compile-pack.js';
import { PackLoadError, type PackMistake } from './pack-mistake.js';
import { compareVersions } from './pack-version.js';
import { PromptRegistry } from './registry.js';

/**
 * Loads a pack file, or all `*.pack.json` of a folder (not of its subfolders). A folder may hold
 * several versions of one pack, but each version once. @throws PackLoadError
 */
export async function loadPacks(source: string, options: CompileOptions = {}): Promise<PromptRegistry> {
  const mistakes: PackMistake[] = [];
  const warnings: PackMistake[] = [];
  const packs: { readonly file: string; readonly pack: CompiledPack }[] = [];

  for (const path of await packFiles(source)) {
    const file = basename(path);
    const read = await readPack(path);
    if ('problem' in read) {
      mistakes.push({ file, path: '', what: read.problem });
      continue;
    }
    const result = compilePack(file, read.json, options);
    mistakes.push(...result.mistakes);
    warnings.push(...result.warnings);
    const { pack } = result;
    if (pack === undefined) continue;
    const twin = packs.find(
      (other) => other.pack.id === pack.id && compareVersions(other.pack.version, pack.version) === 0,
    );
    if (twin === undefined) packs.push({ file, pack });
    else
      mistakes.push({ file, path: '/version', what: `${pack.id} ${pack.version} is already loaded from ${twin.file}` });
  }

  if (mistakes.length > 0) throw new PackLoadError(source, mistakes);
  return new PromptRegistry(
    packs.flatMap(({ pack }) => pack.prompts),
    warnings,
  );
}

/** Returns the pack files of a file or folder. @throws PackLoadError */
export async function packFiles(source: string): Promise<readonly string[]> {
  let names: readonly string[];
  try {
    if (!(await stat(source)).isDirectory()) return [source];
    names = await readdir(source);
  } catch (error) {
    throw new PackLoadError(source, [
      { file: source, path: '', what: `cannot be read (${errorCode(error) ?? 'unknown reason'})` },
    ]);
  }
  const files = names.filter((name) => name.endsWith('.pack.json')).sort();
  if (files.length > 0) return files.map((name) => join(source, name));
  throw new PackLoadError(source, [
    { file: source, path: '', what: 'holds no pack', allowed: 'files named *.pack.json' },
  ]);
}

/**
 * Returns a text that changes when a pack file of `source` is added, removed or written. Never
 * rejects: an unreadable source has a text of its own.
 */
export async function fingerprintOf(source: string): Promise<string> {
  try {
    const parts = (await packFiles(source)).map(async (file) => {
      const { ino, size, mtimeMs } = await stat(file);
      return `${file} ${ino} ${size} ${mtimeMs}`;
    });
    return (await Promise.all(parts)).join('\n');
  } catch {
    return 'unreadable';
  }
}

/** Reads the JSON of a pack file, or returns the reason why it cannot be read. */
export async function readPack(path: string): Promise<{ readonly json: unknown } | { readonly problem: string }> {
  try {
    const text = await readFile(path, 'utf8');
    const json: unknown = JSON.parse(text.replace(/^\uFEFF/, ''));
    return { json };
  } catch (error) {
    if (error instanceof SyntaxError) return { problem: `is not JSON: ${error.message}` };
    return { problem: `cannot be read (${errorCode(error) ?? 'unknown reason'})` };
  }
}

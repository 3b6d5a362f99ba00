/* Node's cache of compiled modules, which makes the next start of the same program cheaper. */

import { enableCompileCache } from 'node:module';
import { fileURLToPath } from 'node:url';

/**
 * Beside the program, and not in the shared folder for temporary files: compiled code is run
 * without another check, so no other user may write it.
 */
const FOLDER = fileURLToPath(new URL('../../.cache/compile', import.meta.url));

/**
 * Uses the cache, unless the variable `NODE_COMPILE_CACHE` already names another folder or
 * `NODE_DISABLE_COMPILE_CACHE` is set. Node writes it when the process ends, and does without it if
 * the folder cannot be written.
 */
export function useCompileCache(): void {
  enableCompileCache(FOLDER);
}

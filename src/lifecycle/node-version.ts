/*
 * Checks the version of Node. Imports nothing, so that main.ts can check before it loads code that
 * an old Node cannot parse.
 */

/** The same as `engines.node` of package.json. */
export const OLDEST_NODE = '24.9.0';

/** Exit code for a Node that is too old: EX_UNAVAILABLE of sysexits.h. */
export const EXIT_UNAVAILABLE = 69;

/** Returns the line to print if `version` (`process.versions.node`) is too old, or null. */
export function nodeTooOld(version: string, oldest: string = OLDEST_NODE): string | null {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const [oldestMajor = 0, oldestMinor = 0] = oldest.split('.').map(Number);
  if (major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)) return null;
  return `unable to start; Node ${version} is too old, ${oldest} or newer is needed; run "npm start", which brings its own, or install a newer one`;
}

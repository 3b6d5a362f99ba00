/* Is this Node new enough? Imports nothing, so that main.ts can ask before it loads what an old Node cannot even parse. */

/** The same as `engines.node` of package.json. */
export const OLDEST_NODE = '24.9.0';

/** What to exit with where it is not: sysexits' EX_UNAVAILABLE, something needed is not there. */
export const EXIT_UNAVAILABLE = 69;

/** The line to print where `version` (`process.versions.node`) is too old; null where it will do. */
export function nodeTooOld(version: string, oldest: string = OLDEST_NODE): string | null {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const [oldestMajor = 0, oldestMinor = 0] = oldest.split('.').map(Number);
  if (major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)) return null;
  return `unable to start; Node ${version} is too old, ${oldest} or newer is needed; run "npm start", which brings its own, or install a newer one`;
}

/*
 * Node's code of a thrown thing (`ENOENT`), whatever realm it was made in: `instanceof Error` is
 * false across realms.
 */

export function errorCode(thrown: unknown): string | undefined {
  return typeof thrown === 'object' && thrown !== null && 'code' in thrown ? String(thrown.code) : undefined;
}

/*
 * Returns Node's code of a thrown value (`ENOENT`). Works across realms, where `instanceof Error`
 * is false.
 */

export function errorCode(thrown: unknown): string | undefined {
  return typeof thrown === 'object' && thrown !== null && 'code' in thrown ? String(thrown.code) : undefined;
}

/* A caller's own id of a request, for the log only: ids of Sluice are never taken from a client. */

/**
 * @returns the id, or undefined if the value is none: 1 to 128 letters, digits, `_`, `.`, `:`, `-`
 */
export function readClientRequestId(value: unknown): string | undefined {
  return typeof value === 'string' && /^[\w.:-]{1,128}$/.test(value) ? value : undefined;
}

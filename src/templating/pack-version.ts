/*
 * Versions of packs: Semantic Versioning 2.0.0, with an optional `v`. Build metadata takes no part
 * in the order (§10).
 */

const IDENTIFIER = '(?:0|[1-9]\\d*|\\d*[a-zA-Z-][0-9a-zA-Z-]*)';
export const VERSION = new RegExp(
  `^v?(0|[1-9]\\d*)\\.(0|[1-9]\\d*)\\.(0|[1-9]\\d*)(?:-(${IDENTIFIER}(?:\\.${IDENTIFIER})*))?(?:\\+[0-9a-zA-Z-]+(?:\\.[0-9a-zA-Z-]+)*)?$`,
);

interface PackVersion {
  readonly core: readonly [bigint, bigint, bigint];
  /** Empty for a release. */
  readonly pre: readonly string[];
}

function parse(text: string): PackVersion | undefined {
  const found = VERSION.exec(text.slice(0, 256));
  if (found === null) return undefined;
  const [, major = '', minor = '', patch = '', pre] = found;
  return { core: [BigInt(major), BigInt(minor), BigInt(patch)], pre: pre === undefined ? [] : pre.split('.') };
}

export function isPrerelease(version: string): boolean {
  return (parse(version)?.pre.length ?? 0) > 0;
}

/**
 * Compares two versions by precedence. @returns a negative number, 0 or a positive number;
 * undefined if either is no version
 */
export function compareVersions(a: string, b: string): number | undefined {
  const [left, right] = [parse(a), parse(b)];
  if (left === undefined || right === undefined) return undefined;
  for (const [i, number] of left.core.entries()) {
    const other = right.core[i] ?? 0n;
    if (number !== other) return number < other ? -1 : 1;
  }
  if (left.pre.length === 0 || right.pre.length === 0) return right.pre.length - left.pre.length;
  for (let i = 0; i < Math.max(left.pre.length, right.pre.length); i++) {
    const order = compareIdentifiers(left.pre[i], right.pre[i]);
    if (order !== 0) return order;
  }
  return 0;
}

/**
 * Compares identifiers of pre-releases (§11.4): numbers by value, numbers before words, words by
 * code unit, the shorter list first.
 */
function compareIdentifiers(a: string | undefined, b: string | undefined): number {
  if (a === b) return 0;
  if (a === undefined || b === undefined) return a === undefined ? -1 : 1;
  const [aIsNumber, bIsNumber] = [/^\d+$/.test(a), /^\d+$/.test(b)];
  if (aIsNumber && bIsNumber) return BigInt(a) < BigInt(b) ? -1 : 1;
  if (aIsNumber !== bIsNumber) return aIsNumber ? -1 : 1;
  return a < b ? -1 : 1;
}

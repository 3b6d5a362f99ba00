/*
 * How long conversations, ended responses and the events of ended responses are stored, by the
 * class of the credential that created them.
 */

export interface Retention {
  /** For credentials of no class, or of a class without a time of its own. Milliseconds. */
  readonly ttlMs: number;
  /** Milliseconds, by class. */
  readonly ttlOfClass?: Readonly<Record<string, number>>;
}

/** Returns the time to live of an object of a class, in milliseconds. */
export function ttlOf({ ttlMs, ttlOfClass = {} }: Retention, limitsClass: string | undefined): number {
  if (limitsClass === undefined || !Object.hasOwn(ttlOfClass, limitsClass)) return ttlMs;
  return ttlOfClass[limitsClass] ?? ttlMs;
}

/** Returns the longest time to live: lists of objects must live as long as each of these. */
export function longestTtl({ ttlMs, ttlOfClass = {} }: Retention): number {
  return Math.max(ttlMs, ...Object.values(ttlOfClass));
}

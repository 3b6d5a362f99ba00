/*
 * Parses JSON that Redis holds. An entry that another program wrote is skipped and counted: it must
 * not fail the entries beside it.
 */

import { type RedisHooks, type Unreadable } from './redis-options.js';

/**
 * Parses one entry and reports it if it is unreadable.
 * @param isReadable checks as much of the shape as the caller relies on; the rest is trusted, since
 * Sluice wrote it
 * @returns undefined if the entry is unreadable
 */
export function parseStored<T>(
  json: string,
  what: Unreadable,
  hooks: RedisHooks,
  isReadable: (value: unknown) => value is T,
): T | undefined {
  try {
    const value: unknown = JSON.parse(json);
    if (isReadable(value)) return value;
  } catch {
    // Not JSON: reported like an entry of another shape.
  }
  hooks.onUnreadable?.(what);
  return undefined;
}

export function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

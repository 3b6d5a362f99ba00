/* JSON that Redis holds, parsed. What another program wrote there is left out and counted: it must not fail what stands beside it. */

import { type RedisHooks, type Unreadable } from './redis-options.js';

/** Returns the object that `json` says, or undefined where it says none. Its further shape is the caller's to name: only Sluice writes there. */
export function parsed<T>(json: string, what: Unreadable, hooks: RedisHooks): T | undefined {
  try {
    const value: unknown = JSON.parse(json);
    if (isObject(value) && (what !== 'item' || ('item' in value && isObject(value.item)))) return value as T;
  } catch {
    // No JSON: as an object of another shape.
  }
  hooks.onUnreadable?.(what);
  return undefined;
}

export function parsedAll<T>(all: readonly string[], what: Unreadable, hooks: RedisHooks): T[] {
  return all.map((json) => parsed<T>(json, what, hooks)).filter((value) => value !== undefined);
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

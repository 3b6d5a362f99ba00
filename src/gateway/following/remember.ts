/* Bounds a set of ids: announcements repeat within seconds, so only recent ids are needed. */

const REMEMBERED = 256;

/** Adds an id to a set and drops the oldest one above the bound. */
export function remember(set: Set<string>, value: string): void {
  set.add(value);
  if (set.size <= REMEMBERED) return;
  const oldest = set.values().next();
  if (oldest.done !== true) set.delete(oldest.value);
}

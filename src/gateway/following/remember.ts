/* Ids that matter for a while: announcements repeat within seconds, not for ever. */

const REMEMBERED = 256;

/** Adds to a set that forgets its oldest entry when it grows over a bound. */
export function remember(set: Set<string>, value: string): void {
  set.add(value);
  if (set.size <= REMEMBERED) return;
  const oldest = set.values().next();
  if (oldest.done !== true) set.delete(oldest.value);
}

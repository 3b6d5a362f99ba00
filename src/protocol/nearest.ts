/* Helps people who mistyped a name of the wire: the nearest known one, and foreign names cut short. Knows no schema. */

/** The known name that `name` was probably meant to be; undefined where none is as near as a typing mistake goes. */
export function nearestName(name: string, known: Iterable<string>): string | undefined {
  const word = name.slice(0, 64).toLowerCase();
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const candidate of known) {
    const distance = distanceBetween(word, candidate.toLowerCase());
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

/** A name somebody sent, cut so that it cannot flood a message or a log line. */
export function shortName(name: string): string {
  const printable = name.replace(/[^\x20-\x7e]/gu, '?');
  return printable.length > 64 ? `${printable.slice(0, 64)}...` : printable;
}

/** Levenshtein's distance, one row at a time. */
function distanceBetween(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const swap = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(swap, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

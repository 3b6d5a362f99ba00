/* Finds the known name that is closest to a mistyped one. */

/** Number of characters of a name that are compared. */
const COMPARED_CHARACTERS = 64;
/** Minimum length of a name that is recognized inside another one. */
const LEAST_CONTAINED = 4;

/**
 * Returns the number of edits (insert, delete, replace, swap of neighbours) that turn `a` into `b`.
 */
function distance(a: string, b: string): number {
  const rows: number[][] = Array.from({ length: a.length + 1 }, (_, i) => [i]);
  for (let j = 0; j <= b.length; j++) rows[0]![j] = j;
  for (let i = 1; i <= a.length; i++) {
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      let best = Math.min(rows[i - 1]![j]! + 1, rows[i]![j - 1]! + 1, rows[i - 1]![j - 1]! + cost);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        best = Math.min(best, rows[i - 2]![j - 2]! + 1);
      rows[i]![j] = best;
    }
  }
  return rows[a.length]![b.length]!;
}

/** Returns the known name closest to `name`, or undefined if none is close enough. */
export function nearest(name: string, known: Iterable<string>): string | undefined {
  const wanted = plain(name.slice(0, COMPARED_CHARACTERS));
  let found: string | undefined;
  let least = Math.max(1, Math.floor(wanted.length / 3)) + 1;
  for (const candidate of known) {
    const edits = distance(wanted, plain(candidate));
    if (edits < least) [found, least] = [candidate, edits];
  }
  return (
    found ?? [...known].find((candidate) => contains(plain(candidate), wanted) || contains(wanted, plain(candidate)))
  );
}

function contains(whole: string, part: string): boolean {
  return part.length >= LEAST_CONTAINED && whole.includes(part);
}

function plain(name: string): string {
  return name.toLowerCase().replaceAll(/[-_\s]/g, '');
}

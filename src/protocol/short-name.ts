/** A name somebody sent, cut so that it cannot flood a message or a log line. */
export function shortName(name: string): string {
  // Cut before it is searched: a name may be as long as a frame.
  const printable = name.slice(0, 64).replace(/[^\x20-\x7e]/gu, '?');
  return name.length > 64 ? `${printable}...` : printable;
}

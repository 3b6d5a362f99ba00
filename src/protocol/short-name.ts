/** Shortens a name that a client sent, so that it cannot flood a message or a log line. */
export function shortName(name: string): string {
  // Cut before searching: a name may be as long as a frame.
  const printable = name.slice(0, 64).replace(/[^\x20-\x7e]/gu, '?');
  return name.length > 64 ? `${printable}...` : printable;
}

/** A name somebody sent, cut so that it cannot flood a message or a log line. */
export function shortName(name: string): string {
  const printable = name.replace(/[^\x20-\x7e]/gu, '?');
  return printable.length > 64 ? `${printable.slice(0, 64)}...` : printable;
}

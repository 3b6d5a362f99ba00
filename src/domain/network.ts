/*
 * The network of a client's address: what limits count by. One customer of a network provider has
 * a whole /64 of IPv6, so an address of it says nothing.
 */

const MAPPED_V4 = /^::ffff:(\d{1,3}(?:\.\d{1,3}){3})$/iu;
const GROUPS = 8;
const NETWORK_GROUPS = 4;

/** Longest text that is recorded as an address. */
const ADDRESS_MAX = 64;

/**
 * Returns an address to record. Any other text, which a proxy may send, is cut to 64 characters.
 */
export function shownAddress(address: string | null): string | null {
  return address === null || address === '' ? null : address.slice(0, ADDRESS_MAX);
}

/**
 * Returns an IPv4 address unchanged, and the /64 network of an IPv6 address. Any other text, which
 * a proxy may send, is cut to 64 characters.
 */
export function networkOf(address: string): string {
  const mapped = MAPPED_V4.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  const [bare = ''] = address.split('%', 1);
  if (!/^[\da-f:.]*:[\da-f:.]*$/iu.test(bare)) return address.slice(0, ADDRESS_MAX);
  const [left = '', right] = bare.split('::', 2);
  const [head, tail] = [groupsOf(left), groupsOf(right ?? '')];
  const zeros = right === undefined ? 0 : Math.max(0, GROUPS - head.length - tail.length);
  const groups = [...head, ...Array.from({ length: zeros }, () => '0'), ...tail].slice(0, NETWORK_GROUPS);
  return `${groups.join(':')}::/64`;
}

/** Hexadecimal groups without leading zeros. A dotted end counts as two. */
function groupsOf(text: string): string[] {
  if (text === '') return [];
  return text.split(':').flatMap((group) => (group.includes('.') ? [group, ''] : [Number(`0x${group}`).toString(16)]));
}

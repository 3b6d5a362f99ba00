/* By what an address is counted: IPv4 as it is, IPv6 by its /64 network. */

import { expect, it } from '@jest/globals';
import { networkOf } from '../../../src/domain/network.js';

it.each([
  ['203.0.113.7', '203.0.113.7'],
  ['::ffff:203.0.113.7', '203.0.113.7'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:0db8:0001:0002::9', '2001:db8:1:2::/64'],
  ['2001:db8::9', '2001:db8:0:0::/64'],
  ['::1', '0:0:0:0::/64'],
  ['fe80::1%eth0', 'fe80:0:0:0::/64'],
  ['64:ff9b::203.0.113.7', '64:ff9b:0:0::/64'],
  ['unknown', 'unknown'],
  ['a b:c', 'a b:c'],
  ['', ''],
  ['x'.repeat(1_000), 'x'.repeat(64)],
])('counts %j as %j [LIMIT-11]', (address, network) => {
  expect(networkOf(address)).toBe(network);
});

it('counts two addresses of one /64 as one client [LIMIT-11, REST-24]', () => {
  expect(networkOf('2001:db8:1:2:aaaa::1')).toBe(networkOf('2001:db8:1:2:bbbb::2'));
  expect(networkOf('2001:db8:1:3::1')).not.toBe(networkOf('2001:db8:1:2::1'));
});

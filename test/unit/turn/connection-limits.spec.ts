/* Places of sockets and streams, by user and by address. */

import { expect, it } from '@jest/globals';
import { type Principal } from '../../../src/domain/principal.js';
import { ConnectionLimits, type ConnectionLimitsOptions } from '../../../src/turn/connection-limits.js';
import { ALICE, BOB } from './turn-harness.js';

const limitsOf = (options: Partial<ConnectionLimitsOptions>): ConnectionLimits =>
  new ConnectionLimits({ perUser: null, perAddress: null, ...options });

it('refuses one socket or stream too many of a user, and frees its place once [LIMIT-11]', () => {
  const refused: string[] = [];
  const limits = limitsOf({ perUser: 2, onRefused: (limit) => refused.push(limit) });
  const release = limits.take(ALICE, '10.0.0.1');
  limits.take(ALICE, '10.0.0.2');
  expect(() => limits.take(ALICE, '10.0.0.3')).toThrow('this user has as many as `limits.connections_per_user` allows');
  expect(() => limits.take(BOB, '10.0.0.1')).not.toThrow();
  release();
  release();
  limits.take(ALICE, '10.0.0.1');
  expect(() => limits.take(ALICE, '10.0.0.1')).toThrow();
  expect(refused).toEqual(['user', 'user']);
});

it('counts a user once over its credentials, and each server key that acts for no user [LIMIT-11]', () => {
  const limits = limitsOf({ perUser: 1 });
  const other: Principal = { ...ALICE, credential: 'another' };
  limits.take({ ...ALICE, user: 'ann', owner: 'acme/ann' }, 'a');
  expect(() => limits.take({ ...other, user: 'ann', owner: 'acme/ann' }, 'b')).toThrow();
  limits.take({ ...ALICE, user: null }, 'a');
  expect(() => limits.take({ ...other, user: null }, 'a')).not.toThrow();
});

it('refuses one too many of an address, whatever callers it has [LIMIT-11]', () => {
  const limits = limitsOf({ perAddress: 2 });
  limits.take(ALICE, '2001:db8:1:2::1');
  limits.take(BOB, '2001:db8:1:2::2');
  expect(() => limits.take(BOB, '2001:db8:1:2::3')).toThrow(
    'your network has as many as `limits.connections_per_address` allows',
  );
  expect(() => limits.take(BOB, '2001:db8:1:3::1')).not.toThrow();
});

it('takes no place for a refused connection [LIMIT-11]', () => {
  const limits = limitsOf({ perUser: 5, perAddress: 1 });
  const release = limits.take(ALICE, '10.0.0.1');
  for (let i = 0; i < 10; i++) expect(() => limits.take(ALICE, '10.0.0.1')).toThrow();
  release();
  expect(() => limits.take(ALICE, '10.0.0.1')).not.toThrow();
});

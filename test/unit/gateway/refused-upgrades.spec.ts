/*
 * Refused upgrades in the log: the first of a kind, then one line in ten seconds with their number.
 */

import { expect, it } from '@jest/globals';
import { SluiceError } from '../../../src/domain/errors.js';
import { RefusedUpgrades } from '../../../src/gateway/refused-upgrades.js';
import { ConnectionRefusal } from '../../../src/turn/connection-limits.js';
import { HandTime } from '../../support/hand-time.js';

it('logs one line in ten seconds for each code, with the address of the last and the number of all', () => {
  const time = new HandTime();
  const lines: object[] = [];
  const refused = new RefusedUpgrades({ warn: (fields) => lines.push(fields) }, time);
  const wrongKey = new SluiceError('invalid_api_key', 'unable to authenticate');
  for (let i = 0; i < 5; i++) refused.add(wrongKey, `10.0.0.${i}`);
  refused.add(new SluiceError('draining', 'unable to open a connection'), '');
  time.pass(10_000);
  refused.add(wrongKey, '10.0.0.9');
  expect(lines).toEqual([
    { error: 'invalid_api_key', address: '10.0.0.0', refusals: 1 },
    { error: 'draining', address: null, refusals: 1 },
    { error: 'invalid_api_key', address: '10.0.0.9', refusals: 5 },
  ]);
});

it('names the limit and the caller of a connection that is one too many [LIMIT-11]', () => {
  const lines: object[] = [];
  const refused = new RefusedUpgrades({ warn: (fields) => lines.push(fields) }, new HandTime());
  refused.add(new ConnectionRefusal('user', 'user:shop/ann'), '10.0.0.1');
  expect(lines).toEqual([
    { error: 'rate_limit_exceeded', address: '10.0.0.1', limit: 'user', caller: 'user:shop/ann', refusals: 1 },
  ]);
});

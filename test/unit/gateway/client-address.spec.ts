/* The address of a client behind proxies. */

import { expect, it } from '@jest/globals';
import { type IncomingMessage } from 'node:http';
import { clientAddress } from '../../../src/gateway/client-address.js';

it.each([
  [[], '10.0.0.1', '203.0.113.7', '10.0.0.1'],
  [['10.0.0.0/8'], '10.0.0.1', '203.0.113.7', '203.0.113.7'],
  [['10.0.0.0/8'], '10.0.0.1', '1.1.1.1, 203.0.113.7, 10.0.0.2', '203.0.113.7'],
  [['10.0.0.0/8'], '192.0.2.1', '203.0.113.7', '192.0.2.1'],
  [['10.0.0.0/8'], undefined, '203.0.113.7', null],
])(
  'takes the last address that no trusted proxy has: %j from %s with %j is %s',
  (trusted, socket, forwarded, address) => {
    // The function reads nothing else of a request.
    const request = {
      socket: { remoteAddress: socket },
      headers: { 'x-forwarded-for': forwarded },
    } as unknown as IncomingMessage;
    expect(clientAddress(trusted)(request)).toBe(address);
  },
);

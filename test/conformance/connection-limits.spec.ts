/* Open sockets and streams of one user and one address, behind a proxy that names the addresses. */

import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { GatewayHarness, heldAnswer } from '../support/gateway-harness.js';
import { RawClient } from '../support/raw-client.js';

const BACKEND = 'sk-backend-0000000000000000000000000001';
let harness: GatewayHarness;
beforeAll(async () => {
  harness = await GatewayHarness.start({
    config: {
      auth: { mode: 'keys', keys: [{ id: 'backend', key_env: 'BACKEND', tenant: 'shop' }] },
      limits: { connections_per_user: 3, connections_per_address: 5 },
      http: { trusted_proxies: ['127.0.0.0/8'] },
    },
    env: { BACKEND },
  });
});
const readers: AbortController[] = [];
afterEach(async () => {
  await harness.hangUp();
  for (const reader of readers.splice(0)) reader.abort();
  while (harness.gateway.gateway.parts.table.size > 0) await new Promise(setImmediate);
});
afterAll(() => harness.close());

const as = (user: string, address: string) => ({
  headers: { authorization: `Bearer ${BACKEND}`, 'sluice-user': user, 'x-forwarded-for': address },
});
const refusal = async (user: string, address: string) => {
  const { status, headers, body } = await RawClient.refused(harness.gateway.socketUrl, as(user, address));
  return [status, headers['retry-after'], body.error];
};

/** A stream that stays open until the end of the test. */
async function stream(user: string, address: string, path = '/v1/responses'): Promise<Response> {
  const held = heldAnswer('Half');
  harness.provider.answerWith(held.answer);
  const reader = new AbortController();
  readers.push(reader);
  const body = path.endsWith('responses')
    ? { input: 'Hi', stream: true }
    : { messages: [{ role: 'user', content: 'Hi' }], stream: true };
  return harness.fetch(path, { method: 'POST', body, ...as(user, address) }, reader.signal);
}

describe('connections of a user', () => {
  it('are bounded over sockets and streams, before the upgrade and before the turn [LIMIT-11, UP-4]', async () => {
    await harness.connect(as('ann', '198.51.100.1'));
    expect((await stream('ann', '198.51.100.2')).status).toBe(200);
    expect((await stream('ann', '198.51.100.3', '/v1/chat/completions')).status).toBe(200);
    await harness.provider.request(1);
    const turns = harness.provider.requests.length;
    const error = { code: 'rate_limit_exceeded', type: 'rate_limit_error', param: null };
    expect(await refusal('ann', '198.51.100.4')).toEqual([429, '5', expect.objectContaining(error)]);
    const refused = await stream('ann', '198.51.100.4');
    expect([refused.status, refused.headers.get('retry-after'), refused.headers.get('x-should-retry')]).toEqual([
      429,
      '5',
      'true',
    ]);
    expect(await refused.json()).toMatchObject({ error });
    expect(harness.provider.requests).toHaveLength(turns);
    await harness.connect(as('bob', '198.51.100.4'));
    expect(await harness.gateway.metric('sluice_connections_refused_total{limit="user"}')).toBe(2);
    expect(harness.gateway.lines.map((line) => JSON.parse(line) as object)).toContainEqual(
      expect.objectContaining({
        msg: 'connection refused',
        error: 'rate_limit_exceeded',
        limit: 'user',
        caller: 'user:shop/ann',
        address: '198.51.100.4',
      }),
    );
  });

  it('are not bounded for requests without a stream, and free their place when they end [LIMIT-11]', async () => {
    const socket = await harness.connect(as('cy', '198.51.100.1'));
    for (let i = 0; i < 2; i++) await harness.connect(as('cy', '198.51.100.1'));
    harness.says('Hello');
    const plain = await harness.api('/v1/responses', { method: 'POST', body: { input: 'Hi' }, ...as('cy', '::1') });
    expect(plain.status).toBe(200);
    expect((await refusal('cy', '198.51.100.1'))[0]).toBe(429);
    await socket.close();
    while (harness.gateway.gateway.parts.table.size > 2) await new Promise(setImmediate);
    await harness.connect(as('cy', '198.51.100.1'));
  });
});

it('bounds the connections of an address that the proxy names, IPv6 by its network [LIMIT-11]', async () => {
  for (let i = 0; i < 5; i++) await harness.connect(as(`user${i}`, `2001:db8:1:2::${i}`));
  const [status, after, error] = await refusal('user6', '2001:db8:1:2:ffff::1');
  expect([status, after]).toEqual([429, '5']);
  expect(error).toMatchObject({ message: expect.stringContaining('limits.connections_per_address') });
  // A client cannot choose its address: only what the proxy added counts.
  expect((await refusal('user6', '198.51.100.9, 2001:db8:1:2::9'))[0]).toBe(429);
  await harness.connect(as('user6', '2001:db8:1:3::1'));
  expect(await harness.gateway.metric('sluice_connections_refused_total{limit="address"}')).toBe(2);
});

/* The sockets of connections to Redis: errors that ioredis does not listen to, and their number. */

import { once } from 'node:events';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { type Cluster, type Redis } from 'ioredis';
import { RedisConnector } from '../../src/state/redis/connection/redis-connector.js';
import { REDIS_TIMING } from '../../src/state/redis/redis-options.js';
import { RedisClusterServers } from '../../scripts/development/cluster/redis.js';
import { eventually } from './suites/contract-store.js';

let servers: RedisClusterServers;
beforeAll(async () => {
  servers = await RedisClusterServers.start();
});
afterAll(() => servers.close());

const connector = (mode: 'single' | 'cluster') =>
  new RedisConnector({ url: servers.nodes[0]?.url ?? '', mode }, REDIS_TIMING);

/** Reports two errors, as a TLS socket does after an alert; throws if one has no listener. */
function failTwice({ stream }: Redis): void {
  stream.emit('error', new Error('tlsv1 alert decode error'));
  stream.emit('error', new Error('write EPIPE'));
}

async function connected(client: Redis): Promise<Redis> {
  if (client.status !== 'ready') await once(client, 'ready');
  return client;
}

it('survives a second error of the socket of a connection', async () => {
  const single = connector('single');
  for (const client of [single.commands('sluice'), single.subscriber()]) {
    failTwice(await connected(client as Redis));
    expect(single.lastError).toMatchObject({ message: 'tlsv1 alert decode error' });
    client.disconnect();
  }
});

it('survives a second error of the sockets of a Cluster, and opens none for subscriptions', async () => {
  const cluster = connector('cluster').commands('sluice') as Cluster;
  await eventually(() => cluster.status === 'ready' && cluster.nodes().length === 3);
  for (const node of cluster.nodes()) {
    await node.ping();
    failTwice(node);
    const copy = node.duplicate({ retryStrategy: null, lazyConnect: false });
    copy.on('error', () => undefined);
    failTwice(await connected(copy));
    copy.disconnect();
    const names = (await servers.nodes[0]?.admin.call('CLIENT', 'LIST')) as string;
    expect(names).toContain('name=sluice');
    expect(names).not.toContain('subscriber');
  }
  cluster.disconnect();
});

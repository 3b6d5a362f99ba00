/* The sockets of connections to Redis: errors that ioredis does not listen to, and their number. */

import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as immediate } from 'node:timers/promises';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
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

describe('a connection to a server whose certificate is not trusted', () => {
  let server: TlsServer;
  let folder: string;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'sluice-connector-'));
    const [key, cert] = ['key.pem', 'cert.pem'].map((name) => join(folder, name)) as [string, string];
    const files = ['-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-out', cert];
    execFileSync('openssl', ['req', '-x509', ...files, '-days', '1', '-subj', '/CN=localhost'], { stdio: 'ignore' });
    server = createTlsServer({ key: readFileSync(key), cert: readFileSync(cert) });
    server.on('tlsClientError', () => undefined).listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  afterAll(() => {
    server.close();
    rmSync(folder, { recursive: true });
  });
  const connect = () => {
    // The address of a TCP listener is always this.
    const { port } = server.address() as AddressInfo;
    return new RedisConnector({ url: `rediss://127.0.0.1:${port}` }, REDIS_TIMING);
  };

  it('survives an alert after it has reported the certificate', async () => {
    const untrusted = connect();
    const client = untrusted.subscriber();
    await once(client, 'error');
    const { stream } = client;
    expect(untrusted.lastError).toMatchObject({ code: 'DEPTH_ZERO_SELF_SIGNED_CERT' });
    expect(stream.destroyed).toBe(true);
    stream.emit('error', new Error('tlsv1 alert decode error'));
    client.disconnect();
  });

  it('survives an alert after it was closed during its handshake', async () => {
    const client = connect().subscriber();
    await once(client, 'connecting');
    await immediate();
    client.disconnect();
    // ioredis reports no such error of a connection that is being closed.
    client.stream.emit('error', Object.assign(new Error('read ECONNRESET'), { syscall: 'read' }));
    client.stream.emit('error', new Error('tlsv1 alert decode error'));
    await once(client, 'end');
  });
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

/*
 * State in Redis over TLS: `rediss://`, a certificate that a private authority signed, and a
 * password.
 */

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, onFreePorts } from '../../scripts/development/cluster/free-port.js';
import { GatewayProcess } from '../support/gateway-process.js';
import { RedisServer } from '../../scripts/development/cluster/redis.js';

const directory = mkdtempSync(join(tmpdir(), 'sluice-tls-'));
const at = (name: string): string => join(directory, name);
let redis: RedisServer;
let port: number;

beforeAll(async () => {
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
  const key = ['-newkey', 'rsa:2048', '-nodes', '-keyout', at('key.pem'), '-out', at('cert.pem')];
  execFileSync('openssl', ['req', '-x509', ...key, '-days', '1', ...subject], { stdio: 'ignore' });
  const files = [
    '--tls-cert-file',
    at('cert.pem'),
    '--tls-key-file',
    at('key.pem'),
    '--tls-ca-cert-file',
    at('cert.pem'),
  ];
  redis = await onFreePorts(async () => {
    port = await freePort();
    const tls = ['--tls-port', String(port), '--tls-auth-clients', 'no'];
    return RedisServer.start({ settings: [...tls, ...files, '--requirepass', 'planted-pass'] });
  });
});

afterAll(async () => {
  await redis.close();
  rmSync(directory, { recursive: true, force: true });
});

const config = () => ({ state: { type: 'redis', url: `rediss://localhost:${port}`, password_env: 'REDIS_PASSWORD' } });

describe('rediss://', () => {
  it('serves turns over TLS, with the authority in NODE_EXTRA_CA_CERTS', async () => {
    const env = { NODE_EXTRA_CA_CERTS: at('cert.pem'), REDIS_PASSWORD: 'planted-pass' };
    const gateway = await GatewayProcess.start(config(), env);
    try {
      const answer = await fetch(`${gateway.url}/v1/responses`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ input: 'demo: deltas=3 interval=1ms text=numbers' }),
      });
      expect(await answer.json()).toMatchObject({ status: 'completed', output_text: '0 1 2' });
    } finally {
      await gateway.stop();
    }
    expect(gateway.output).not.toContain('planted-pass');
  });

  it('refuses to start with a server whose certificate no trusted authority signed', async () => {
    await expect(GatewayProcess.start(config(), { REDIS_PASSWORD: 'planted-pass' })).rejects.toThrow(/state/);
  });
});

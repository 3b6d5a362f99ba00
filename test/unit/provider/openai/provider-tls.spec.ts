/*
 * A provider behind a private authority that asks for a certificate: the call and the check of the
 * key show it.
 */

import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import { type AddressInfo } from 'node:net';
import { type TLSSocket } from 'node:tls';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { keyIsRefused } from '../../../../src/provider/openai/key-check.js';
import { OpenAiProvider } from '../../../../src/provider/openai/openai-provider.js';
import { providerRequest } from '../../../support/provider-request.js';

const folder = mkdtempSync(join(tmpdir(), 'sluice-provider-tls-'));
const read = (name: string) => readFileSync(join(folder, name), 'utf8');
const shown: unknown[] = [];
let server: Server;
let baseUrl: string;
beforeAll(async () => {
  for (const name of ['server', 'gateway'])
    execFileSync(
      'openssl',
      [
        ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', `${name}.key`, '-out', `${name}.pem`],
        ...['-days', '1', '-subj', `/CN=${name}`, '-addext', 'subjectAltName=DNS:localhost'],
      ],
      { cwd: folder, stdio: 'ignore' },
    );
  const options = { cert: read('server.pem'), key: read('server.key'), ca: read('gateway.pem'), requestCert: true };
  server = createServer({ ...options, rejectUnauthorized: true }, (request, response) => {
    // A server over TLS.
    shown.push((request.socket as TLSSocket).getPeerCertificate().subject.CN);
    response.writeHead(401).end('{"error":{"message":"no"}}');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  // It listens on TCP.
  baseUrl = `https://localhost:${(server.address() as AddressInfo).port}/v1`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
  rmSync(folder, { recursive: true });
});

const certificates = () => ({ ca: read('server.pem'), cert: read('gateway.pem'), key: read('gateway.key') });

it('shows the certificate with each call and with the check of the key', async () => {
  const provider = new OpenAiProvider({ baseUrl, apiKey: 'sk-test', tls: certificates() });
  const parts = provider.stream(providerRequest('Hi'), new AbortController().signal);
  await expect(parts[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: 'provider_refused' });
  await provider.close();
  expect(await keyIsRefused({ baseUrl, apiKey: 'sk-test', timeoutMs: 60_000, tls: certificates() })).toBe(true);
  expect(shown).toEqual(['gateway', 'gateway']);
});

it('reaches no server whose authority it does not trust', async () => {
  const provider = new OpenAiProvider({ baseUrl, apiKey: 'sk-test' });
  const parts = provider.stream(providerRequest('Hi'), new AbortController().signal);
  await expect(parts[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: 'provider_unavailable' });
  await provider.close();
});

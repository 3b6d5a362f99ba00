/*
 * The playground's files: served to every client, or to none, with the headers that protect a page
 * of foreign text.
 */

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { loadConfig } from '../../src/config/load.js';
import { PROVIDER_TYPES } from '../../src/provider/registry.js';
import { startGateway, type TestGateway } from '../support/gateway.js';
import { exchange } from '../support/raw-http.js';

it.each([
  ['serves', true, 200],
  ['does not serve', false, 404],
])('%s the playground and the client if app.playground is %s [REST-21]', async (_what, playground, status) => {
  const gateway = await startGateway({ config: { app: { playground } } });
  try {
    for (const path of ['/', '/client.js', '/client.d.ts'])
      expect([path, (await fetch(`${gateway.url}${path}`)).status]).toEqual([path, status]);
  } finally {
    await gateway.close();
  }
});

it.each(['production', 'staging'])('does not serve the playground with config/%s.yaml', (name) => {
  const env = {
    OPENAI_API_KEY: 'sk-x',
    SLUICE_API_KEY: 'sk-backend-0000000000000000000000000001',
    REDIS_PASSWORD: 'x',
  };
  const { config } = loadConfig({ types: PROVIDER_TYPES, path: `config/${name}.yaml`, env });
  expect(config.app.playground).toBe(false);
});

describe('the headers', () => {
  let plain: TestGateway;
  let secured: TestGateway;
  beforeAll(async () => {
    [plain, secured] = await Promise.all([startGateway(), startGateway({ config: { http: { hsts: '365d' } } })]);
  });
  afterAll(() => Promise.all([plain.close(), secured.close()]));

  it('allow the page its own files only, no inline code, no frame and no referrer [REST-21]', async () => {
    const { headers } = await fetch(plain.url);
    const host = new URL(plain.url).host;
    expect(headers.get('content-security-policy')?.split('; ')).toEqual([
      "default-src 'none'",
      "script-src 'self'",
      "style-src 'self'",
      "img-src 'self' data:",
      "base-uri 'none'",
      "form-action 'none'",
      "frame-ancestors 'none'",
      "require-trusted-types-for 'script'",
      'trusted-types dompurify',
      `connect-src 'self' ws://${host} wss://${host}`,
    ]);
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect(headers.get('referrer-policy')).toBe('no-referrer');
    expect(headers.get('cross-origin-opener-policy')).toBe('same-origin');
    const page = await (await fetch(plain.url)).text();
    expect(page).not.toMatch(/<script(?![^>]* src=)|<style|\son\w+=|\sstyle=|javascript:/iu);
  });

  it.each(["a.example; script-src 'unsafe-inline'", 'a.example *', '*', 'a@b.example', 'a.example/x'])(
    'do not repeat the host %j of the request [REST-21]',
    async (host) => {
      const { headers } = await exchange(plain.port, `GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
      expect(headers['content-security-policy']).toMatch(/connect-src 'self'$/u);
      expect(JSON.stringify(headers)).not.toContain('unsafe-inline');
    },
  );

  it('require HTTPS of browsers in every answer with http.hsts, and in none without it [REST-25]', async () => {
    for (const path of ['/', '/client.js', '/v1/models', '/v1/unknown', '/nothing']) {
      const [on, off] = await Promise.all([fetch(`${secured.url}${path}`), fetch(`${plain.url}${path}`)]);
      expect([path, on.headers.get('strict-transport-security')]).toEqual([path, 'max-age=31536000']);
      expect([path, off.headers.has('strict-transport-security')]).toEqual([path, false]);
    }
  });
});

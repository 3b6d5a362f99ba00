/* Certificates from files: what is read, and each mistake by its key. */

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Workspace } from './workspace.js';

const at = new Workspace();
const file = (name: string) => join(at.cwd, name);
beforeAll(() => {
  for (const name of ['one', 'two'])
    execFileSync(
      'openssl',
      [
        'req',
        '-x509',
        '-newkey',
        'rsa:2048',
        '-nodes',
        '-keyout',
        `${name}.key`,
        '-out',
        `${name}.pem`,
        '-days',
        '1',
        '-subj',
        '/CN=x',
      ],
      { cwd: at.cwd, stdio: 'ignore' },
    );
  at.write('garbage.pem', 'no certificate');
});
afterAll(() => at.remove());

const withTls = (section: 'state' | 'provider', tls: object) =>
  JSON.stringify({
    state: { type: 'redis', url: 'rediss://redis:6380' },
    provider: { type: 'demo' },
    [section]: { ...(section === 'state' ? { type: 'redis', url: 'rediss://redis:6380' } : { type: 'demo' }), tls },
  });

describe.each(['state', 'provider'] as const)('%s.tls', (section) => {
  it('reads authority, certificate and key, which no printer shows', () => {
    const tls = { ca_file: file('two.pem'), cert_file: file('one.pem'), key_file: file('one.key') };
    const { config } = at.load(withTls(section, tls));
    const read = config[section].tls;
    expect(read).toMatchObject({
      ca: readFileSync(file('two.pem'), 'utf8'),
      cert: readFileSync(file('one.pem'), 'utf8'),
    });
    expect(read?.key?.reveal()).toContain('PRIVATE KEY');
    expect(JSON.stringify(config)).not.toContain('PRIVATE KEY');
  });

  it.each([
    ['a file that is not there', { ca_file: file('none.pem') }, 'ca_file', 'cannot be read'],
    ['no certificate', { ca_file: file('garbage.pem') }, 'ca_file', 'holds no certificate'],
    ['a certificate without a key', { cert_file: file('one.pem') }, 'key_file', 'given without it'],
    ['a key without a certificate', { key_file: file('one.key') }, 'cert_file', 'given without it'],
    [
      'the key of another',
      { cert_file: file('one.pem'), key_file: file('two.key') },
      'cert_file',
      'do not belong together',
    ],
  ])('refuses %s', (_what, tls, key, says) => {
    expect(at.mistakes(withTls(section, tls)).join('\n')).toMatch(new RegExp(`${section}\\.tls\\.${key}: .*${says}`));
  });
});

it('warns where the demo provider answers in production because a key is missing', () => {
  const file = (environment: string, type: string) => JSON.stringify({ app: { environment }, provider: { type } });
  expect(at.load(file('production', 'auto')).warnings.join()).toContain('the demo provider answers in production');
  for (const [environment, type] of [
    ['development', 'auto'],
    ['production', 'demo'],
  ] as const)
    expect(at.load(file(environment, type)).warnings.join()).not.toContain('demo provider');
});

import { createHash } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { AnonymousAuthenticator } from '../../../src/auth/anonymous-authenticator.js';
import { KeysAuthenticator } from '../../../src/auth/keys-authenticator.js';

const sha256 = (key: string) => createHash('sha256').update(key).digest('hex');
const NOW = 1_000_000;

function serverKey(id: string, key: string, more: object = {}) {
  return {
    id,
    key_sha256: sha256(key),
    tenant: 'acme',
    scopes: ['chat'] as const,
    class: null,
    expires: null,
    ...more,
  };
}

const authenticator = new KeysAuthenticator(
  [
    serverKey('first', 'sk-first'),
    serverKey('second', 'sk-second', { tenant: 'globex', scopes: ['chat', 'admin'] }),
    serverKey('old', 'sk-old', { expires: NOW }),
    serverKey('young', 'sk-young', { expires: NOW + 1 }),
    serverKey('ops', 'sk-ops', { scopes: ['admin'] }),
  ],
  () => NOW,
);

describe('server keys', () => {
  it('returns the principal of a key: its tenant as owner, no user, trusted', async () => {
    expect(await authenticator.authenticate('sk-second')).toEqual({
      kind: 'key',
      owner: 'globex',
      tenant: 'globex',
      user: null,
      credential: 'second',
      scopes: new Set(['chat', 'admin']),
      limitsClass: null,
      trusted: true,
      binding: null,
      issuedAtMs: null,
      expiresAtMs: null,
    });
  });

  it('finds every key of the list, not only the last or the first', async () => {
    const found = await Promise.all(
      ['sk-first', 'sk-second', 'sk-young'].map((key) => authenticator.authenticate(key)),
    );
    expect(found.map((principal) => principal.credential)).toEqual(['first', 'second', 'young']);
  });

  it('returns the time when a key expires, for sockets that outlive it', async () => {
    expect((await authenticator.authenticate('sk-young')).expiresAtMs).toBe(NOW + 1);
  });

  it.each([
    ['no credential', undefined, 'missing_api_key'],
    ['an unknown key', 'sk-firs', 'invalid_api_key'],
    ['a key with something behind it', 'sk-first ', 'invalid_api_key'],
    ['the digest in place of the key', sha256('sk-first'), 'invalid_api_key'],
    ['the id in place of the key', 'first', 'invalid_api_key'],
    ['an empty credential', '', 'invalid_api_key'],
    ['a key from the moment it expires', 'sk-old', 'invalid_api_key'],
    ['a key without the scope', 'sk-ops', 'insufficient_scope'],
  ])('refuses %s', async (_what, credential, code) => {
    await expect(authenticator.authenticate(credential)).rejects.toMatchObject({ code });
  });

  it('requires the scope of the route', async () => {
    await expect(authenticator.authenticate('sk-first', 'admin')).rejects.toMatchObject({ code: 'insufficient_scope' });
    expect((await authenticator.authenticate('sk-ops', 'admin')).credential).toBe('ops');
  });

  it('never repeats the credential in an error', async () => {
    const refusal = await authenticator.authenticate('sk-planted-secret').catch((error: unknown) => error);
    expect(JSON.stringify(refusal, Object.getOwnPropertyNames(refusal))).not.toContain('planted');
  });

  it('refuses every key when none is configured', async () => {
    await expect(new KeysAuthenticator([]).authenticate('sk-first')).rejects.toMatchObject({ code: 'invalid_api_key' });
  });
});

describe('auth.mode none', () => {
  it('returns the same trusted principal for every request, with any credential', async () => {
    const anonymous = new AnonymousAuthenticator();
    const principal = await anonymous.authenticate();
    expect(principal).toMatchObject({ owner: 'anonymous', tenant: 'anonymous', user: null, trusted: true });
    expect(await anonymous.authenticate()).toBe(principal);
  });
});

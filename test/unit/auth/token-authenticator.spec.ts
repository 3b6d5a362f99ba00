/* Tokens of users: what is verified, and how claims become a principal. */

import { createHmac, createPublicKey } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { isToken, TokenAuthenticator, type TokenOptions } from '../../../src/auth/tokens/token-authenticator.js';
import { AUDIENCE, ISSUER, signed, TokenIssuer } from '../../support/token-issuer.js';

let issuer: TokenIssuer;
let key: Awaited<ReturnType<TokenIssuer['key']>>;
let reasons: string[];
let authenticator: TokenAuthenticator;
const options = (more: Partial<TokenOptions> = {}): TokenOptions => ({
  key: createPublicKey(key.pem),
  issuer: ISSUER,
  audience: AUDIENCE,
  algorithms: ['ES256'],
  clockToleranceMs: 5_000,
  claims: { user: 'sub', tenant: 'tenant', scopes: 'scope', class: 'class' },
  tenant: 'default',
  onRefused: (reason) => void reasons.push(reason),
  ...more,
});
beforeAll(async () => {
  issuer = await TokenIssuer.start();
  key = await issuer.key('one');
  reasons = [];
  authenticator = new TokenAuthenticator(options());
});
afterAll(() => issuer.close());
const refused = async (token: string, of = authenticator): Promise<readonly unknown[]> => {
  reasons = [];
  const thrown: unknown = await of.authenticate(token).catch((error: unknown) => error);
  return [(thrown as { code?: string }).code, ...reasons];
};
const seconds = (): number => Math.floor(Date.now() / 1_000);

describe('a token', () => {
  it('makes of a token the principal of its user [AUTH-7]', async () => {
    const exp = seconds() + 60;
    const token = await signed(key, { exp, tenant: 'shop', scope: 'openid chat', class: 'gold', jti: 'id-1' });
    expect(isToken(token)).toBe(true);
    expect(await authenticator.authenticate(token)).toEqual({
      kind: 'token',
      owner: 'shop/ann',
      tenant: 'shop',
      user: 'ann',
      credential: 'token:id-1',
      scopes: new Set(['chat']),
      limitsClass: 'gold',
      trusted: false,
      binding: null,
      issuedAtMs: expect.any(Number),
      expiresAtMs: exp * 1_000 + 5_000,
    });
  });

  it('lets a token without a claim of scopes chat, for the configured tenant [AUTH-7]', async () => {
    const principal = await authenticator.authenticate(await signed(key));
    expect(principal).toMatchObject({ owner: 'default/ann', scopes: new Set(['chat']), limitsClass: null });
  });

  it.each([
    [['chat', 'admin'], ['chat']],
    ['sluice:chat', ['chat']],
  ])('reads from the scopes %j of a token only %j [AUTH-7]', async (scope, expected) => {
    expect([...(await authenticator.authenticate(await signed(key, { scope }))).scopes]).toEqual(expected);
  });

  it.each(['openid profile', 'admin', '', 'constructor', 7])(
    'refuses to chat with a token of the scopes %j [AUTH-7]',
    async (scope) => {
      expect(await refused(await signed(key, { scope }))).toEqual(['insufficient_scope']);
    },
  );

  it('reads the claims of a token by configured names, and by paths [AUTH-7]', async () => {
    const own = new TokenAuthenticator(
      options({ claims: { user: 'https://app/user', tenant: 'org.id', scopes: 'realm.roles', class: 'plan' } }),
    );
    const token = await signed(key, { 'https://app/user': 'bob', org: { id: 'acme' }, realm: { roles: ['chat'] } });
    expect(await own.authenticate(token)).toMatchObject({ owner: 'acme/bob', scopes: new Set(['chat']) });
  });

  it.each([
    ['of another issuer', { iss: 'https://evil.example/' }, 'claim'],
    ['for another audience', { aud: 'other' }, 'claim'],
    ['without an audience', { aud: undefined }, 'claim'],
    ['without an expiry', { exp: undefined }, 'claim'],
    ['without a user', { sub: undefined }, 'claim'],
    ['whose user is no text', { sub: 7 }, 'claim'],
    ['whose user has a line break', { sub: 'a\nb' }, 'claim'],
    ['whose tenant has a slash', { tenant: 'shop/ann' }, 'claim'],
    ['whose class is no text', { class: ['gold'] }, 'claim'],
  ])('refuses a token %s [AUTH-7]', async (_what, claims, reason) => {
    expect(await refused(await signed(key, claims))).toEqual(['invalid_api_key', reason]);
  });

  it('accepts a token past its expiry for the tolerance only, and not before its time [AUTH-7]', async () => {
    expect((await authenticator.authenticate(await signed(key, { exp: seconds() - 2 }))).user).toBe('ann');
    expect(await refused(await signed(key, { exp: seconds() - 60 }))).toEqual(['invalid_api_key', 'expired']);
    expect(await refused(await signed(key, { nbf: seconds() + 60 }))).toEqual(['invalid_api_key', 'claim']);
  });

  it('refuses a token without a signature, with another algorithm, and with the public key as a secret [AUTH-7]', async () => {
    const [head, body] = (await signed(key)).split('.');
    const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    const none = `${encode({ alg: 'none' })}.${body}.`;
    expect(await refused(none)).toEqual(['invalid_api_key', 'algorithm']);
    expect(await refused(`${head}.${body}.`)).toEqual(['invalid_api_key', 'signature']);
    const confused = `${encode({ alg: 'HS256' })}.${body}`;
    const mac = createHmac('sha256', key.pem).update(confused).digest('base64url');
    expect(await refused(`${confused}.${mac}`)).toEqual(['invalid_api_key', 'algorithm']);
    const [, , signature] = (await signed(key)).split('.');
    const other = encode({ iss: ISSUER, aud: AUDIENCE, sub: 'bob', exp: seconds() + 60 });
    expect(await refused(`${head}.${other}.${signature}`)).toEqual(['invalid_api_key', 'signature']);
    const stranger = await issuer.key('one');
    expect(await refused(await signed(stranger))).toEqual(['invalid_api_key', 'signature']);
    const rsa = await issuer.key('one', 'RS256');
    expect(await refused(await signed(rsa))).toEqual(['invalid_api_key', 'algorithm']);
  });

  it.each(['eyJ.e30.', 'eyJhbGciOiJFUzI1NiJ9.%.x', `eyJ${'A'.repeat(9_000)}.e30.AA`])(
    'refuses a token of garbage [AUTH-7]',
    async (token) => {
      expect(await refused(token)).toEqual(['invalid_api_key', 'malformed']);
    },
  );

  it('refuses a token with an unknown critical header [AUTH-7]', async () => {
    const token = await signed(key);
    const [head = '', body, signature] = token.split('.');
    const strange = { ...JSON.parse(Buffer.from(head, 'base64url').toString()), crit: ['x'], x: 1 };
    const forged = `${Buffer.from(JSON.stringify(strange)).toString('base64url')}.${body}.${signature}`;
    expect(await refused(forged)).toEqual(['invalid_api_key', 'algorithm']);
  });
});

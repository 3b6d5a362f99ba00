/* The keys of the tokens' issuer: rotation, cooldown, and an issuer that is away. */

import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { jwtVerify } from 'jose';
import { IssuerKeys } from '../../../src/auth/tokens/issuer-keys.js';
import { TokenAuthenticator } from '../../../src/auth/tokens/token-authenticator.js';
import { HandTime } from '../../support/hand-time.js';
import { AUDIENCE, ISSUER, signed, TokenIssuer } from '../../support/token-issuer.js';

let issuer: TokenIssuer;
let time: HandTime;
let outcomes: string[];
let keys: IssuerKeys;
beforeEach(async () => {
  issuer = await TokenIssuer.start();
  time = new HandTime();
  outcomes = [];
  keys = new IssuerKeys({
    url: issuer.jwksUrl,
    time,
    onFetched: (outcome, why) => void outcomes.push(why === '' ? outcome : `${outcome}: ${why}`),
  });
});
afterEach(async () => {
  jest.restoreAllMocks();
  await issuer.close();
});
const verify = async (token: string): Promise<unknown> => (await jwtVerify(token, keys.find)).payload.sub;
const codeOf = (token: string): Promise<unknown> =>
  verify(token).catch((error: unknown) => (error as { code: unknown }).code);

describe('issuer keys', () => {
  it("fetches the issuer's keys once for many tokens at once [AUTH-7]", async () => {
    const one = await issuer.key('one');
    issuer.published = [one.jwk];
    const token = await signed(one);
    expect(await Promise.all([verify(token), verify(token), verify(token)])).toEqual(['ann', 'ann', 'ann']);
    expect(issuer.fetches).toBe(1);
  });

  it("fetches the issuer's keys again for an unknown key, at most once per cooldown [AUTH-7]", async () => {
    const [one, two, forged] = [await issuer.key('one'), await issuer.key('two'), await issuer.key('three')];
    issuer.published = [one.jwk];
    await verify(await signed(one));
    issuer.published = [one.jwk, two.jwk];
    time.pass(31_000);
    expect(await verify(await signed(two))).toBe('ann');
    expect(issuer.fetches).toBe(2);
    for (let i = 0; i < 5; i++) expect(await codeOf(await signed(forged))).toBe('ERR_JWKS_NO_MATCHING_KEY');
    expect(issuer.fetches).toBe(2);
  });

  it('drops a key that the issuer no longer publishes, once the list is old [AUTH-7]', async () => {
    const [one, two] = [await issuer.key('one'), await issuer.key('two')];
    issuer.published = [one.jwk];
    await verify(await signed(one));
    issuer.published = [two.jwk];
    time.pass(11 * 60_000);
    // The first token after that starts the fetch, and may still use the old list.
    await codeOf(await signed(one));
    expect(await verify(await signed(two))).toBe('ann');
    expect(await codeOf(await signed(one))).toBe('ERR_JWKS_NO_MATCHING_KEY');
  });

  it.each([null, 500])(
    'uses known keys while the issuer is away (%p), and refuses unknown ones [AUTH-7]',
    async (status) => {
      const [one, two] = [await issuer.key('one'), await issuer.key('two')];
      issuer.published = [one.jwk, two.jwk].slice(0, 1);
      await verify(await signed(one));
      issuer.status = status;
      time.pass(24 * 60 * 60_000);
      expect(await verify(await signed(one))).toBe('ann');
      expect(await codeOf(await signed(two))).toBe('auth_unavailable');
      expect(await verify(await signed(one))).toBe('ann');
      expect(outcomes.at(-1)).toMatch(status === null ? /^failed: \w+/u : /^failed: HTTP 500$/u);
      issuer.status = 200;
      issuer.published = [two.jwk];
      time.pass(31_000);
      expect(await verify(await signed(two))).toBe('ann');
    },
  );

  it('refuses every token while keys were never fetched, and fetches again [AUTH-7]', async () => {
    issuer.status = 503;
    const one = await issuer.key('one');
    issuer.published = [one.jwk];
    expect(await codeOf(await signed(one))).toBe('auth_unavailable');
    expect(await codeOf(await signed(one))).toBe('auth_unavailable');
    expect(issuer.fetches).toBe(1);
    issuer.status = 200;
    time.pass(4_900);
    expect(await codeOf(await signed(one))).toBe('auth_unavailable');
    // The Retry-After of the refusal.
    time.pass(200);
    expect(await verify(await signed(one))).toBe('ann');
    expect(issuer.fetches).toBe(2);
  });

  it('accepts tokens when the second attempt of a fetch answers after the first was cut [AUTH-7]', async () => {
    const one = await issuer.key('one');
    issuer.published = [one.jwk];
    issuer.status = null;
    issuer.server.once('request', () => (issuer.status = 200));
    expect(await verify(await signed(one))).toBe('ann');
    expect(issuer.fetches).toBe(2);
    expect(outcomes).toEqual(['ok']);
  });

  it('accepts tokens when the second attempt of a fetch answers after the first timed out [AUTH-7]', async () => {
    const one = await issuer.key('one');
    issuer.published = [one.jwk];
    const late = AbortSignal.abort(new DOMException('too late', 'TimeoutError'));
    jest.spyOn(AbortSignal, 'timeout').mockReturnValueOnce(late);
    expect(await verify(await signed(one))).toBe('ann');
    expect(outcomes).toEqual(['ok']);
  });

  it('gives up a fetch after two attempts without an answer [AUTH-7]', async () => {
    issuer.status = null;
    expect(await codeOf(await signed(await issuer.key('one')))).toBe('auth_unavailable');
    expect(issuer.fetches).toBe(2);
    expect(outcomes).toHaveLength(1);
  });

  it("ignores secrets and unusable entries of the issuer's list [AUTH-7]", async () => {
    const one = await issuer.key('one');
    issuer.published = [{ kty: 'oct', k: 'AAAA', kid: 'two', alg: 'HS256' }, one.jwk];
    expect(await verify(await signed(one))).toBe('ann');
    time.pass(31_000);
    issuer.published = [{ kty: 'oct', k: 'AAAA', kid: 'two' }];
    expect(await codeOf(await signed({ ...one, kid: 'two' }))).toBe('auth_unavailable');
    expect(outcomes.at(-1)).toBe('failed: the answer has no usable key');
  });

  it("tries the issuer's keys one by one for a token that names none [AUTH-7]", async () => {
    const [one, two, three] = [await issuer.key('one'), await issuer.key('two'), await issuer.key('three')];
    issuer.published = [one.jwk, two.jwk];
    const authenticator = new TokenAuthenticator({
      key: keys.find,
      issuer: ISSUER,
      audience: AUDIENCE,
      algorithms: ['ES256'],
      clockToleranceMs: 0,
      claims: { user: 'sub', tenant: 'tenant', scopes: 'scope', class: 'class' },
      tenant: 'default',
    });
    const without = { kid: undefined };
    expect((await authenticator.authenticate(await signed(two, {}, without))).user).toBe('ann');
    await expect(authenticator.authenticate(await signed(three, {}, without))).rejects.toMatchObject({
      code: 'invalid_api_key',
    });
  });
});

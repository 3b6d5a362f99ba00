import { describe, expect, it } from '@jest/globals';
import { actingFor, isUserName, type Principal, reaches } from '../../../src/domain/principal.js';

const key: Principal = {
  kind: 'key',
  owner: 'acme',
  tenant: 'acme',
  user: null,
  credential: 'k1',
  scopes: new Set(['chat']),
  limitsClass: null,
  trusted: true,
  binding: null,
  issuedAtMs: null,
  expiresAtMs: null,
};
const user: Principal = {
  ...key,
  kind: 'token',
  owner: 'acme/ann',
  user: 'ann',
  credential: 'u1',
  trusted: false,
};

describe('reaches', () => {
  it('keeps what a server key created from a user of the same tenant [REAS-2]', () => {
    expect(reaches(user, key.owner, null)).toBe(false);
    expect(reaches(user, 'acme/bob', null)).toBe(false);
    expect(reaches(user, user.owner, null)).toBe(true);
  });

  it('lets a server key read what its tenant owns, and nothing of another tenant [AUTH-2]', () => {
    expect(reaches(key, user.owner, null)).toBe(true);
    expect(reaches(key, 'acme-2', null)).toBe(false);
    expect(reaches(key, 'acme-2/ann', null)).toBe(false);
  });
});

describe('actingFor', () => {
  const acting = actingFor(key, 'ann', 'sluice-user');

  it('makes a server key own what it creates for the user [AUTH-5]', () => {
    expect(acting).toMatchObject({ owner: 'acme/ann', user: 'ann', tenant: 'acme', credential: 'k1', trusted: true });
    expect(actingFor(acting, 'ann', 'sluice-user')).toBe(acting);
  });

  it('keeps a server key that acts for a user from the objects of other users and tenants [AUTH-5]', () => {
    expect(reaches(acting, 'acme/ann', null)).toBe(true);
    expect(reaches(acting, 'acme', null)).toBe(true);
    expect(reaches(acting, 'acme/bob', null)).toBe(false);
    expect(reaches(acting, 'acme-2', null)).toBe(false);
  });

  it('refuses another user to the credential of a user [AUTH-5]', () => {
    expect(actingFor(user, 'ann', 'sluice-user')).toBe(user);
    for (const caller of [user, acting]) {
      expect(() => actingFor(caller, 'bob', 'sluice-user')).toThrow(
        expect.objectContaining({ code: 'insufficient_scope', param: 'sluice-user' }),
      );
    }
  });

  it.each(['', ' ann', 'a\nb', 'a\u0000', '\ud800', 'a'.repeat(257), '\u2028'])(
    'refuses the name %j [AUTH-5]',
    (name) => {
      expect(isUserName(name)).toBe(false);
      expect(() => actingFor(key, name, 'sluice-user')).toThrow(expect.objectContaining({ code: 'invalid_value' }));
    },
  );

  it.each(['auth0|5f7c', 'ann@example.com', 'Zoë Ł', 'a/b', 'a'.repeat(256)])(
    'accepts the name %j [AUTH-5]',
    (name) => {
      expect(isUserName(name)).toBe(true);
    },
  );
});

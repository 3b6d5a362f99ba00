import { describe, expect, it } from '@jest/globals';
import { type Principal, reaches } from '../../../src/domain/principal.js';

const key: Principal = {
  owner: 'acme',
  tenant: 'acme',
  user: null,
  credential: 'k1',
  scopes: new Set(['chat']),
  trusted: true,
  expiresAtMs: null,
};
const user: Principal = { ...key, owner: 'acme/ann', user: 'ann', credential: 'u1', trusted: false };

describe('reaches', () => {
  it('keeps what a server key created from a user of the same tenant [REAS-2]', () => {
    expect(reaches(user, key.owner)).toBe(false);
    expect(reaches(user, 'acme/bob')).toBe(false);
    expect(reaches(user, user.owner)).toBe(true);
  });

  it('lets a server key read what its tenant owns, and nothing of another tenant [AUTH-2]', () => {
    expect(reaches(key, user.owner)).toBe(true);
    expect(reaches(key, 'acme-2')).toBe(false);
    expect(reaches(key, 'acme-2/ann')).toBe(false);
  });
});

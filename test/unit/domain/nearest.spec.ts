import { describe, expect, it } from '@jest/globals';
import { nearest } from '../../../src/domain/nearest.js';

describe('the nearest name', () => {
  it.each([
    ['prot', 'port'],
    ['api-key-env', 'api_key_env'],
    ['tempratur', 'temperature'],
    ['maxMessages', 'max_messages'],
  ])('finds the name for %s: %s', (name, meant) =>
    expect(nearest(name, ['port', 'host', 'api_key_env', 'temperature', 'max_messages'])).toBe(meant),
  );
  it('finds a name inside the given text or around it, unless it is too short', () => {
    expect(nearest('max_messages_kept', ['port', 'max_messages'])).toBe('max_messages');
    expect(nearest('messages', ['n', 'max_messages'])).toBe('max_messages');
    expect(nearest('functions', ['n', 'on'])).toBeUndefined();
  });
  it('returns undefined if no name is near', () => expect(nearest('zzzz', ['port', 'host'])).toBeUndefined());
});

/* Master keys of `state.encryption`: what is read, and each mistake by its key. */

import { afterAll, describe, expect, it } from '@jest/globals';
import { Workspace } from './workspace.js';

const at = new Workspace();
afterAll(() => at.remove());

const [ONE, TWO, THREE] = [1, 2, 3].map((byte) => Buffer.alloc(32, byte).toString('base64')) as [
  string,
  string,
  string,
];
const ENV = { ONE, TWO, SHORT: Buffer.alloc(16, 1).toString('base64'), TEXT: 'not base64, but text!' };
const withState = (encryption: object, type = 'redis') =>
  JSON.stringify({ state: { type, ...(type === 'redis' ? { url: 'redis://redis' } : {}), encryption } });

describe('state.encryption', () => {
  it('reads the current, the next and previous keys, which no printer shows', () => {
    const file = at.write('config/three.key', `${THREE}\n`);
    const encryption = { key_env: 'ONE', next_key_env: 'TWO', previous_key_files: [file], write: false };
    const { config } = at.load(withState(encryption), ENV);
    const { keys, write } = config.state.encryption;
    expect(keys?.current.reveal()).toBe(ONE);
    expect(keys?.next?.reveal()).toBe(TWO);
    expect(keys?.previous.map((key) => key.reveal())).toEqual([THREE]);
    expect(write).toBe(false);
    for (const key of [ONE, TWO, THREE]) expect(JSON.stringify(config)).not.toContain(key);
  });

  it('has no keys and no warnings unless the file names one', () => {
    const { config, warnings } = at.load(withState({}));
    expect(config.state.encryption.keys).toBeNull();
    expect(warnings).toEqual([]);
    expect(at.load(withState({ write: false })).warnings).toEqual([
      expect.stringMatching(/state\.encryption\.write: has no effect/),
    ]);
  });

  it.each([
    ['a variable that is not set', { key_env: 'NONE' }, 'state.encryption.key_env', 'NONE is not set'],
    ['a file that is not there', { key_file: 'none.key' }, 'state.encryption.key_file', 'cannot be read'],
    ['text that is not base64', { key_env: 'TEXT' }, 'state.encryption.key_env', 'not base64'],
    ['16 bytes', { key_env: 'SHORT' }, 'state.encryption.key_env', 'has 16 bytes, not 32'],
    ['a variable and a file', { key_env: 'ONE', key_file: 'x' }, 'state.encryption.key_file', 'keep one'],
    ['a short next key', { key_env: 'ONE', next_key_env: 'SHORT' }, 'state.encryption.next_key_env', '16 bytes'],
    [
      'a short previous key',
      { key_env: 'ONE', previous_key_envs: ['TWO', 'SHORT'] },
      'state.encryption.previous_key_envs[1]',
      '16 bytes',
    ],
    ['no current key', { next_key_env: 'ONE' }, 'state.encryption.next_key_env', 'no current key'],
  ])('reports %s by its key, and never shows a key', (_name, encryption, path, problem) => {
    const [line = '', ...others] = at.mistakes(withState(encryption), ENV);
    expect(others).toEqual([]);
    expect(line).toContain(path);
    expect(line).toContain(problem);
    for (const key of Object.values(ENV)) expect(line).not.toContain(key);
  });

  it('refuses a key with state in memory', () => {
    const [line = ''] = at.mistakes(withState({ key_env: 'ONE' }, 'memory'), ENV);
    expect(line).toContain('state.encryption.key_env');
    expect(line).toContain('`state.type` is `memory`');
  });
});

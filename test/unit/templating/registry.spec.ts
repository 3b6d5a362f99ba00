import { describe, expect, it } from '@jest/globals';
import { compilePack } from '../../../src/templating/compile-pack.js';
import { compareVersions } from '../../../src/templating/pack-version.js';
import { PromptRegistry } from '../../../src/templating/registry.js';
import { packFile, promptFile, thrownBy } from './packs.js';

const prompts = (id: string, version: string, names: readonly string[]) =>
  compilePack(
    't',
    packFile({ id, version, prompts: Object.fromEntries(names.map((name) => [name, promptFile(name)])) }),
  ).pack?.prompts ?? [];

const registry = new PromptRegistry([
  ...prompts('shop', '1.9.0', ['support', 'old']),
  ...prompts('shop', '1.10.0', ['support']),
  ...prompts('shop', '2.0.0-beta.1', ['support', 'fresh']),
  ...prompts('bank', '1.0.0', ['support', 'loans']),
]);

describe('PromptRegistry.find', () => {
  it.each([
    ['shop/support', undefined, '1.10.0'],
    ['shop/support', '1.9.0', '1.9.0'],
    ['shop/support', 'v1.9.0', '1.9.0'],
    ['shop/support', '2.0.0-beta.1', '2.0.0-beta.1'],
    ['old', undefined, '1.9.0'],
    ['fresh', undefined, '2.0.0-beta.1'],
    ['loans', undefined, '1.0.0'],
  ])('resolves %s in version %s to %s', (id, version, expected) => {
    expect(registry.find(id, version).version).toBe(expected);
  });

  it('refuses a name that several packs have, and names them', () => {
    expect(thrownBy(() => registry.find('support'))).toMatchObject({
      code: 'invalid_value',
      param: 'prompt.id',
      message: expect.stringContaining('bank/support, shop/support'),
    });
  });

  it.each([
    ['suport', 'did you mean support?'],
    ['shop/suport', 'did you mean shop/support?'],
    ['nothing-like-it', 'loaded are '],
    ['shop/', 'no loaded pack has it'],
    ['', 'no loaded pack has it'],
  ])('finds no prompt for %j', (id, help) => {
    expect(thrownBy(() => registry.find(id))).toMatchObject({
      code: 'prompt_not_found',
      param: 'prompt.id',
      message: expect.stringContaining(help),
    });
  });

  it.each(['3.0.0', '2', 'latest', ''])('does not find version %j', (version) => {
    expect(thrownBy(() => registry.find('shop/support', version))).toMatchObject({
      code: 'prompt_not_found',
      param: 'prompt.version',
      message: expect.stringContaining('2.0.0-beta.1, 1.10.0, 1.9.0'),
    });
  });
});

describe('PromptRegistry.list', () => {
  it('lists every prompt, highest version first, without its text', () => {
    const shown = registry.list().map(({ pack, name, version }) => `${pack}/${name}@${version}`);
    expect(shown).toEqual([
      'bank/loans@1.0.0',
      'bank/support@1.0.0',
      'shop/fresh@2.0.0-beta.1',
      'shop/old@1.9.0',
      'shop/support@2.0.0-beta.1',
      'shop/support@1.10.0',
      'shop/support@1.9.0',
    ]);
    expect(JSON.stringify(registry.list())).not.toContain('Hello.');
  });
});

describe('compareVersions', () => {
  it('orders as semver.org §11 does', () => {
    const ordered = [
      '0.9.0',
      '1.0.0-alpha',
      '1.0.0-alpha.1',
      '1.0.0-alpha.beta',
      '1.0.0-beta',
      '1.0.0-beta.2',
      '1.0.0-beta.11',
      '1.0.0-rc.1',
      '1.0.0',
      '1.0.1',
      '1.2.0',
      '1.10.0',
      '99999999999999999999.0.0',
    ];
    for (const [i, a] of ordered.entries()) {
      for (const [j, b] of ordered.entries()) expect(Math.sign(compareVersions(a, b) ?? NaN)).toBe(Math.sign(i - j));
    }
    expect(compareVersions('1.0.0+a', 'v1.0.0+b')).toBe(0);
    expect(compareVersions('1.0', '1.0.0')).toBeUndefined();
  });
});

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadPacks } from '../../../src/templating/load-packs.js';
import { PackLoadError } from '../../../src/templating/pack-mistake.js';
import { guardrailsFrom } from '../../../src/validation/read-guardrails.js';
import { renderPrompt } from '../../../src/templating/render.js';
import { packFile, promptFile } from './packs.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-packs-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

const put = (name: string, content: unknown): Promise<void> =>
  writeFile(join(folder, name), typeof content === 'string' ? content : JSON.stringify(content));
const errorOf = async (work: Promise<unknown>): Promise<PackLoadError> => {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (error instanceof PackLoadError) return error;
  throw new Error('no PackLoadError was thrown', { cause: error });
};

describe('loadPacks', () => {
  it('loads all *.pack.json of a folder, several versions of a pack side by side', async () => {
    await put('a.pack.json', packFile());
    await put('b.pack.json', packFile({ version: '1.1.0', workflow: {} }));
    await put('notes.json', 'not a pack');
    const registry = await loadPacks(folder);
    expect(registry.find('greet').version).toBe('1.1.0');
    expect(registry.find('greet', '1.0.0').version).toBe('1.0.0');
    expect(registry.warnings).toEqual(['b.pack.json: holds parts that this gateway does not run: /workflow']);
  });

  it('loads one file with any name, with or without a byte order mark', async () => {
    await put('one.pack', `\uFEFF${JSON.stringify(packFile())}`);
    expect((await loadPacks(join(folder, 'one.pack'))).list()).toHaveLength(1);
  });

  it('reports the mistakes of all files in one error', async () => {
    await put('a.pack.json', '{ "id": ');
    await put('b.pack.json', packFile({ id: 'B', prompts: { greet: promptFile('greet', { template: '{{x}}' }) } }));
    await put('c.pack.json', packFile());
    await put('d.pack.json', packFile({ version: 'v1.0.0' }));
    const error = await errorOf(loadPacks(folder));
    expect(error.mistakes.map(({ file, path }) => `${file} ${path}`)).toEqual([
      'a.pack.json ',
      'b.pack.json /id',
      'b.pack.json /prompts/greet/system_template',
      'd.pack.json /version',
    ]);
    expect(error.message).toContain('shop 1.0.0 is already loaded from c.pack.json');
  });

  it('reports a folder without packs and a missing file', async () => {
    expect((await errorOf(loadPacks(folder))).message).toContain('holds no pack; allowed: files named *.pack.json');
    expect((await errorOf(loadPacks(join(folder, 'none')))).message).toContain('cannot be read (ENOENT)');
  });
});

describe('the shipped support pack', () => {
  const known = { readGuardrails: guardrailsFrom };

  it('loads without a warning and renders without variables', async () => {
    const registry = await loadPacks('packs/support.pack.json', known);
    expect(registry.warnings).toEqual([]);
    expect(registry.list().map(({ name }) => name)).toEqual(['returns', 'support']);
    for (const { name } of registry.list()) {
      const { system, guardrails } = renderPrompt(registry.find(name));
      expect(system).not.toMatch(/\{\{|\}\}|undefined|null/);
      expect(guardrails.map(({ type, enabled }) => [type, enabled])).toEqual([
        ['banned_words', true],
        ['max_length', true],
      ]);
      expect(guardrails.every(({ message }) => message !== undefined)).toBe(true);
    }
  });

  it('names the company of the variable', async () => {
    const support = (await loadPacks('packs', known)).find('support');
    const { system } = renderPrompt(support, { company_name: 'Northwind', tone: 'formal' });
    expect(system).toContain('customer-support assistant of Northwind.');
    expect(system).toContain('Tone: formal.');
  });
});

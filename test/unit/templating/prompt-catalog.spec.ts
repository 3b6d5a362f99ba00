import { describe, expect, it } from '@jest/globals';
import { PromptCatalog } from '../../../src/templating/prompt-catalog.js';
import { PromptRegistry } from '../../../src/templating/registry.js';
import { compiled } from './packs.js';

const registry = (version: string): PromptRegistry => new PromptRegistry([{ ...compiled({}), version }]);

function catalogOf(load: () => Promise<PromptRegistry>) {
  const events: string[] = [];
  const catalog = new PromptCatalog(registry('1.0.0'), load, {
    loaded: (prompts) => void events.push(`loaded ${prompts.find('greet').version}`),
    refused: (error) => void events.push(`refused ${String(error)}`),
  });
  return { catalog, events };
}

describe('PromptCatalog', () => {
  it('replaces all prompts by those of a reload', async () => {
    const { catalog, events } = catalogOf(() => Promise.resolve(registry('2.0.0')));
    await catalog.reload();
    expect([catalog.find('greet').version, catalog.refusal, events]).toEqual(['2.0.0', null, ['loaded 2.0.0']]);
  });

  it('keeps the former prompts and the reason if a reload is refused, until one succeeds', async () => {
    let mistake: Error | undefined = new Error('no');
    const { catalog, events } = catalogOf(() =>
      mistake === undefined ? Promise.resolve(registry('2.0.0')) : Promise.reject(mistake),
    );
    await catalog.reload();
    expect(catalog.find('greet').version).toBe('1.0.0');
    expect(catalog.refusal).toMatchObject({ reason: 'no', at: expect.any(Date) });
    mistake = undefined;
    await catalog.reload();
    expect([catalog.find('greet').version, catalog.refusal]).toEqual(['2.0.0', null]);
    expect(events).toEqual(['refused Error: no', 'loaded 2.0.0']);
  });

  it('runs one reload after the other, and one more for calls during a reload', async () => {
    const loads: PromiseWithResolvers<PromptRegistry>[] = [];
    const { catalog, events } = catalogOf(() => {
      const load = Promise.withResolvers<PromptRegistry>();
      loads.push(load);
      return load.promise;
    });
    const all = [catalog.reload(), catalog.reload(), catalog.reload()];
    expect(loads).toHaveLength(1);
    loads[0]?.resolve(registry('2.0.0'));
    await new Promise(setImmediate);
    expect(loads).toHaveLength(2);
    loads[1]?.resolve(registry('3.0.0'));
    await Promise.all(all);
    expect(events).toEqual(['loaded 2.0.0', 'loaded 3.0.0']);
  });
});

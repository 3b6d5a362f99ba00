import { describe, expect, it } from '@jest/globals';
import { compilePack } from '../../../src/templating/compile-pack.js';
import { describeMistake } from '../../../src/templating/pack-mistake.js';
import { compiled, packFile, promptFile } from './packs.js';
import { renderPrompt } from '../../../src/templating/render.js';

const mistakesOf = (raw: unknown, knownGuardrails?: ReadonlySet<string>): string[] =>
  compilePack('t.pack.json', raw, knownGuardrails === undefined ? {} : { knownGuardrails }).mistakes.map(
    describeMistake,
  );
const warningsOf = (raw: unknown): string[] => compilePack('t.pack.json', raw).warnings.map(describeMistake);
const withPrompt = (draft: Parameters<typeof promptFile>[1]): object =>
  packFile({ prompts: { greet: promptFile('greet', draft) } });
const withVariable = (variable: object): object =>
  withPrompt({ template: '{{v}}', variables: [{ name: 'v', type: 'string', required: false, ...variable }] });

describe('compilePack', () => {
  it('compiles the smallest pack of the format', () => {
    expect(compilePack('t.pack.json', packFile())).toMatchObject({
      pack: { id: 'shop', version: '1.0.0' },
      mistakes: [],
      warnings: [],
    });
  });

  it('drops the v of a version', () => {
    expect(compilePack('t.pack.json', packFile({ version: 'v2.0.0-rc.1' })).pack?.version).toBe('2.0.0-rc.1');
  });

  it.each([[null], [[]], ['x'], [3]])('refuses %j', (raw) => {
    expect(mistakesOf(raw)).toEqual(['t.pack.json: must be a JSON object: a prompt pack']);
  });

  it('reports every mistake at once, each with its path', () => {
    const found = mistakesOf({
      ...packFile({ id: 'Shop!', version: '1', template_engine: { version: 'v1', syntax: '${variable}' } }),
      name: undefined,
      prompts: {
        one: promptFile('one', { template: '{{nmae}}', variables: [{ name: 'name', type: 'text', required: false }] }),
        two: promptFile('other', { template: '{{#each x}}' }),
      },
    });
    expect(found).toHaveLength(8);
    for (const path of [
      'id',
      'name',
      'version',
      'template_engine.syntax',
      'prompts.one.variables[0].type',
      'prompts.one.system_template',
      'prompts.two.id',
      'prompts.two.system_template',
    ]) {
      expect(found).toContainEqual(expect.stringContaining(`t.pack.json: ${path}: `));
    }
  });

  it('requires at least one prompt', () => {
    expect(mistakesOf(packFile({ prompts: {} }))).toEqual(['t.pack.json: prompts: must hold at least one prompt']);
  });

  it('names the nearest known key for a mistyped one inside a known object', () => {
    expect(mistakesOf(withPrompt({ more: { sytem_template: 'x' } }))).toEqual([
      expect.stringMatching(
        /prompts\.greet\.sytem_template: is no key of the format, did you mean system_template\?; allowed: id, name/,
      ),
    ]);
    expect(mistakesOf(withVariable({ validation: { max_lenght: 3 } }))).toEqual([
      expect.stringContaining(
        'prompts.greet.variables[0].validation.max_lenght: is no key of the format, did you mean max_length?',
      ),
    ]);
  });

  it('ignores unknown top-level keys with a warning, and lists known keys without effect', () => {
    const raw = packFile({
      fragmens: {},
      workflow: {},
      metadata: { tags: [] },
      prompts: { greet: promptFile('greet', { more: { tools: ['x'], tested_models: [], parameters: { top_k: 3 } } }) },
    });
    expect(mistakesOf(raw)).toEqual([]);
    expect(warningsOf(raw)).toEqual([
      't.pack.json: fragmens: has no effect in this gateway, did you mean fragments?',
      't.pack.json: workflow: has no effect in this gateway',
      't.pack.json: prompts.greet.tools: is read and has no effect in this gateway',
      't.pack.json: prompts.greet.parameters.top_k: is read and has no effect in this gateway',
    ]);
  });

  it('refuses a template that names an undeclared variable', () => {
    const raw = withPrompt({ template: '{{nam}}', variables: [{ name: 'name', type: 'string', required: true }] });
    expect(mistakesOf(raw)).toEqual([
      't.pack.json: prompts.greet.system_template: names the variable "nam", which is not declared, did you mean name?; allowed: name',
    ]);
  });

  it('warns of a variable that is declared and never used', () => {
    expect(warningsOf(withPrompt({ variables: [{ name: 'name', type: 'string', required: true }] }))).toEqual([
      't.pack.json: prompts.greet.variables[0].name: "name" is declared and never used by the template',
    ]);
  });

  it.each<[string, object, string]>([
    ['a default of the wrong type', { type: 'number', default: 'many' }, 'default: must be a number'],
    ['a default against its own rule', { default: 'x', validation: { enum: ['a'] } }, 'default: must be one of "a"'],
    ['a default beside required', { required: true, default: 'x' }, 'default: stands beside required: true'],
    [
      'an allowed value of the wrong type',
      { type: 'number', validation: { enum: [1, 'b'] } },
      'validation.enum[1]: must be a number',
    ],
    ['a broken pattern', { validation: { pattern: '(' } }, 'validation.pattern: is no regular expression'],
    [
      'a pattern for a number',
      { type: 'number', validation: { pattern: '1' } },
      'validation.pattern: means nothing for the type number',
    ],
    ['a minimum for a text', { validation: { minimum: 1 } }, 'validation.minimum: means nothing for the type string'],
    [
      'a length for a boolean',
      { type: 'boolean', validation: { max_length: 1 } },
      'validation.max_length: means nothing',
    ],
    [
      'lengths that exclude all',
      { validation: { min_length: 3, max_length: 2 } },
      'validation.min_length: is greater than max_length',
    ],
    [
      'bounds that exclude all',
      { type: 'number', validation: { minimum: 3, maximum: 2 } },
      'validation.minimum: is greater than maximum',
    ],
  ])('refuses %s', (_, variable, what) => {
    expect(mistakesOf(withVariable(variable))).toEqual([expect.stringContaining(`prompts.greet.variables[0].${what}`)]);
  });

  it('refuses a name that is declared twice', () => {
    const v = { name: 'v', type: 'string', required: true };
    expect(mistakesOf(withPrompt({ template: '{{v}}', variables: [v, v] }))).toEqual([
      't.pack.json: prompts.greet.variables[1].name: "v" is declared twice',
    ]);
  });

  it('refuses an unknown guardrail type only where the known types are given', () => {
    const raw = withPrompt({ more: { validators: [{ type: 'max_length' }, { type: 'sentiment' }] } });
    expect(mistakesOf(raw)).toEqual([]);
    expect(mistakesOf(raw, new Set(['max_length', 'banned_words']))).toEqual([
      't.pack.json: prompts.greet.validators[1].type: "sentiment" is no guardrail of this gateway; allowed: banned_words, max_length',
    ]);
  });

  it('warns that a guardrail refuses regardless of fail_on_violation', () => {
    expect(warningsOf(withPrompt({ more: { validators: [{ type: 'x', fail_on_violation: false }] } }))).toHaveLength(1);
    expect(warningsOf(withPrompt({ more: { validators: [{ type: 'x', fail_on_violation: true }] } }))).toEqual([]);
  });

  it('expands fragments at load, while a value that names a fragment stays text', () => {
    const prompt = compiled(
      { template: '{{sign}} {{v}}', variables: [{ name: 'v', type: 'string', required: true }] },
      { fragments: { sign: 'Yours, {{v}}' } },
    );
    expect(renderPrompt(prompt, { v: '{{sign}}' }).system).toBe('Yours, {{sign}} {{sign}}');
  });

  it('refuses fragments that name fragments, share a name with a variable, or need an undeclared one', () => {
    const fragments = { a: '{{b}}', b: 'text', v: 'text', c: '{{missing}}' };
    const variables = [{ name: 'v', type: 'string', required: true }];
    const found = mistakesOf({
      ...packFile({ fragments, prompts: { greet: promptFile('greet', { template: '{{v}}{{c}}', variables }) } }),
    });
    expect(found).toEqual([
      't.pack.json: fragments.a: names the fragment "b"; allowed: variables and text',
      expect.stringContaining('names the variable "missing", which is not declared'),
      't.pack.json: prompts.greet.variables[0].name: "v" is also the name of a fragment',
    ]);
  });
});

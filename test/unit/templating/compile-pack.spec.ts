import { describe, expect, it } from '@jest/globals';
import { compilePack } from '../../../src/templating/compile-pack.js';
import { describeMistake } from '../../../src/templating/pack-mistake.js';
import { guardrailsFrom } from '../../../src/validation/read-guardrails.js';
import { compiled, packFile, promptFile } from './packs.js';
import { renderPrompt } from '../../../src/templating/render.js';

const mistakesOf = (raw: unknown): string[] => compilePack('t.pack.json', raw).mistakes.map(describeMistake);
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
      ...packFile({ id: 'Shop!', version: '1', template_engine: { version: 'v1', syntax: '<<variable>>' } }),
      name: undefined,
      prompts: {
        one: promptFile('one', { template: '{{nmae}}', variables: [{ name: 'name', type: 'text', required: false }] }),
        two: promptFile('other', { template: '{{#each x}}' }),
      },
    });
    expect(found).toHaveLength(8);
    for (const path of [
      '/id',
      '/name',
      '/version',
      '/template_engine/syntax',
      '/prompts/one/variables/0/type',
      '/prompts/one/system_template',
      '/prompts/two/id',
      '/prompts/two/system_template',
    ]) {
      expect(found).toContainEqual(expect.stringContaining(`t.pack.json: ${path}: `));
    }
  });

  it('requires at least one prompt', () => {
    expect(mistakesOf(packFile({ prompts: {} }))).toEqual(['t.pack.json: /prompts: must hold at least one prompt']);
  });

  it('names the nearest known key for a mistyped one inside a known object', () => {
    expect(mistakesOf(withPrompt({ more: { sytem_template: 'x' } }))).toEqual([
      expect.stringMatching(
        /\/prompts\/greet\/sytem_template: is no key of the format, did you mean system_template\?; allowed: id, name/,
      ),
    ]);
    expect(mistakesOf(withVariable({ validation: { max_lenght: 3 } }))).toEqual([
      expect.stringContaining(
        '/prompts/greet/variables/0/validation/max_lenght: is no key of the format, did you mean max_length?',
      ),
    ]);
  });

  it('refuses an unknown top-level key with the nearest one', () => {
    expect(mistakesOf(packFile({ fragmens: {} }))).toEqual([
      expect.stringContaining('/fragmens: is no key of the format, did you mean fragments?'),
    ]);
  });

  it('names the parts that it does not run in one warning, and refuses them if it is strict', () => {
    const raw = packFile({
      workflow: {},
      skills: [],
      metadata: { tags: [] },
      prompts: {
        greet: promptFile('greet', {
          more: { media: {}, tested_models: [], parameters: { top_k: 3 }, pipeline: { stages: ['template', 'rank'] } },
        }),
      },
    });
    const parts = '/workflow, /skills, /prompts/greet/media, /prompts/greet/pipeline, /prompts/greet/parameters/top_k';
    expect(mistakesOf(raw)).toEqual([]);
    expect(warningsOf(raw)).toEqual([`t.pack.json: holds parts that this gateway does not run: ${parts}`]);
    const strict = compilePack('t.pack.json', raw, { strict: true });
    expect(strict.pack).toBeUndefined();
    expect(strict.mistakes.map(describeMistake)).toEqual([
      `t.pack.json: holds parts that this gateway does not run: ${parts}; template.strict refuses them`,
    ]);
  });

  it('loads a pack in strict mode that holds nothing it does not run', () => {
    const more = { pipeline: { stages: ['template', 'provider', 'validator'] }, parameters: { top_k: null } };
    expect(compilePack('t', withPrompt({ more }), { strict: true }).mistakes).toEqual([]);
  });

  it('refuses a template that names an undeclared variable', () => {
    const raw = withPrompt({ template: '{{nam}}', variables: [{ name: 'name', type: 'string', required: true }] });
    expect(mistakesOf(raw)).toEqual([
      't.pack.json: /prompts/greet/system_template: names the variable "nam", which is not declared, did you mean name?; allowed: name',
    ]);
  });

  it('warns of a variable that is declared and never used', () => {
    expect(warningsOf(withPrompt({ variables: [{ name: 'name', type: 'string', required: true }] }))).toEqual([
      't.pack.json: /prompts/greet/variables/0/name: "name" is declared and never used by the template',
    ]);
  });

  it.each<[string, object, string]>([
    ['a default of the wrong type', { type: 'number', default: 'many' }, 'default: must be a number'],
    ['a default against its own rule', { default: 'x', validation: { enum: ['a'] } }, 'default: must be one of "a"'],
    ['a default beside required', { required: true, default: 'x' }, 'default: has no effect beside required: true'],
    [
      'an allowed value of the wrong type',
      { type: 'number', validation: { enum: [1, 'b'] } },
      'validation/enum/1: must be a number',
    ],
    ['a broken pattern', { validation: { pattern: '(' } }, 'validation/pattern: is no regular expression'],
    [
      'a pattern for a number',
      { type: 'number', validation: { pattern: '1' } },
      'validation/pattern: means nothing for the type number',
    ],
    ['a minimum for a text', { validation: { minimum: 1 } }, 'validation/minimum: means nothing for the type string'],
    [
      'a length for a boolean',
      { type: 'boolean', validation: { max_length: 1 } },
      'validation/max_length: means nothing',
    ],
    [
      'lengths that exclude all',
      { validation: { min_length: 3, max_length: 2 } },
      'validation/min_length: is greater than max_length',
    ],
    [
      'bounds that exclude all',
      { type: 'number', validation: { minimum: 3, maximum: 2 } },
      'validation/minimum: is greater than maximum',
    ],
  ])('refuses %s', (_, variable, what) => {
    expect(mistakesOf(withVariable(variable))).toEqual([expect.stringContaining(`/prompts/greet/variables/0/${what}`)]);
  });

  it('refuses a name that is declared twice', () => {
    const v = { name: 'v', type: 'string', required: true };
    expect(mistakesOf(withPrompt({ template: '{{v}}', variables: [v, v] }))).toEqual([
      't.pack.json: /prompts/greet/variables/1/name: "v" is declared twice',
    ]);
  });

  it('reads validators by the list of guardrails, with pointers into the pack', () => {
    const validators = [
      { type: 'max_length', params: { max_characters: 9 }, fail_on_violation: false },
      { type: 'sentimint' },
      { type: 'banned_words', params: { words: 'x' }, enabled: false },
    ];
    const raw = withPrompt({ more: { validators } });
    const { mistakes } = compilePack('t.pack.json', raw, { readGuardrails: guardrailsFrom });
    expect(mistakes.map(({ path }) => path)).toEqual([
      '/prompts/greet/validators/1/type',
      expect.stringMatching(/^\/prompts\/greet\/validators\/2\/params/),
    ]);
    expect(compiled({ more: { validators: validators.slice(0, 1) } }).guardrails).toMatchObject([
      { type: 'max_length', enabled: true, mode: 'monitor' },
    ]);
  });

  it('expands fragments at load, while a value that names a fragment stays text', () => {
    const prompt = compiled(
      { template: '{{sign}} {{v}}', variables: [{ name: 'v', type: 'string', required: true }] },
      { fragments: { sign: 'Yours, {{v}}' } },
    );
    expect(renderPrompt(prompt, { v: '{{sign}}' }).system).toBe('Yours, {{sign}} {{sign}}');
  });

  it('expands fragments inside fragments, by their name and by fragments.NAME', () => {
    const fragments = { a: 'A({{b}}{{fragments.c}})', b: 'B({{fragments.c}})', c: 'C {{v}}' };
    const prompt = compiled(
      { template: '{{fragments.a}}', variables: [{ name: 'v', type: 'string', required: true }] },
      { fragments },
    );
    expect(renderPrompt(prompt, { v: '{{b}}' }).system).toBe('A(B(C {{b}})C {{b}})');
  });

  it('refuses a cycle of fragments, an unknown fragment, and fragments that grow without bound', () => {
    expect(mistakesOf(packFile({ fragments: { a: '{{b}}', b: '{{c}}', c: '{{a}}', d: '{{d}}' } }))).toEqual([
      't.pack.json: /fragments/c: is part of a cycle: a -> b -> c -> a',
      't.pack.json: /fragments/d: is part of a cycle: d -> d',
    ]);
    expect(mistakesOf({ ...withPrompt({ template: '{{fragments.sgin}}' }), fragments: { sign: 'x' } })).toEqual([
      't.pack.json: /prompts/greet/system_template: names the fragment "sgin", which is not defined; did you mean sign?',
    ]);
    const doubling = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`f${i}`, `x{{f${i + 1}}}{{f${i + 1}}}`]));
    expect(mistakesOf(packFile({ fragments: { ...doubling, f40: 'x' } }))).toContainEqual(
      expect.stringContaining('expands to more than 1000000 characters'),
    );
    const chain = Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`f${i}`, `{{f${i + 1}}}`]));
    expect(mistakesOf(packFile({ fragments: { ...chain, f20000: 'x' } }))).toContainEqual(
      expect.stringContaining('inside 100 others'),
    );
  });

  it('refuses fragments that share a name with a variable, or need an undeclared one', () => {
    const fragments = { v: 'text', c: '{{missing}}' };
    const variables = [{ name: 'v', type: 'string', required: true }];
    const found = mistakesOf({
      ...packFile({ fragments, prompts: { greet: promptFile('greet', { template: '{{v}}{{c}}', variables }) } }),
    });
    expect(found).toEqual([
      expect.stringContaining('names the variable "missing", which is not declared'),
      't.pack.json: /prompts/greet/variables/0/name: "v" is also the name of a fragment',
    ]);
  });

  it('refuses a part of a variable that has no parts, and an artifact of a workflow', () => {
    const variables = [{ name: 'v', type: 'string', required: true }];
    expect(mistakesOf(withPrompt({ template: '{{v.name}}{{artifacts.report}}', variables }))).toEqual([
      't.pack.json: /prompts/greet/system_template: names "v.name", but the variable "v" is a string, which has no parts',
      't.pack.json: /prompts/greet/system_template: names "artifacts.report", an artifact of a workflow, which this gateway does not run',
    ]);
  });

  it('checks every template of a model override', () => {
    const overrides = {
      'gpt-4': {
        system_template_prefix: '{{a}}',
        system_template: '{{b}}',
        system_template_suffix: '{{c',
        suffix: 'x',
      },
      other: { parameters: { temperature: 3 } },
    };
    expect(mistakesOf(withPrompt({ more: { model_overrides: overrides } }))).toEqual([
      expect.stringContaining('/prompts/greet/model_overrides/gpt-4/system_template_prefix: names the variable "a"'),
      expect.stringContaining('/prompts/greet/model_overrides/gpt-4/system_template: names the variable "b"'),
      expect.stringContaining(
        '/prompts/greet/model_overrides/gpt-4/system_template_suffix: "{{" at character 0 is never',
      ),
      expect.stringContaining('/prompts/greet/model_overrides/gpt-4/suffix: is no key of the format'),
      expect.stringContaining('/prompts/greet/model_overrides/other/parameters/temperature: '),
    ]);
  });

  it('names a value that has no text because its field toString is none', () => {
    const nameless = { toString: 'x' };
    const schema = { type: 'json_schema', params: { schema: { $schema: nameless } } };
    expect(mistakesOf(withPrompt({ more: { tool_policy: { tool_choice: nameless } } }))).toEqual([
      expect.stringContaining('/prompts/greet/tool_policy/tool_choice: is none of the known values'),
    ]);
    const read = { readGuardrails: guardrailsFrom };
    expect(() => compilePack('t.pack.json', withPrompt({ more: { validators: [schema] } }), read)).not.toThrow();
  });

  it('refuses tools that are mistyped, undefined or described by no JSON Schema', () => {
    const tools = {
      look_up: {
        name: 'look_up',
        description: 'x',
        parameters: { type: 'object', properties: { id: { type: 'strin' } } },
      },
      other: { name: 'another', description: 'x' },
      'a/b': { name: 'a', description: '' },
    };
    const more = { tools: ['look_up', 'lookup'], tool_policy: { tool_choice: 'requird', max_round: 3 } };
    expect(mistakesOf({ ...withPrompt({ more }), tools })).toEqual([
      expect.stringContaining('/tools/look_up/parameters/properties/id/type: is no JSON Schema'),
      expect.stringContaining('/tools/look_up/parameters/properties/id/type: is no JSON Schema'),
      expect.stringContaining('/tools/look_up/parameters/properties/id/type: is no JSON Schema'),
      't.pack.json: /tools/other/name: is "another"; allowed: "other", the key of the tool',
      expect.stringContaining('/tools/a~1b/description: '),
      expect.stringContaining(
        '/prompts/greet/tool_policy/tool_choice: is none of the known values, did you mean required?',
      ),
      expect.stringContaining(
        '/prompts/greet/tool_policy/max_round: is no key of the format, did you mean max_rounds?',
      ),
    ]);
    expect(
      mistakesOf({ ...withPrompt({ more: { tools: ['lookup'] } }), tools: { look_up: tools.other } }),
    ).toContainEqual('t.pack.json: /tools/look_up/name: is "another"; allowed: "look_up", the key of the tool');
    expect(
      mistakesOf({
        ...withPrompt({ more: { tools: ['lookup'] } }),
        tools: { look_up: { name: 'look_up', description: 'x' } },
      }),
    ).toEqual([
      't.pack.json: /prompts/greet/tools/0: "lookup" is no tool of this pack, did you mean look_up?; allowed: look_up',
    ]);
  });

  it('offers the tools of a prompt that are not blocked', () => {
    const tool = (name: string): object => ({ [name]: { name, description: name } });
    const prompt = compiled(
      { more: { tools: ['a', 'b', 'a'], tool_policy: { blocklist: ['b', 'z'], max_tool_calls_per_turn: 3 } } },
      { tools: { ...tool('a'), ...tool('b'), ...tool('c') } },
    );
    expect(prompt.tools).toEqual({
      offered: [{ type: 'function', name: 'a', description: 'a', parameters: null, strict: false }],
      only: new Set(['a', 'b']),
      blocked: new Set(['b', 'z']),
      choice: null,
      maxRounds: null,
      maxCalls: 3,
    });
  });

  it('refuses metadata of the wrong shape', () => {
    const found = mistakesOf(
      packFile({ metadata: { language: 'English', tags: 'x', cost_estimate: { min_cost_usd: -1 } } }),
    );
    expect(found.map((line) => line.split(': ')[1])).toEqual([
      '/metadata/language',
      '/metadata/tags',
      '/metadata/cost_estimate/min_cost_usd',
    ]);
  });
});

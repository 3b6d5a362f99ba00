import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { runCommand } from '../../support/cli.js';
import { Workspace } from '../config/workspace.js';
import { packFile, promptFile } from '../templating/packs.js';

const SHOP = packFile({
  prompts: {
    greet: promptFile('greet', {
      template: 'Greet {{who}}, {{count}}, {{list}} on {{current_date}}.',
      variables: [
        { name: 'who', type: 'string', required: true },
        { name: 'count', type: 'number', required: false, default: 1 },
        { name: 'list', type: 'array', required: false, default: [] },
      ],
      more: { model_overrides: { m: { system_template: 'For m: {{who}}' } } },
    }),
  },
});

let at: Workspace;
beforeAll(() => {
  at = new Workspace();
  at.write('shop.pack.json', JSON.stringify(SHOP));
  at.write('new.pack.json', JSON.stringify({ ...SHOP, version: '2.0.0', workflow: {} }));
  at.write(
    'bad.pack.json',
    JSON.stringify({ ...SHOP, id: 'X', prompts: { greet: { ...promptFile('greet'), tool: [] } } }),
  );
});
afterAll(() => at.remove());

const run = (...argv: string[]) => runCommand(['packs', ...argv], { cwd: at.cwd });

describe('sluice packs validate', () => {
  it('describes valid packs, with what is not run', async () => {
    const { code, out, err } = await run('validate', 'shop.pack.json', 'new.pack.json');
    expect([code, err]).toEqual([0, '']);
    expect(out).toMatch(
      /shop\.pack\.json: ok, shop 1\.0\.0: greet\n.*new\.pack\.json: ok, shop 2\.0\.0: greet\n {2}note: .*\/workflow$/,
    );
  });

  it('reports every mistake of every file with its JSON pointer, and exits with 1', async () => {
    const { code, out, err } = await run('validate', 'bad.pack.json', 'gone.pack.json', 'shop.pack.json');
    expect(code).toBe(1);
    expect(err).toMatch(
      /bad\.pack\.json: \/id: .*\n.*bad\.pack\.json: \/prompts\/greet\/tool: is no key of the format, did you mean tools\?/,
    );
    expect(err).toMatch(/gone\.pack\.json: cannot be read \(ENOENT\)/);
    expect(out).toMatch(/shop\.pack\.json: ok/);
  });

  it('writes a report as JSON alone', async () => {
    const { code, out, err } = await run('validate', '--json', 'bad.pack.json', 'shop.pack.json');
    expect([code, err]).toEqual([1, '']);
    expect(JSON.parse(out)).toMatchObject({
      valid: false,
      files: [
        {
          valid: false,
          pack: null,
          mistakes: [{ pointer: '/id' }, { pointer: '/prompts/greet/tool', allowed: expect.any(String) }],
        },
        { valid: true, pack: { id: 'shop', version: '1.0.0', prompts: ['greet'] }, mistakes: [], warnings: [] },
      ],
    });
  });

  it('refuses parts that are not run with --strict', async () => {
    expect(await run('validate', '--strict', 'new.pack.json')).toMatchObject({
      code: 1,
      err: expect.stringContaining('/workflow; template.strict refuses them'),
    });
  });
});

describe('sluice packs render', () => {
  it('prints the prompt alone', async () => {
    const today = new Date().toISOString().slice(0, 10);
    const { code, out, err } = await run(
      'render',
      'shop.pack.json',
      'greet',
      '--var',
      'who={{count}}=x',
      '--vars',
      '{"who":"y","list":["a"]}',
    );
    expect([code, err]).toEqual([0, '']);
    expect(out.replace(today, 'TODAY')).toBe('Greet {{count}}=x, 1, ["a"] on TODAY.');
  });

  it('takes a model, and values for what a turn would set', async () => {
    expect((await run('render', 'shop.pack.json', 'shop/greet', '--var', 'who=Ada', '--model', 'm')).out).toBe(
      'For m: Ada',
    );
    const { out } = await run(
      'render',
      'shop.pack.json',
      'greet',
      '--var',
      'who=A',
      '--var',
      'current_date=today',
      '--var',
      'list=[1]',
      '--var',
      'count=7',
    );
    expect(out).toBe('Greet A, 7, [1] on today.');
  });

  it.each<[string, string[], RegExp]>([
    ['a missing variable', ['shop.pack.json', 'greet'], /"who" is required/],
    ['an unknown variable', ['shop.pack.json', 'greet', '--var', 'whoo=x'], /did you mean who\?/],
    [
      'an unsuitable value',
      ['shop.pack.json', 'greet', '--var', 'who=x', '--var', 'count=many'],
      /"count" must be a number/,
    ],
    ['an unknown prompt', ['shop.pack.json', 'gret'], /did you mean greet\?/],
    [
      'an unknown version',
      ['shop.pack.json', 'greet', '--pack-version', '3.0.0', '--var', 'who=x'],
      /use one of 1\.0\.0/,
    ],
    ['a pack with mistakes', ['bad.pack.json', 'greet'], /bad\.pack\.json: \/id: /],
    ['a value without a name', ['shop.pack.json', 'greet', '--var', 'who'], /write --var NAME=VALUE/],
    ['values that are no object', ['shop.pack.json', 'greet', '--vars', '[1]'], /is no JSON object/],
    ['an unknown time zone', ['shop.pack.json', 'greet', '--var', 'who=x', '--time-zone', 'Mars'], /Europe\/Berlin/],
  ])('reports %s on standard error and exits with 1', async (_, argv, message) => {
    expect(await run('render', ...argv)).toEqual({ code: 1, out: '', err: expect.stringMatching(message) });
  });

  it('refuses a command line that it cannot read', async () => {
    expect(await run('render', 'shop.pack.json')).toMatchObject({
      code: 64,
      err: expect.stringContaining('FILE and PROMPT'),
    });
    expect((await run('validate')).code).toBe(64);
    expect((await run('rendr')).code).toBe(64);
    expect((await run('render', '--nope')).code).toBe(64);
  });
});

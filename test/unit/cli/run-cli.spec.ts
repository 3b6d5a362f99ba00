import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { runCommand } from '../../support/cli.js';
import { Workspace } from '../config/workspace.js';
import { packFile } from '../templating/packs.js';

let at: Workspace;
beforeAll(() => {
  at = new Workspace();
  at.write(
    'good.yaml',
    'app: { name: bot }\nprovider: { type: openai, model: gpt-4o }\nalerts: { cost_per_hour_threshold: 1 }',
  );
  at.write('bad.yaml', 'app: { prot: 1 }\nbatch: { max_window: x }');
});
afterAll(() => at.remove());

const run = (
  argv: readonly string[],
  { env = {}, input = '' }: { env?: Record<string, string>; input?: string } = {},
) => runCommand(argv, { cwd: at.cwd, env, stdin: input });

describe('sluice config check', () => {
  it('describes what a valid file results in', async () => {
    const { code, out, err } = await run(['config', 'check', 'good.yaml'], { env: { OPENAI_API_KEY: 'planted-key' } });
    expect([code, err]).toEqual([0, '']);
    expect(out).toContain('good.yaml: ok');
    expect(out).toContain('provider: gpt-4o at https://api.openai.com/v1');
    expect(out).toContain('state: memory');
    expect(out).not.toContain('note:');
    expect(out).not.toContain('planted-key');
  });

  it('prints no secret that an ordinary key takes from a variable', async () => {
    at.write('leaky.yaml', 'app: { version: "${OPENAI_API_KEY}" }');
    const { code, out } = await run(['config', 'check', 'leaky.yaml'], {
      env: { OPENAI_API_KEY: 'sk-planted-123456' },
    });
    expect([code, out.includes('sk-planted-123456'), out.includes('[redacted]')]).toEqual([0, false, true]);
  });

  it('reports every mistake and exits with 78', async () => {
    const { code, out, err } = await run(['config', 'check', 'bad.yaml']);
    expect([code, out]).toEqual([78, '']);
    expect(err).toMatch(
      /bad\.yaml:1: app\.prot: unknown key; did you mean `port`\?\nbad\.yaml:2: batch\.max_window: .*\n2 mistakes$/,
    );
  });

  it('checks that the versions with weights are loaded', async () => {
    at.write('canary.yaml', 'middleware: { template: { source: whole.pack, canary: { greet: { 9.0.0: 1 } } } }');
    at.write('whole.pack.json', JSON.stringify(packFile()));
    expect(await run(['config', 'check', 'canary.yaml'])).toMatchObject({
      code: 78,
      err: expect.stringContaining('unable to find version "9.0.0" of the prompt shop/greet'),
    });
  });

  it('checks that the candidate versions are loaded', async () => {
    at.write('shadow.yaml', 'middleware: { template: { source: whole.pack, shadow: { greet: { version: 9.0.0 } } } }');
    at.write('whole.pack.json', JSON.stringify(packFile()));
    expect(await run(['config', 'check', 'shadow.yaml'])).toMatchObject({
      code: 78,
      err: expect.stringContaining('unable to find version "9.0.0" of the prompt shop/greet'),
    });
  });

  it('checks the packs that the file names', async () => {
    at.write('packed.yaml', 'middleware: { template: { source: shop.pack } }');
    at.write('shop.pack.json', '{"id": "shop"}');
    expect(await run(['config', 'check', 'packed.yaml'])).toMatchObject({
      code: 78,
      err: expect.stringMatching(/shop\.pack\.json: \/version: is missing; it must be a string/),
    });
    const pack = {
      id: 'shop',
      name: 'Shop',
      version: '1.0.0',
      template_engine: { version: 'v1', syntax: '{{variable}}' },
      prompts: { greet: { id: 'greet', name: 'Greeter', version: '1.0.0', system_template: 'Hello.' } },
    };
    at.write('shop.pack.json', JSON.stringify(pack));
    expect((await run(['config', 'check', 'packed.yaml'])).code).toBe(0);
    at.write('packed.yaml', 'middleware: { template: { source: shop.pack, default: great } }');
    expect(await run(['config', 'check', 'packed.yaml'])).toMatchObject({
      code: 78,
      err: expect.stringMatching(/^middleware\.template: .*great/),
    });
  });

  it('names every mistake in the guardrails with its place and the nearest name', async () => {
    const list =
      '[{ type: regx, params: {} }, { type: banned_words, params: { words: [a, 7] } }, { type: json_valid }]';
    at.write('guarded.yaml', `middleware: { validator: { guardrails: ${list} } }`);
    const { code, err } = await run(['config', 'check', 'guarded.yaml']);
    expect(code).toBe(78);
    expect(err).toMatch(/guarded\.yaml: middleware\.validator\.guardrails\[0\]\.type: .*did you mean regex\?/u);
    expect(err).toContain('middleware.validator.guardrails[1].params.words[1]: must be text; quote it');
    expect(err).not.toContain('guardrails[2]');
  });

  it('notes an unset secret and fails only with --strict', async () => {
    expect(await run(['config', 'check', 'good.yaml'])).toMatchObject({
      code: 0,
      out: expect.stringContaining('OPENAI_API_KEY is not set'),
    });
    expect(await run(['config', 'check', 'good.yaml', '--strict'])).toMatchObject({
      code: 78,
      err: expect.stringContaining('OPENAI_API_KEY is not set'),
    });
  });

  it('takes CONFIG_PATH without a file', async () => {
    expect((await run(['config', 'check'], { env: { CONFIG_PATH: 'bad.yaml' } })).code).toBe(78);
    expect((await run(['config', 'check'])).err).toContain('config/default.yaml: there is no such file');
  });
});

describe('sluice keys', () => {
  const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

  it('prints the SHA-256 of its input without the line end (hash)', async () => {
    expect(await run(['keys', 'hash'], { input: 'my-key\n' })).toEqual({ code: 0, out: sha256('my-key'), err: '' });
    expect((await run(['keys', 'hash'])).code).toBe(66);
  });

  it('prints a new key each time, and the hash that accepts it (new)', async () => {
    const [a, b] = [await run(['keys', 'new']), await run(['keys', 'new'])];
    expect(a.out).toMatch(/^sk-sluice-[\w-]{43}$/);
    expect(a.out).not.toBe(b.out);
    expect(a.err).toContain(`key_sha256: ${sha256(a.out)}`);
    expect(a.err).not.toContain(a.out);
  });
});

describe('sluice', () => {
  it('prints help and version', async () => {
    expect(await run(['--help'])).toMatchObject({ code: 0, out: expect.stringContaining('config check') });
    expect(await run(['--version'])).toMatchObject({ code: 0, out: expect.stringMatching(/^\d+\.\d+\.\d+$/) });
  });

  it.each([
    [[]],
    [['nope']],
    [['config']],
    [['--nope']],
    [['config', 'check', 'a', 'b']],
    [['keys', 'new', '--strict']],
  ])('exits with 64 when misused as %j', async (argv) => {
    expect((await run(argv)).code).toBe(64);
  });
});

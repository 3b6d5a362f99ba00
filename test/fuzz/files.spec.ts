/*
 * Structure-aware fuzzing of what operators and authors write: prompt packs and configuration
 * files, through the commands that check them. A file is accepted, or refused with its mistakes.
 */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { runCli } from '../../src/cli/run-cli.js';
import { configSchema } from '../../src/config/schema.js';
import { PROVIDER_TYPES } from '../../src/provider/registry.js';
import { PackHeadSchema, PromptSchema, ToolSchema } from '../../src/templating/pack-schema.js';
import { fitting, mutating, namesIn, oddString } from './arbitraries.js';
import { naming } from './fuzzed-gateway.js';
import { Fields, textOf, type Tree, treeOf } from './json-tree.js';
import { casesOf, fuzz, withinMs } from './runs.js';

const directory = mkdtempSync(join(tmpdir(), 'sluice-fuzz-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const SECRET = 'sk-fuzzed-env-00000000000000000000000001';

interface Ran {
  readonly code: number;
  readonly text: string;
}

/** Runs a command as `sluice` does. @throws what the command throws, which it never should */
async function sluice(...argv: readonly string[]): Promise<Ran> {
  let text = '';
  const write = (line: string): void => void (text += `${line}\n`);
  const env = { OPENAI_API_KEY: SECRET, HOME: directory };
  const code = await runCli(argv, { env, cwd: directory, input: noInput(), print: write, complain: write });
  return { code, text };
}

async function* noInput(): AsyncGenerator<string, void> {
  // The commands of these tests read no input.
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Text of a file: as it is, cut, or with bytes that are no UTF-8. */
function fileText(tree: fc.Arbitrary<Tree>): fc.Arbitrary<Uint8Array> {
  return fc
    .tuple(tree, fc.oneof({ weight: 20, arbitrary: fc.constant('') }, fc.constantFrom('cut', 'byte', 'mark')), fc.nat())
    .map(([one, how, at]) => {
      const bytes = Buffer.from(textOf(one));
      if (how === 'cut') return bytes.subarray(0, at % (bytes.length + 1));
      if (how === 'byte') bytes[at % bytes.length] = 0xff;
      return how === 'mark' ? Buffer.concat([Buffer.from('\ufeff'), bytes]) : bytes;
    });
}

it(
  'checks and renders every pack, or names its mistakes, without an unexpected error [PACK-1]',
  () => {
    const cases = casesOf('packs', 150);
    const shipped: unknown = JSON.parse(readFileSync('packs/support.pack.json', 'utf8'));
    const names = [PackHeadSchema, PromptSchema, ToolSchema].flatMap((schema) => namesIn(schema));
    const texts = [
      ...[
        '{{a}}',
        '{{a.b}}',
        '{{a[0].c}}',
        '{{a',
        '{{#a}}x{{/a}}',
        '{{fragment}}',
        '{{ a }}',
        '{{__proto__}}',
        '1.0.0',
      ],
      ...['^a+$', '(a+)+$', '[', '\\p{', '(?<a>x)\\k<a>', 'string', 'number', 'object', '{{variable}}', 'v1', 'limits'],
    ];
    const validator = fc.record({
      type: fc.constantFrom('banned_words', 'max_length', 'regex', 'pii', 'json_schema', 'length', 'x'),
      params: fc.constantFrom<unknown>({}, { words: ['a'] }, { max_characters: 10 }, { pattern: '(a+)+$' }, null, 1),
    });
    const prompt = fc
      .tuple(fitting(PromptSchema, texts), fc.array(validator, { maxLength: 2 }))
      .map(([tree, validators]) => new Fields([...fieldsOf(tree), ['validators', treeOf(validators)]]));
    const made = fc
      .tuple(fitting(PackHeadSchema, texts), prompt, fitting(ToolSchema, texts))
      .map(([head, one, tool]) => {
        const rest = fieldsOf(head).filter(([name]) => name !== 'prompts' && name !== 'tools');
        return new Fields([...rest, ['prompts', new Fields([['a', one]])], ['tools', new Fields([['t', tool]])]]);
      });
    const packs = fc.oneof(fc.constant(treeOf(shipped)), made);
    const one = fc.tuple(fileText(mutating(packs, names)), fc.constantFrom('{}', '{"a":1}', '{"__proto__":1}', '[]'));
    const file = join(directory, 'fuzzed.pack.json');
    return fuzz('packs', cases, one, async (batch) => {
      for (const [bytes, vars] of batch)
        await naming(Buffer.from(bytes).toString(), () => checkPack(file, bytes, vars));
    });
  },
  withinMs(casesOf('packs', 150)),
);

async function checkPack(file: string, bytes: Uint8Array, vars: string): Promise<void> {
  writeFileSync(file, bytes);
  const { code, text } = await sluice('packs', 'validate', '--json', file);
  const report: unknown = JSON.parse(text);
  const [first] = isObject(report) && Array.isArray(report['files']) ? (report['files'] as unknown[]) : [];
  const { valid, mistakes, pack } = isObject(first) ? first : {};
  expect([code, Array.isArray(mistakes) && mistakes.length === 0]).toEqual(valid === true ? [0, true] : [1, false]);
  const prompts = isObject(pack) && Array.isArray(pack['prompts']) ? (pack['prompts'] as unknown[]) : [];
  for (const prompt of prompts.slice(0, 2)) {
    expect([0, 1]).toContain((await sluice('packs', 'render', file, String(prompt), '--vars', vars)).code);
  }
}

it(
  'accepts every configuration file, or lists its mistakes, without an unexpected error or a secret',
  () => {
    const cases = casesOf('configuration', 150);
    const schema = configSchema(PROVIDER_TYPES);
    const texts = [
      ...['30s', '1MiB', '-1', '5m', 'redis', 'redis://127.0.0.1:1', 'https://x.invalid/v1', 'openai', 'demo', 'jwt'],
      ...[
        '${OPENAI_API_KEY}',
        '${NOPE}',
        '${NOPE:-x}',
        '${',
        '$${X}',
        'OPENAI_API_KEY',
        'HOME',
        'keys',
        'support/support',
      ],
      ...['10.0.0.0/8', '::1/64', 'fuzzed.pem', 'UTC', 'a'.repeat(64), 'memory', 'nothing.pack.json', '2030-01-31'],
    ];
    const yaml = fc.constantFrom(
      ...[
        'a: &a [*a]',
        'a: &a {b: 1}\nc: *a\nd: *e',
        'app: !!js/function x',
        'app: {<<: 1}',
        '? [a]\n: b',
        '%YAML 9.9\n---\n',
      ],
      ...[
        '--- a\n--- b',
        'app:\n\tname: x',
        'app: |\n x',
        'app: >-\n  ${',
        'a: !!binary x',
        '&a [&a 1]',
        'app: {name: y, name: z}',
      ],
      ...[
        `a: &a [${'x,'.repeat(50)}x]\nb: &b [${'*a,'.repeat(50)}*a]\nc: [${'*b,'.repeat(50)}*b]`,
        '"\\x',
        'a: "\u0000"',
      ],
    );
    const tree = fileText(mutating(fitting(schema, texts), namesIn(schema)));
    const odd = fc.tuple(yaml, oddString).map(([one, two]): Uint8Array => Buffer.from(`${one}\n${two}`));
    const one = fc.oneof({ weight: 9, arbitrary: tree }, { weight: 1, arbitrary: odd });
    const file = join(directory, 'fuzzed.yaml');
    return fuzz('configuration', cases, one, async (batch) => {
      for (const bytes of batch) {
        await naming(Buffer.from(bytes).toString(), async () => {
          writeFileSync(file, bytes);
          const { code, text } = await sluice('config', 'check', file);
          expect([0, 78]).toContain(code);
          expect(text).not.toContain(SECRET);
          expect(text.length).toBeLessThan(1_000_000);
        });
      }
    });
  },
  withinMs(casesOf('configuration', 150)),
);

const fieldsOf = (tree: Tree): readonly (readonly [string, Tree])[] => (tree instanceof Fields ? tree.entries : []);

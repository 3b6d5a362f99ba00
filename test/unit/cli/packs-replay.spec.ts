import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { runCommand } from '../../support/cli.js';
import { Workspace } from '../config/workspace.js';

const response = (id: string, text: string, findings: readonly object[] = []): object => ({
  id,
  output: [{ type: 'message', content: [{ type: 'output_text', text }] }],
  sluice: { findings },
});
const STOPPED = [{ guardrail: 'max_length', stage: 'output', decision: 'deny', reason: 'too_long' }];
const RECORDS = [
  response('resp_1', 'A harmless answer'),
  response('resp_2', 'An answer with SECRETWORD in it'),
  response('resp_3', 'An answer that was stopped', STOPPED),
];

let at: Workspace;
beforeAll(() => {
  at = new Workspace();
  at.write('rules.yaml', '- type: banned_words\n  params: { words: [secretword] }\n');
  at.write('bad.yaml', '- type: baned_words\n');
  at.write('records.jsonl', RECORDS.map((one) => JSON.stringify(one)).join('\n'));
});
afterAll(() => at.remove());

const run = (argv: readonly string[], stdin = '') => runCommand(['packs', 'replay', ...argv], { cwd: at.cwd, stdin });

describe('sluice packs replay', () => {
  it.each([
    ['a file of lines', ['records.jsonl'], ''],
    ['a page of a list on standard input', [], JSON.stringify({ data: RECORDS })],
  ])('lists the verdicts that would change for %s, without text', async (_, files, stdin) => {
    const { code, out, err } = await run(['--guardrails', 'rules.yaml', ...files], stdin);
    expect([code, err]).toEqual([0, '']);
    expect(out.split('\n')).toEqual([
      'resp_2: allow -> deny banned_words (banned_word)',
      'resp_3: deny max_length (too_long) -> allow',
      '2 of 3 verdicts would change',
    ]);
  });

  it('reports what it cannot use and exits with 1', async () => {
    expect(await run(['--guardrails', 'bad.yaml'], '[]')).toMatchObject({
      code: 1,
      err: expect.stringMatching(/bad\.yaml: \/0\/type: .*banned_words/),
    });
    expect(await run(['--guardrails', 'rules.yaml'], '[{"id":"x"}]')).toMatchObject({
      code: 1,
      err: expect.stringContaining('record 0 is no response object'),
    });
    expect(await run(['--guardrails', 'none.yaml'], '[]')).toMatchObject({
      code: 1,
      err: expect.stringContaining('ENOENT'),
    });
    expect((await run([])).code).toBe(64);
  });
});

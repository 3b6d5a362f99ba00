/*
 * The evaluation of the shipped prompts. Cases that need no model must hold. The checks of the
 * other cases are tested with answers that must pass and answers that must fail, and the program
 * must send the documented requests to a gateway. The answers of a real model are not tested: that
 * run needs a provider key.
 */

import { spawn } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type Case as EvalCase, readCases, stepsOf } from '../../src/cli/evals/cases.js';
import { found, judge, judgeCalls } from '../../src/cli/evals/checks.js';
import {
  deltaChunk,
  DONE,
  FakeOpenAiServer,
  type FakeRequest,
  finishChunk,
  textAnswer,
} from '../support/fake-openai-server.js';
import { startGateway, type TestGateway } from '../support/gateway.js';

const CASES = 'packs/support.evals.yaml';
const PACK = 'packs/support.pack.json';
const KEY = 'sk-sluice-a-key-for-evaluation';

interface Call {
  readonly call: string;
  readonly arguments: object;
}
type Answer = string | Call;
type Case = EvalCase & {
  readonly good: Answer | readonly Answer[];
  readonly bad: readonly (Answer | readonly Answer[])[];
};
const { cases } = readCases(CASES) as { readonly cases: readonly Case[] };
const ofAModel = cases.filter(({ needs }) => needs === undefined);
const listOf = (answers: Answer | readonly Answer[]) => (Array.isArray(answers) ? answers : [answers]) as Answer[];

function run(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  return new Promise<{ status: number | null; output: string }>((done) => {
    const child = spawn('node', ['dist/cli/sluice.js', 'packs', 'eval', ...args], {
      env: { PATH: process.env['PATH'] ?? '', ...env },
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (output += String(text)));
    child.on('close', (status) => done({ status, output }));
  });
}

describe('the evaluations without a model', () => {
  it('passes every case that does not depend on a model’s answer', async () => {
    const { status, output } = await run([PACK]);
    expect(output).not.toContain('FAILS');
    expect(output).toMatch(/^12 of 12 hold; 12 were not asked: they need a model/m);
    expect(status).toBe(0);
  });

  it('fails when a guardrail is switched off', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sluice-evals-'));
    copyFileSync(PACK, join(folder, 'support.pack.json'));
    const file = join(folder, 'cases.yaml');
    const expecting = { finding: { guardrail: 'banned_words', stage: 'input' } };
    const one = {
      name: 'a harmless word',
      needs: 'nothing',
      prompt: { id: 'support' },
      input: 'Hello',
      expect: expecting,
    };
    writeFileSync(file, JSON.stringify({ pack: 'support', cases: [one] }));
    const { status, output } = await run([file]);
    rmSync(folder, { recursive: true });
    expect(output).toMatch(/^FAILS {2}a harmless word\n +banned_words found nothing in the input\n +it said: /m);
    expect(status).toBe(1);
  });
});

describe('the check of a model’s answer', () => {
  const seen = (answer: Answer) => ({
    status: 'completed',
    error: null,
    findings: [],
    text: typeof answer === 'string' ? answer : '',
  });
  /** As the command goes through a case. */
  function wrongWith(one: Case, answers: readonly Answer[]): readonly string[] {
    const [first] = answers;
    const calls = typeof first === 'object' ? [{ name: first.call, arguments: JSON.stringify(first.arguments) }] : [];
    const ofCalls = one.calls === undefined ? [] : (judgeCalls(one.calls, calls) as string[]);
    return ofCalls.length > 0 ? ofCalls : (judge(one.expect, seen(answers.at(-1) ?? '')) as string[]);
  }

  it.each(ofAModel.map((one) => [one.name, one] as const))('accepts a good answer in the case "%s"', (_name, one) => {
    expect(wrongWith(one, listOf(one.good))).toEqual([]);
  });

  it.each(
    ofAModel.flatMap((one) => one.bad.map((bad) => [one.name, JSON.stringify(bad).slice(0, 50), one, bad] as const)),
  )('rejects a bad answer in the case "%s": %s', (_name, _short, one, bad) => {
    expect(wrongWith(one, listOf(bad))).not.toEqual([]);
  });

  it.each([
    ['Hello', 'oh HELLO there', true],
    ['/^a.c$/', 'abc', true],
    ['/^a.c$/', 'ABC', false],
    ['/^a.c$/i', 'ABC', true],
    ['a.c', 'abc', false],
  ])('searches %s in "%s": %s', (pattern, text, expected) => expect(found(pattern, text)).toBe(expected));
});

describe('the evaluations with a model', () => {
  let provider: FakeOpenAiServer;
  let gateway: TestGateway;
  let answers: (one: Case) => Answer | readonly Answer[];
  beforeAll(async () => {
    provider = await FakeOpenAiServer.start((request) => answerTo(request));
    gateway = await startGateway({
      config: {
        provider: { type: 'openai', model: 'fake-model', base_url: provider.baseUrl },
        middleware: { template: { source: 'support.pack', default: 'support' } },
        auth: { mode: 'keys', keys: [{ id: 'evals', key_env: 'SLUICE_API_KEY', scopes: ['chat'] }] },
      },
      env: { OPENAI_API_KEY: 'sk-test-not-a-key', SLUICE_API_KEY: KEY },
    });
  });
  afterAll(async () => {
    await gateway.close();
    await provider.close();
  });

  /** What the case that asks so would have said, step by step. */
  function answerTo({ body: { messages } }: FakeRequest) {
    if (messages === undefined) return { status: 404, body: {} };
    const asked = String(messages.find(({ role }) => role === 'user')?.['content'] ?? '');
    const one = cases.find((candidate) => (stepsOf(candidate) as unknown[])[0] === asked);
    if (one?.good === undefined) return textAnswer(['Hello']);
    const answer = listOf(answers(one))[messages.some(({ role }) => role === 'tool') ? 1 : 0] ?? '';
    if (typeof answer === 'string') return textAnswer([answer]);
    const call = { index: 0, id: 'call_1', type: 'function', function: { name: answer.call, arguments: '' } };
    const args = { index: 0, function: { arguments: JSON.stringify(answer.arguments) } };
    return {
      steps: [deltaChunk({ tool_calls: [call] }), deltaChunk({ tool_calls: [args] }), finishChunk('tool_calls'), DONE],
    };
  }

  const url = () => [PACK, '--url', gateway.url];
  const env = { SLUICE_API_KEY: KEY };

  it('passes every case when the model answers well, including function calls and their outputs', async () => {
    answers = ({ good }) => good;
    const { status, output } = await run(url(), env);
    expect(output).not.toContain('FAILS');
    expect(output).toMatch(/^23 of 23 hold; 1 were not asked/m);
    expect(status).toBe(0);
  });

  it('fails every case with a bad answer of the model and prints the answer', async () => {
    answers = ({ bad }) => bad[0] ?? '';
    const { status, output } = await run([...url(), '--times', '2'], env);
    for (const { name } of ofAModel) expect(output).toContain(`FAILS  ${name} (0 of 2)`);
    expect(output).toContain('it said: "The Polaris 3 costs $249."');
    expect(status).toBe(1);
  });

  it('fails every case without a valid key', async () => {
    expect(await run([...url(), '--only', 'price'], {})).toMatchObject({
      status: 1,
      output: expect.stringContaining('missing_api_key'),
    });
  });
});

it.each([[[]], [[PACK, 'more']], [[PACK, '--times', 'often']], [[PACK, '--fast']]])(
  'refuses the command line %j',
  async (args) => {
    expect(await run(args)).toMatchObject({ status: 64, output: expect.stringContaining('unable to run') });
  },
);

it('reports cases that are not there', async () => {
  expect(await run(['none.pack.json'])).toMatchObject({
    status: 1,
    output: expect.stringContaining('none.evals.yaml'),
  });
});

describe('a file of evaluation cases', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-cases-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const one = { name: 'a', needs: 'nothing', prompt: { id: 'support' }, input: 'x', expect: { status: 'completed' } };

  it.each([
    ['a key that nothing looks at', [{ ...one, expcet: {} }], 'expcet'],
    ['an expectation that nothing looks at', [{ ...one, expect: { contains: ['x'] } }], 'contains'],
    ['nothing expected', [{ ...one, expect: {} }], 'expect'],
    ['two of one name', [one, one], 'name of its own'],
    ['no answers to hold its checks to', [{ ...one, needs: undefined }], 'good and bad'],
  ])('refuses an evaluation because of %s', (_what, all, says) => {
    copyFileSync(PACK, join(folder, 'support.pack.json'));
    const file = join(folder, 'cases.yaml');
    writeFileSync(file, JSON.stringify({ pack: 'support', cases: all }));
    expect(() => readCases(file) as unknown).toThrow(says);
  });
});

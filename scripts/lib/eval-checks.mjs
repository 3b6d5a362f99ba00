/*
 * The checks of scripts/development/evals.mjs: reads a file of cases, and compares answers with them. Deliberately simple and
 * deterministic: words, calls and outcomes. Knows no network.
 */

import { readFileSync } from 'node:fs';
import { parse } from 'yaml';

const CASE_KEYS = new Set(['name', 'needs', 'demo_only', 'prompt', 'tools', 'input', 'calls', 'expect', 'good', 'bad']);
const EXPECT_KEYS = new Set([
  'status',
  'error',
  'finding',
  'findings',
  'says',
  'lacks',
  'at_most_characters',
  'asks_no_model',
  'renders',
]);

/** @throws if a case is malformed, or has an unknown key */
export function readCases(file) {
  const { pack, cases } = parse(readFileSync(file, 'utf8'));
  const names = new Set();
  for (const one of cases) {
    const mistake = mistakeIn(one, names);
    if (mistake !== undefined)
      throw new Error(`unable to use ${file}; "${one.name ?? 'a case without a name'}" ${mistake}`);
    names.add(one.name);
  }
  return { pack, cases };
}

function mistakeIn(one, names) {
  if (typeof one.name !== 'string' || names.has(one.name)) return 'needs a name of its own';
  const unknown = [
    ...Object.keys(one).filter((key) => !CASE_KEYS.has(key)),
    ...Object.keys(one.expect ?? {}).filter((key) => !EXPECT_KEYS.has(key)),
  ];
  if (unknown.length > 0) return `has ${unknown.join(', ')}, which nothing looks at`;
  if (one.input === undefined || Object.keys(one.expect ?? {}).length === 0) return 'needs input and expect';
  if (one.needs !== undefined && one.needs !== 'nothing') return 'may only need "nothing"; without it it needs a model';
  if (one.needs === undefined && (one.good === undefined || one.bad === undefined)) return 'needs good and bad answers';
  return undefined;
}

/** Messages of a customer, in order. `output` answers the calls of the previous response. */
export function stepsOf({ input }) {
  return (Array.isArray(input) ? input : [input]).map((step) =>
    typeof step.repeat === 'string' ? step.repeat.repeat(step.times) : step,
  );
}

/** `/words?/i` is an expression; other text is searched literally, ignoring case. All apostrophes are equal. */
export function found(pattern, given) {
  const text = given.replaceAll('’', "'");
  const expression = /^\/(.*)\/([a-z]*)$/s.exec(pattern);
  if (expression !== null)
    return new RegExp(expression[1], expression[2].includes('u') ? expression[2] : `${expression[2]}u`).test(text);
  return text.toLowerCase().includes(String(pattern).toLowerCase());
}

/**
 * Returns the mistakes, or an empty list. `seen`: `{ status, error, findings, text, system, askedModel }`, as far as they are known.
 */
export function judge(expect, seen) {
  const wrong = [];
  const say = (fits, what) => (fits ? undefined : wrong.push(what));
  if (expect.status !== undefined)
    say(seen.status === expect.status, `ended ${seen.status ?? seen.error}, not ${expect.status}`);
  if (expect.error !== undefined) say(seen.error === expect.error, `error ${seen.error}, not ${expect.error}`);
  if (expect.finding !== undefined) {
    const { guardrail, stage } = expect.finding;
    say(
      seen.findings.some((one) => one.guardrail === guardrail && one.stage === stage),
      `${guardrail} found nothing in the ${stage}`,
    );
  }
  if (expect.findings !== undefined)
    say(seen.findings.length === expect.findings, `${seen.findings.length} findings, not ${expect.findings}`);
  for (const pattern of expect.says ?? []) say(found(pattern, seen.text), `does not say ${pattern}`);
  for (const pattern of expect.lacks ?? []) say(!found(pattern, seen.text), `says ${pattern}`);
  if (expect.at_most_characters !== undefined)
    say(
      [...seen.text].length <= expect.at_most_characters,
      `${[...seen.text].length} characters, at most ${expect.at_most_characters}`,
    );
  if (expect.asks_no_model) say(!seen.askedModel, 'reached the model');
  for (const pattern of expect.renders?.says ?? [])
    say(found(pattern, seen.system ?? ''), `the prompt does not say ${pattern}`);
  for (const pattern of expect.renders?.lacks ?? [])
    say(!found(pattern, seen.system ?? ''), `the prompt says ${pattern}`);
  return wrong;
}

/** Returns the mistakes in the calls of an answer that should call a function. */
export function judgeCalls(wanted, calls) {
  const call = calls.find(({ name }) => name === wanted.name);
  if (call === undefined) return [`does not call ${wanted.name}`];
  const given = parseObject(call.arguments);
  return Object.entries(wanted.arguments ?? {})
    .filter(([name, pattern]) => !found(pattern, String(given[name] ?? '')))
    .map(([name, pattern]) => `calls ${wanted.name} with ${name} ${JSON.stringify(given[name])}, not ${pattern}`);
}

function parseObject(json) {
  try {
    return JSON.parse(json) ?? {};
  } catch {
    return {};
  }
}

/*
 * Compares an answer with what its case expects. Deliberately simple and deterministic: words,
 * calls and outcomes.
 */

import { type Expectation, type WantedCall } from './cases.js';

/** What is known of an answer. */
export interface Seen {
  readonly status: string | undefined;
  readonly error: string | null;
  readonly findings: readonly { readonly guardrail: string; readonly stage: string }[];
  readonly text: string;
  /** The rendered prompt. */
  readonly system?: string | undefined;
  readonly askedModel?: boolean;
}

export interface Call {
  readonly name: string;
  /** JSON. */
  readonly arguments: string;
}

/**
 * `/words?/i` is an expression; other text is searched literally, ignoring case. All apostrophes
 * are equal.
 */
export function found(pattern: string, given: string): boolean {
  const text = given.replaceAll('\u2019', "'");
  const [, source, flags = ''] = /^\/(.*)\/([a-z]*)$/s.exec(pattern) ?? [];
  if (source !== undefined) return new RegExp(source, flags.includes('u') ? flags : `${flags}u`).test(text);
  return text.toLowerCase().includes(String(pattern).toLowerCase());
}

/** @returns the mistakes of an answer, or an empty list */
export function judge(expect: Expectation, seen: Seen): string[] {
  const wrong: string[] = [];
  const say = (fits: boolean, what: string): void => {
    if (!fits) wrong.push(what);
  };
  if (expect.status !== undefined) {
    say(
      seen.status === expect.status,
      `ended ${seen.status ?? seen.error ?? 'without a status'}, not ${expect.status}`,
    );
  }
  if (expect.error !== undefined)
    say(seen.error === expect.error, `error ${seen.error ?? 'none'}, not ${expect.error}`);
  if (expect.finding !== undefined) {
    const { guardrail, stage } = expect.finding;
    const hit = seen.findings.some((one) => one.guardrail === guardrail && one.stage === stage);
    say(hit, `${guardrail} found nothing in the ${stage}`);
  }
  if (expect.findings !== undefined) {
    say(seen.findings.length === expect.findings, `${seen.findings.length} findings, not ${expect.findings}`);
  }
  for (const pattern of expect.says ?? []) say(found(pattern, seen.text), `does not say ${pattern}`);
  for (const pattern of expect.lacks ?? []) say(!found(pattern, seen.text), `says ${pattern}`);
  const most = expect.at_most_characters ?? Infinity;
  const length = [...seen.text].length;
  say(length <= most, `${length} characters, at most ${most}`);
  if (expect.asks_no_model === true) say(seen.askedModel !== true, 'reached the model');
  const system = seen.system ?? '';
  for (const pattern of expect.renders?.says ?? []) say(found(pattern, system), `the prompt does not say ${pattern}`);
  for (const pattern of expect.renders?.lacks ?? []) say(!found(pattern, system), `the prompt says ${pattern}`);
  return wrong;
}

/** @returns the mistakes in the calls of an answer that should call a function */
export function judgeCalls(wanted: WantedCall, calls: readonly Call[]): string[] {
  const call = calls.find(({ name }) => name === wanted.name);
  if (call === undefined) return [`does not call ${wanted.name}`];
  const given = objectIn(call.arguments);
  return Object.entries(wanted.arguments ?? {}).flatMap(([name, pattern]) => {
    const value = given[name];
    const text = typeof value === 'object' ? JSON.stringify(value) : String((value as string | undefined) ?? '');
    return found(pattern, text) ? [] : [`calls ${wanted.name} with ${name} ${JSON.stringify(value)}, not ${pattern}`];
  });
}

function objectIn(json: string): Readonly<Record<string, unknown>> {
  try {
    // Arguments of a function are an object. Anything else has no fields.
    return (JSON.parse(json) ?? {}) as Readonly<Record<string, unknown>>;
  } catch {
    return {};
  }
}

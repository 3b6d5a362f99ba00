/*
 * `sluice packs replay`: judges recorded answers again with other guardrails, without a provider,
 * and lists each verdict that would change. Prints ids and rules, never text.
 */

import { readFile } from 'node:fs/promises';
import { parse } from 'yaml';
import { errorCode } from '../domain/errors.js';
import { type Finding, type ResponseObject } from '../domain/response.js';
import { compileGuardrails } from '../validation/compile-guardrails.js';
import { type CompiledGuardrail } from '../validation/guardrail.js';
import { createOutputGuard } from '../validation/output-guard.js';
import { guardrailsFrom } from '../validation/read-guardrails.js';
import { type CliContext } from './context.js';

/** Kinds whose verdict another server gives. */
const ASKS_A_SERVER: ReadonlySet<string> = new Set(['moderation', 'topic']);
/** From the strictest. */
const DECISIONS = ['deny', 'redact', 'note'] as const;

type Recorded = Pick<ResponseObject, 'id' | 'output' | 'sluice'>;

/**
 * Judges recorded answers again.
 * @param records files of response objects: one, a list, a page of a list, or one a line. None:
 * standard input
 * @returns 0, or 1 if a file cannot be used
 */
export async function replay(guardrails: string, records: readonly string[], context: CliContext): Promise<number> {
  const { print, complain } = context;
  try {
    const judging = await guardrailsIn(guardrails, complain);
    const texts = records.length > 0 ? records.map((file) => readFile(file, 'utf8')) : [textOf(context.input)];
    const recorded = (await Promise.all(texts)).flatMap(responsesIn);
    let changed = 0;
    for (const response of recorded) {
      const before = strictest(response.sluice.findings.filter(({ stage }) => stage === 'output'));
      const after = strictest(await judge(response, judging));
      if (before === after) continue;
      changed += 1;
      print(`${response.id}: ${before} -> ${after}`);
    }
    print(`${changed} of ${recorded.length} verdicts would change`);
    return 0;
  } catch (error) {
    complain(`unable to replay; ${errorCode(error) ?? (error as Error).message}`);
    return 1;
  }
}

/** @throws Error with every mistake of the file */
async function guardrailsIn(file: string, complain: (line: string) => void): Promise<readonly CompiledGuardrail[]> {
  const content: unknown = parse(await readFile(file, 'utf8'));
  const list = Array.isArray(content) ? content : (content as { guardrails?: unknown } | null)?.guardrails;
  if (list === undefined) throw new Error(`${file} holds no list of guardrails`);
  const { guardrails, mistakes } = guardrailsFrom(list);
  if (mistakes.length > 0)
    throw new Error(mistakes.map(({ pointer, what }) => `${file}: ${pointer}: ${what}`).join('\n'));
  for (const { type } of guardrails.filter((one) => ASKS_A_SERVER.has(one.type))) {
    complain(`${type} needs a server and is left out`);
  }
  return compileGuardrails(guardrails.filter(({ type }) => !ASKS_A_SERVER.has(type)));
}

async function textOf(input: CliContext['input']): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of input) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString('utf8');
}

function responsesIn(text: string): readonly Recorded[] {
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    const lines = text.split('\n').filter((line) => line.trim() !== '');
    content = lines.map((line) => JSON.parse(line) as unknown);
  }
  const page = (content as { data?: unknown } | null)?.data ?? content;
  const list = (Array.isArray(page) ? page : [page]) as readonly Partial<Recorded>[];
  const wrong = list.findIndex((one) => typeof one?.id !== 'string' || !Array.isArray(one.output) || !one.sluice);
  if (wrong >= 0) throw new Error(`record ${wrong} is no response object of this gateway`);
  return list as readonly Recorded[];
}

/** Judges each message of an answer, as a turn does, and returns all findings. */
async function judge({ output }: Recorded, guardrails: readonly CompiledGuardrail[]): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  for (const item of output) {
    if (item.type !== 'message') continue;
    const guard = createOutputGuard(guardrails);
    const text = item.content.map((part) => (part.type === 'output_text' ? part.text : '')).join('');
    const steps = [guard.push(text)];
    if (steps[0]?.stop === undefined) {
      await guard.conclude?.();
      steps.push(guard.end());
    }
    for (const { stop, notes = [] } of steps) findings.push(...notes, ...(stop === undefined ? [] : [stop.finding]));
  }
  return findings;
}

/** Describes the strictest finding: it decides what a viewer sees. */
function strictest(findings: readonly Finding[]): string {
  for (const decision of DECISIONS) {
    const found = findings.find((one) => one.decision === decision);
    if (found !== undefined) return `${decision} ${found.guardrail} (${found.reason})`;
  }
  return 'allow';
}

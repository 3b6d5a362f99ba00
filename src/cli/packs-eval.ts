/*
 * `sluice packs eval`: runs the cases beside a pack on a gateway, and reports which of them hold.
 * Without --url the gateway is one of its own with the demo provider, and only cases that need no
 * model are run.
 */

import { dirname, join } from 'node:path';
import { existsSync } from 'node:fs';
import { loadPacks } from '../templating/load-packs.js';
import { renderPrompt } from '../templating/render.js';
import { guardrailsFrom } from '../validation/read-guardrails.js';
import { type CliContext } from './context.js';
import { type Case, readCases, stepsOf } from './evals/cases.js';
import { type Call, judge, judgeCalls, type Seen } from './evals/checks.js';
import { startDemo } from './evals/demo-gateway.js';

const ANSWER_WITHIN_MS = 120_000;

interface EvalOptions {
  /** A running gateway with a real model. Absent: a gateway of its own with the demo provider. */
  readonly url: string | undefined;
  /** Words in the names of the cases to run. */
  readonly only: string;
  readonly times: number;
}

/** The part of a response, or of an error, that is read here. */
interface Body {
  readonly id?: string;
  readonly status?: string;
  readonly error?: { readonly code?: string } | null;
  readonly output?: readonly (Partial<Call> & {
    readonly type: string;
    readonly call_id?: string;
    readonly content?: readonly { readonly text?: string; readonly refusal?: string }[];
  })[];
  readonly sluice?: {
    readonly findings?: Seen['findings'];
    readonly provider?: string | null;
    readonly prompt?: { readonly pack: string; readonly name: string; readonly version: string } | null;
  };
}

/**
 * Runs the cases of `file`: a pack, whose cases are in the file of the same name beside it, or
 * that file.
 * @returns 0 if every case holds, otherwise 1
 */
export async function evalPack(file: string, options: EvalOptions, context: CliContext): Promise<number> {
  const { print, complain, env } = context;
  let read;
  const casesFile = file.replace(/\.pack(\.json)?$/, '.evals.yaml');
  try {
    read = readCases(casesFile);
  } catch (error) {
    const why = existsSync(casesFile) ? String((error as Error).message) : `there is no ${casesFile}`;
    complain(`unable to evaluate; ${why}`);
    return 1;
  }
  const { cases } = read;
  const packFile = file === casesFile ? join(dirname(file), `${read.pack}.pack.json`) : file;
  const demo = options.url === undefined;
  const chosen = cases.filter(
    (one) => one.name.includes(options.only) && (demo ? one.needs === 'nothing' : one.demo_only !== true),
  );
  const own = demo ? await startDemo(packFile) : undefined;
  let failed = 0;
  try {
    const key = demo ? undefined : env['SLUICE_API_KEY'];
    const run = new Evaluation(own?.url ?? options.url ?? '', key, packFile, print);
    for (const one of chosen) failed += (await run.holds(one, options.times)) ? 0 : 1;
  } finally {
    await own?.stop();
  }
  const left = cases.length - chosen.length;
  const why = demo ? ': they need a model (--url)' : '';
  print(`${chosen.length - failed} of ${chosen.length} hold${left === 0 ? '' : `; ${left} were not asked${why}`}`);
  return failed === 0 && chosen.length > 0 ? 0 : 1;
}

class Evaluation {
  readonly #url: string;
  readonly #headers: Readonly<Record<string, string>>;

  constructor(
    url: string,
    key: string | undefined,
    private readonly packFile: string,
    private readonly print: (line: string) => void,
  ) {
    this.#url = url.replace(/\/$/, '');
    this.#headers = { 'content-type': 'application/json', ...(key ? { authorization: `Bearer ${key}` } : {}) };
  }

  async holds(one: Case, times: number): Promise<boolean> {
    const runs: Awaited<ReturnType<Evaluation['run']>>[] = [];
    for (let i = 0; i < times; i++) runs.push(await this.run(one));
    const failed = runs.filter(({ wrong }) => wrong.length > 0);
    const count = times > 1 ? ` (${times - failed.length} of ${times})` : '';
    this.print(`${failed.length === 0 ? 'holds ' : 'FAILS '} ${one.name}${count}`);
    for (const { wrong, last } of failed) {
      this.print(`         ${wrong.join('; ')}`);
      const { text } = seenOf(last);
      if (text !== '') this.print(`         it said: ${JSON.stringify(text.slice(0, 400))}`);
    }
    return failed.length === 0;
  }

  /** Returns all mistakes of one run of a case. */
  async run(one: Case): Promise<{ readonly wrong: readonly string[]; readonly last: Body }> {
    const tools = one.tools?.map((tool) => ({ type: 'function', strict: false, ...tool }));
    const wrong: string[] = [];
    let last: Body = {};
    for (const [i, step] of stepsOf(one).entries()) {
      const calls = (last.output ?? []).filter(({ type }) => type === 'function_call');
      if (i > 0 && one.calls !== undefined) wrong.push(...judgeCalls(one.calls, calls.filter(isCall)));
      if (wrong.length > 0) return { wrong, last };
      const input =
        typeof step === 'string'
          ? step
          : calls.map(({ call_id }) => ({ type: 'function_call_output', call_id, output: step.output }));
      const previous = last.id === undefined ? {} : { previous_response_id: last.id };
      last = await this.#ask({ input, prompt: one.prompt, ...(tools === undefined ? {} : { tools }), ...previous });
      if (last.error && last.status === undefined) break;
    }
    const prompt = await this.#rendered(one);
    const used = last.sluice?.prompt ?? undefined;
    // A gateway may run another version of the pack than this file.
    if (prompt !== undefined && used !== undefined && prompt.version !== used.version) {
      wrong.push(`answered with ${used.pack}/${used.name} ${used.version}, here is ${prompt.version}`);
    }
    wrong.push(...judge(one.expect, { ...seenOf(last), system: prompt?.system }));
    return { wrong, last };
  }

  async #ask(body: object): Promise<Body> {
    const init = {
      method: 'POST',
      headers: this.#headers,
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
    };
    return (await (await fetch(`${this.#url}/v1/responses`, init)).json()) as Body;
  }

  /** Returns a case's prompt as the pack renders it, or undefined if it cannot be rendered. */
  async #rendered({ prompt }: Case): Promise<{ readonly system: string; readonly version: string } | undefined> {
    if (prompt === undefined) return undefined;
    try {
      const packs = await loadPacks(this.packFile, { readGuardrails: guardrailsFrom });
      return renderPrompt(packs.find(prompt.id, prompt.version), prompt.variables ?? {});
    } catch {
      return undefined;
    }
  }
}

function isCall<Item extends Partial<Call>>(item: Item): item is Item & Call {
  return item.name !== undefined && item.arguments !== undefined;
}

/** Maps a response, or an error body, to the shape that the checks read. */
function seenOf(body: Body): Seen {
  const parts = (body.output ?? []).flatMap(({ content = [] }) => content);
  return {
    status: body.status,
    error: body.error?.code ?? null,
    findings: body.sluice?.findings ?? [],
    text: parts.map(({ text, refusal }) => text ?? refusal ?? '').join(''),
    askedModel: (body.sluice?.provider ?? null) !== null,
  };
}

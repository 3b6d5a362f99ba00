/* Reads the evaluation cases of a pack: what its prompts must do. Knows no network. */

import { readFileSync } from 'node:fs';
import { parse } from 'yaml';

/** Where an answer continues: a text of the user, or the output of the last answer's calls. */
type Step = string | { readonly output: string } | { readonly repeat: string; readonly times: number };

export interface Case {
  readonly name: string;
  /** `nothing`: the case holds for every model, so the demo can answer it. */
  readonly needs?: 'nothing';
  readonly demo_only?: boolean;
  readonly prompt?: {
    readonly id: string;
    readonly version?: string;
    readonly variables?: Readonly<Record<string, unknown>>;
  };
  readonly tools?: readonly object[];
  readonly input: Step | readonly Step[];
  readonly calls?: WantedCall;
  readonly expect: Expectation;
  /** Answers that pass and fail. They test the checks. */
  readonly good?: unknown;
  readonly bad?: unknown;
}

export interface WantedCall {
  readonly name: string;
  readonly arguments?: Readonly<Record<string, string>>;
}

export interface Expectation {
  readonly status?: string;
  readonly error?: string;
  readonly finding?: { readonly guardrail: string; readonly stage: string };
  readonly findings?: number;
  readonly says?: readonly string[];
  readonly lacks?: readonly string[];
  readonly at_most_characters?: number;
  readonly asks_no_model?: boolean;
  readonly renders?: { readonly says?: readonly string[]; readonly lacks?: readonly string[] };
}

const CASE_KEYS = ['name', 'needs', 'demo_only', 'prompt', 'tools', 'input', 'calls', 'expect', 'good', 'bad'];
const EXPECT_KEYS = [
  ...['status', 'error', 'finding', 'findings', 'says', 'lacks', 'at_most_characters', 'asks_no_model', 'renders'],
];

/** @throws Error if a case is malformed, or has an unknown key */
export function readCases(file: string): { readonly pack: string; readonly cases: readonly Case[] } {
  // The file is the operator's own. Each case is checked below.
  const { pack, cases } = parse(readFileSync(file, 'utf8')) as { pack: string; cases: readonly Case[] };
  const names = new Set<string>();
  for (const one of cases) {
    const mistake = mistakeIn(one, names);
    if (mistake !== undefined) throw new Error(`unable to use ${file}; "${nameOf(one)}" ${mistake}`);
    names.add(one.name);
  }
  return { pack, cases };
}

function nameOf({ name }: Partial<Case>): string {
  return name ?? 'a case without a name';
}

function mistakeIn(one: Partial<Case>, names: ReadonlySet<string>): string | undefined {
  if (typeof one.name !== 'string' || names.has(one.name)) return 'needs a name of its own';
  const expected = Object.keys(one.expect ?? {});
  const unknown = [
    ...Object.keys(one).filter((key) => !CASE_KEYS.includes(key)),
    ...expected.filter((key) => !EXPECT_KEYS.includes(key)),
  ];
  if (unknown.length > 0) return `has ${unknown.join(', ')}, which nothing looks at`;
  if (one.input === undefined || expected.length === 0) return 'needs input and expect';
  if (one.needs !== undefined && one.needs !== 'nothing') return 'may only need "nothing"; without it it needs a model';
  if (one.needs === undefined && (one.good === undefined || one.bad === undefined)) return 'needs good and bad answers';
  return undefined;
}

/** Returns the steps of a case in order: texts of the user, and outputs of the calls before. */
export function stepsOf({ input }: Pick<Case, 'input'>): readonly (string | { readonly output: string })[] {
  const steps = (Array.isArray(input) ? input : [input]) as readonly Step[];
  return steps.map((step) => (typeof step === 'object' && 'repeat' in step ? step.repeat.repeat(step.times) : step));
}

/*
 * The scripts of the demo provider, as data, and the parser of the `demo:` lines of a user message.
 * Pure: no clock, stream or network.
 */

import { type ErrorCode } from '../../domain/errors.js';
import { type FinishReason } from '../provider.js';

export type DemoStep =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'refusal'; readonly text: string }
  | { readonly type: 'call'; readonly name: string; readonly arguments: string }
  | { readonly type: 'wait'; readonly ms: number }
  | { readonly type: 'error'; readonly code: ErrorCode; readonly retryAfterMs?: number }
  /** Sends nothing more until the signal aborts. */
  | { readonly type: 'hang' };

/** One answer. Every `text` and `refusal` step is one delta and counts as one token. */
export interface DemoScript {
  readonly steps: Iterable<DemoStep>;
  /** Milliseconds between two deltas. Absent: the provider's default. */
  readonly deltaIntervalMs?: number;
  /** The finish reason. Absent: `tool_calls` after a call, else `stop`. */
  readonly finish?: FinishReason;
}

const ERRORS = [
  'rate_limit_exceeded',
  'server_error',
  'provider_error',
  'provider_refused',
  'provider_unavailable',
  'provider_stream_interrupted',
  'provider_timeout',
] as const satisfies readonly ErrorCode[];

const LIMITS = { deltas: 100_000, ms: 600_000 } as const;

const DEMO_HELP = `Lines of your message that start with \`demo:\` script the answer, the same way every time:

| directive | what happens |
|---|---|
| \`demo: deltas=200 interval=5ms text=lorem\` | 200 deltas, 5 ms apart; \`text=numbers\` counts from 0 |
| \`demo: first=2s\` | the first delta comes after 2 s |
| \`demo: error=rate_limit_exceeded after=10\` | fails after 10 deltas; \`retry_after=1s\` if wanted |
| \`demo: hang after=3\` | falls silent after 3 deltas |
| \`demo: tool=get_weather args={"city":"Paris"}\` | calls a function; \`args\` takes the rest of the line |
| \`demo: refuse\` | refuses, as a model would |
| \`demo: length\` | ends as if out of tokens; \`demo: filter\`: as if filtered |

Errors: ${ERRORS.map((code) => `\`${code}\``).join(', ')}.
`;

/**
 * Returns the script of a message's `demo:` lines, or undefined if it has none. An unknown or
 * invalid directive gives a script that reports it and lists the directives. Deltas are bounded at
 * 100,000 and every time at 10 minutes.
 */
export function scriptFromText(text: string): DemoScript | undefined {
  const lines = text.split('\n').filter((line) => line.trimStart().startsWith('demo:'));
  if (lines.length === 0) return undefined;
  const given: Directives = { flags: new Set(), values: new Map(), calls: [] };
  for (const line of lines) {
    const wrong = readLine(line.trimStart().slice('demo:'.length), given);
    if (wrong !== undefined) return scriptOfText(`I do not know \`${wrong}\`.\n\n${DEMO_HELP}`);
  }
  if (given.flags.has('help')) return scriptOfText(DEMO_HELP);
  const interval = given.values.get('interval');
  const finish = given.flags.has('length') ? 'length' : given.flags.has('filter') ? 'content_filter' : undefined;
  return {
    steps: steps(given),
    ...(interval === undefined ? {} : { deltaIntervalMs: milliseconds(interval) ?? 0 }),
    ...(finish === undefined ? {} : { finish }),
  };
}

/** Splits a text into deltas of about one word each. */
export function words(text: string): string[] {
  return text.match(/\s*\S+|\s+$/gu) ?? [];
}

/** Returns a script that sends a text, word by word. */
export function scriptOfText(text: string): DemoScript {
  return { steps: words(text).map((word) => ({ type: 'text', text: word })) };
}

interface Directives {
  readonly flags: Set<string>;
  readonly values: Map<string, string>;
  readonly calls: { name: string; arguments: string }[];
}

const FLAGS = new Set(['hang', 'refuse', 'length', 'filter', 'help']);
const CHECKS: Readonly<Record<string, (value: string) => boolean>> = {
  deltas: (value) => count(value) !== undefined,
  after: (value) => count(value) !== undefined,
  interval: (value) => milliseconds(value) !== undefined,
  first: (value) => milliseconds(value) !== undefined,
  retry_after: (value) => milliseconds(value) !== undefined,
  text: (value) => value === 'lorem' || value === 'numbers',
  error: (value) => errorCode(value) !== undefined,
};

/**
 * Parses one line into `given`.
 * @returns the first unknown word, or undefined if the line is valid
 */
function readLine(line: string, given: Directives): string | undefined {
  const at = line.search(/\sargs=/u);
  const args = at < 0 ? '{}' : line.slice(at).trim().slice('args='.length);
  const known = at < 0 ? line : line.slice(0, at);
  for (const word of known.split(/\s+/u).filter((part) => part !== '')) {
    const equals = word.indexOf('=');
    const name = equals < 0 ? word : word.slice(0, equals);
    const value = equals < 0 ? undefined : word.slice(equals + 1);
    if (value === undefined && FLAGS.has(name)) given.flags.add(name);
    else if (name === 'tool' && value !== undefined && value !== '') given.calls.push({ name: value, arguments: args });
    else if (value !== undefined && Object.hasOwn(CHECKS, name) && CHECKS[name]?.(value)) given.values.set(name, value);
    else return word;
  }
  return undefined;
}

function* steps({ flags, values, calls }: Directives): Generator<DemoStep> {
  const first = milliseconds(values.get('first') ?? '0') ?? 0;
  if (first > 0) yield { type: 'wait', ms: first };
  const fails = values.get('error');
  const ends = flags.has('hang') || fails !== undefined;
  const silent = calls.length > 0 || flags.has('refuse');
  const deltas =
    count(values.get(ends ? 'after' : 'deltas') ?? values.get('deltas') ?? (ends || silent ? '0' : '20')) ?? 0;
  for (let i = 0; i < deltas; i++) yield { type: 'text', text: filler(i, values.get('text') ?? 'lorem') };
  if (flags.has('refuse')) for (const text of words('I can not help with that.')) yield { type: 'refusal', text };
  for (const call of calls) yield { type: 'call', ...call };
  const code = errorCode(fails ?? '');
  const retryAfterMs = milliseconds(values.get('retry_after') ?? '');
  if (code !== undefined) yield { type: 'error', code, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
  if (flags.has('hang')) yield { type: 'hang' };
}

const LOREM = (
  'lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt ut labore et dolore magna ' +
  'aliqua ut enim ad minim veniam quis nostrud exercitation ullamco laboris nisi ut aliquip ex ea commodo consequat'
).split(' ');

function filler(i: number, kind: string): string {
  const word = kind === 'numbers' ? String(i) : (LOREM[i % LOREM.length] ?? '');
  return i === 0 ? word : ` ${word}`;
}

function count(text: string): number | undefined {
  return /^\d{1,9}$/u.test(text) ? Math.min(Number(text), LIMITS.deltas) : undefined;
}

function milliseconds(text: string): number | undefined {
  const match = /^(\d{1,9})(ms|s)?$/u.exec(text);
  return match === null ? undefined : Math.min(Number(match[1]) * (match[2] === 's' ? 1000 : 1), LIMITS.ms);
}

function errorCode(text: string): ErrorCode | undefined {
  return ERRORS.find((code) => code === text);
}

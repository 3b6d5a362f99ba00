/*
 * Compares the interfaces and examples of PROTOCOL.md with the types of the code: the page's
 * TypeScript blocks are compiled beside `ServerEvent` and the schemas of the client events, and
 * must be assignable in both directions.
 */

import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import ts from 'typescript';
import { EVENT_TYPES, parseClientEvent } from '../../../src/protocol/socket/client-events.js';
import { type ServerEvent } from '../../../src/protocol/socket/server-events.js';

const PAGE = readFileSync('PROTOCOL.md', 'utf8');
const FILE = resolve('test/unit/docs/protocol-page.ts');

/** Every server event of the code; the compiler finds one that is missing here. */
const SERVER_TYPES: Record<ServerEvent['type'], true> = {
  'response.created': true,
  'response.queued': true,
  'response.in_progress': true,
  'response.output_item.added': true,
  'response.output_item.done': true,
  'response.content_part.added': true,
  'response.content_part.done': true,
  'response.output_text.delta': true,
  'response.output_text.done': true,
  'response.refusal.delta': true,
  'response.refusal.done': true,
  'response.reasoning_text.delta': true,
  'response.reasoning_text.done': true,
  'response.reasoning_summary_part.added': true,
  'response.reasoning_summary_text.delta': true,
  'response.reasoning_summary_text.done': true,
  'response.reasoning_summary_part.done': true,
  'response.function_call_arguments.delta': true,
  'response.function_call_arguments.done': true,
  'response.completed': true,
  'response.incomplete': true,
  'response.failed': true,
  error: true,
  'response.steer.failed': true,
  'sluice:hello': true,
  'sluice:resumed': true,
  'sluice:snapshot': true,
  'sluice:cancelled': true,
  'sluice:subscribed': true,
  'sluice:turn': true,
  'sluice:unsubscribed': true,
  'sluice:authenticated': true,
  'sluice:auth_expiring': true,
  'sluice:draining': true,
  'sluice:pong': true,
};
const SERVER_EVENTS = Object.keys(SERVER_TYPES);

/**
 * Equality of two types: each is assignable to the other, and still is when every optional field is
 * required (a missing optional field alone would not be found).
 */
const COMPARISON = `
import type { ENVELOPE, EVENT_SCHEMAS } from '../../../src/protocol/socket/client-events.js';
import type { RESPONSE_REQUEST } from '../../../src/protocol/responses/requests.js';
import type { ServerEvent as CodeServerEvent } from '../../../src/protocol/socket/server-events.js';
import type { UNSERVED_FIELDS } from '../../../src/protocol/responses/unserved-fields.js';
import type { z } from 'zod';

type Plain<T> = T extends readonly (infer Each)[]
  ? Plain<Each>[]
  : T extends object
    ? { -readonly [Key in keyof T]: Plain<T[Key]> }
    : T;
type Whole<T> = T extends (infer Each)[] ? Whole<Each>[] : T extends object ? { [Key in keyof T]-?: Whole<T[Key]> } : T;
type Within<A, B> = [A] extends [B] ? true : false;
type Same<A, B> = [Within<A, B>, Within<B, A>, Within<Whole<A>, Whole<B>>, Within<Whole<B>, Whole<A>>] extends true[]
  ? true
  : false;
type OfType<Event, Type> = Event extends { type: Type } ? Event : never;
type Shortened<Event> = Event extends { response: unknown }
  ? Omit<Event, 'response'> & { response: Partial<Response> }
  : Event;

type CodeClientEvents = { [Type in keyof typeof EVENT_SCHEMAS]: z.input<(typeof EVENT_SCHEMAS)[Type]> & { type: Type } };
type CodeFields = Omit<z.output<typeof RESPONSE_REQUEST>, keyof typeof UNSERVED_FIELDS>;
type CodeEnvelope = { [Field in keyof z.input<typeof ENVELOPE>]: Exclude<z.input<typeof ENVELOPE>[Field], null> };
/**
 * Fields that the schema rewrites while it reads them: their names are compared, their examples are
 * parsed.
 */
type Rewritten = 'input' | 'conversation' | 'prompt' | 'tools' | 'text' | 'reasoning' | 'include';
type PageFields = Omit<ResponseCreate, 'type'>;
type CodeCreate = Plain<Omit<CodeFields, Rewritten> & CodeEnvelope>;
`;

/** Source files of the program, kept between two compilations. */
const parsed = new Map<string, ts.SourceFile | undefined>();

function blocks(page: string, language: string): string[] {
  return [...page.matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\``, 'gm'))].map(([, code = '']) => code);
}

/** Examples of events, one a line. */
function exampleLines(page: string): string[] {
  return blocks(page.replace(/<!-- example: Response -->\n```json\n.*\n```/, ''), 'json').flatMap((block) =>
    block.trim().split('\n'),
  );
}

function typeOf(example: string): string {
  // Each example is an event of this page.
  return (JSON.parse(example) as { readonly type: string }).type;
}

function sourceOf(page: string): string {
  const same = SERVER_EVENTS.map(
    (type) =>
      `export const ${nameOf('server', type)}: Same<OfType<ServerEvent, '${type}'>, Plain<OfType<CodeServerEvent, '${type}'>>> = true;`,
  );
  const client = EVENT_TYPES.filter((type) => type !== 'response.create').map(
    (type) =>
      `export const ${nameOf('client', type)}: Same<OfType<ClientEvent, '${type}'>, Plain<CodeClientEvents['${type}']>> = true;`,
  );
  const examples = exampleLines(page).map((line, index) => {
    const union = EVENT_TYPES.includes(typeOf(line)) ? 'ClientEvent' : 'ServerEvent';
    return `export const example_${index}: Shortened<OfType<${union}, '${typeOf(line)}'>> = ${line};`;
  });
  const whole = /<!-- example: Response -->\n```json\n(.*)\n```/.exec(page)?.[1] ?? 'undefined';
  return [
    COMPARISON,
    ...blocks(page, 'ts'),
    `export const names_of_server_events: Same<ServerEvent['type'], CodeServerEvent['type']> = true;`,
    `export const names_of_request_fields: Same<keyof PageFields, keyof (CodeFields & CodeEnvelope)> = true;`,
    `export const types_of_request_fields: Same<Omit<PageFields, Rewritten>, CodeCreate> = true;`,
    `export const whole_response: Response = ${whole};`,
    ...same,
    ...client,
    ...examples,
  ].join('\n');
}

function nameOf(side: string, type: string): string {
  return `${side}_${type.replaceAll(/\W/g, '_')}`;
}

/** Type-checks the page's blocks against the code. @returns one line for each mistake */
function compile(page: string): string[] {
  const source = sourceOf(page);
  const options: ts.CompilerOptions = {
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    target: ts.ScriptTarget.ES2024,
    lib: ['lib.es2024.d.ts'],
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    types: [],
  };
  const host = ts.createCompilerHost(options);
  const read = host.getSourceFile.bind(host);
  host.getSourceFile = (name, language) => {
    if (resolve(name) === FILE) return ts.createSourceFile(name, source, language, true);
    if (!parsed.has(name)) parsed.set(name, read(name, language));
    return parsed.get(name);
  };
  const exists = host.fileExists.bind(host);
  host.fileExists = (name) => resolve(name) === FILE || exists(name);
  const program = ts.createProgram([FILE], options, host);
  const file = program.getSourceFile(FILE);
  if (file === undefined) throw new Error('unable to compile the page; its file was not read');
  const found = [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)];
  return found.map(({ start = 0, messageText }) => {
    const { line } = file.getLineAndCharacterOfPosition(start);
    const text = source.split('\n')[line] ?? '';
    return `${/^export const (\w+)/.exec(text)?.[1] ?? text.trim()}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`;
  });
}

describe('PROTOCOL.md', () => {
  it('documents every event as the code defines it, with valid examples', () => {
    expect(compile(PAGE)).toEqual([]);
  });

  it('shows an example frame of every event, and of no others', () => {
    expect(new Set(exampleLines(PAGE).map(typeOf))).toEqual(new Set([...EVENT_TYPES, ...SERVER_EVENTS]));
  });

  it.each(EVENT_TYPES)('shows an example of %s that the gateway accepts', (type) => {
    const lines = exampleLines(PAGE).filter((line) => typeOf(line) === type);
    for (const line of lines) expect(parseClientEvent(line).type).toBe(type);
  });

  it('fails for a renamed field, a missing one, another type and a request field that is not served', () => {
    const changes = [
      ['expires_in_ms: number', 'expires_ms: number', 'server_sluice_auth_expiring'],
      ['  id?: string | number;\n', '', 'client_sluice_ping'],
      ['status: ResponseStatus;\n  stream_id', 'status: string;\n  stream_id', 'server_sluice_resumed'],
      ['  user?: string;', '  person?: string;', 'names_of_request_fields'],
    ] as const;
    let page = PAGE;
    for (const [from, to] of changes) {
      expect(page).toContain(from);
      page = page.replace(from, to);
    }
    const found = compile(page).join('\n');
    for (const [, , at] of changes) expect(found).toContain(at);
  });
});

/*
 * Code from the documents, as a reader would run it: every fenced block below a comment `<!-- run …
 * -->`. Only the addresses are changed, from the documents' ports to those of a test. Knows nothing
 * of what a block is about.
 */

import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';

export interface Snippet {
  /** Place of its comment, such as `docs/clients.md:12`. */
  readonly place: string;
  readonly language: string;
  readonly code: string;
  /** What its output must contain, in the quotes of the comment. */
  readonly says: readonly string[];
  /** Other words of the comment, such as `serve`. */
  readonly words: ReadonlySet<string>;
}

const BLOCK = /^<!-- run\b(?<options>.*?)-->\n(?:\n)?```(?<language>\w+)[^\n]*\n(?<code>[^]*?)^```$/gm;

export function snippetsOf(file: string): Snippet[] {
  const text = readFileSync(file, 'utf8');
  const found = [...text.matchAll(BLOCK)].map(({ index, groups = {} }) => {
    const options = groups['options'] ?? '';
    const says = [...options.matchAll(/"([^"]+)"/g)].map((match) => match[1] ?? '');
    return {
      place: `${file}:${text.slice(0, index).split('\n').length}`,
      language: groups['language'] ?? '',
      code: groups['code'] ?? '',
      says,
      words: new Set(
        options
          .replace(/"[^"]*"/g, '')
          .split(/\s+/)
          .filter((word) => word !== ''),
      ),
    };
  });
  const asked = text.match(/^<!-- run\b/gm)?.length ?? 0;
  if (asked !== found.length)
    throw new Error(`unable to read ${file}; ${asked - found.length} of its comments have no block below`);
  return found;
}

export interface Ports {
  readonly app: number;
  readonly ops: number;
}

export function withPorts(code: string, { app, ops }: Ports): string {
  return code.replace(/\b8080\b/g, String(app)).replace(/\b9090\b/g, String(ops));
}

export interface Ran {
  readonly code: number | null;
  readonly output: string;
}

const SCRATCH = resolve('.cache/snippets');

/** The environment of a reader in the project's folder, with its programs in PATH. */
export function readersEnv(more: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  const { PATH = '', HOME, TMPDIR } = process.env;
  const env: NodeJS.ProcessEnv = { PATH: `${resolve('node_modules/.bin')}${delimiter}${PATH}`, ...more };
  if (HOME !== undefined) env['HOME'] = HOME;
  if (TMPDIR !== undefined) env['TMPDIR'] = TMPDIR;
  return env;
}

/** Runs shell or JavaScript; both streams of output together. */
export async function runCode(language: string, code: string, env: NodeJS.ProcessEnv): Promise<Ran> {
  if (language === 'bash') return execute('bash', ['-euo', 'pipefail', '-c', code], { env });
  if (language !== 'js') throw new Error(`unable to run a block of ${language}`);
  mkdirSync(SCRATCH, { recursive: true });
  // Inside the project, so that its packages are found.
  const file = join(SCRATCH, `${process.pid}-${Math.random().toString(36).slice(2)}.mjs`);
  writeFileSync(file, code);
  try {
    return await execute('node', [file], { env });
  } finally {
    rmSync(file, { force: true });
  }
}

/** Runs a program to its end; both streams of output together. */
export function execute(
  command: string,
  args: readonly string[],
  { cwd = '.', env = process.env }: { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv } = {},
): Promise<Ran> {
  return new Promise((done, failed) => {
    const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.on('error', failed);
    child.on('close', (code) => done({ code, output }));
  });
}

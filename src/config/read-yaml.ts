/*
 * Parses the text of a YAML file to a plain tree: reports syntax mistakes with line and column,
 * expands variables, removes empty values.
 */

import { LineCounter, type YAMLParseError, isNode, parseDocument } from 'yaml';
import { errorCode } from '../domain/errors.js';
import { type Mistake } from './config-error.js';

export type Tree = { readonly [key: string]: unknown };
export type Env = Readonly<Record<string, string | undefined>>;
export type Path = readonly (string | number)[];

export interface ReadYaml {
  readonly tree: Tree;
  readonly mistakes: readonly Mistake[];
  /** Line of the value at `path`, or of the closest section around it. */
  readonly lineOf: (path: Path) => number | undefined;
}

/** Returns the code of a failed file operation (`ENOENT`, …). */
export function fileErrorCode(error: unknown): string {
  return errorCode(error) ?? 'unreadable';
}

export function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

export function showPath(path: Path): string {
  return path.reduce<string>(
    (shown, step) => (typeof step === 'number' ? `${shown}[${step}]` : shown ? `${shown}.${step}` : step),
    '',
  );
}

/** Returns the value of a variable, or undefined if it is unset or empty. */
export function fromEnv(env: Env, name: string): string | undefined {
  const value = env[name];
  return value === undefined || value.trim() === '' ? undefined : value;
}

/** Reads one document. An empty value counts as an absent key. */
export function readYaml(source: string, env: Env): ReadYaml {
  try {
    return readDocument(source, env);
  } catch (error) {
    // The parser throws for aliases without an anchor and for too many of them. An alias inside its
    // own anchor, and thousands of levels, exceed the stack.
    const name = error instanceof Error ? error.name : '';
    if (name !== 'ReferenceError' && name !== 'RangeError') throw error;
    const why = name === 'ReferenceError' ? (error as Error).message : 'it is nested too deeply';
    return { tree: {}, mistakes: [{ path: '', problem: `not valid YAML: ${why}` }], lineOf: () => undefined };
  }
}

function readDocument(source: string, env: Env): ReadYaml {
  const lineCounter = new LineCounter();
  const document = parseDocument(source, { lineCounter, prettyErrors: false, uniqueKeys: true, stringKeys: true });
  const mistakes = syntaxMistakes(document.errors, source, lineCounter);
  const lineOf = (path: Path): number | undefined => {
    for (let end = path.length; end > 0; end--) {
      const node: unknown = document.getIn(path.slice(0, end), true);
      if (isNode(node) && node.range) return lineCounter.linePos(node.range[0]).line;
    }
    return undefined;
  };
  if (mistakes.length > 0) return { tree: {}, mistakes, lineOf };

  const content: unknown = document.toJS({ maxAliasCount: 100 }) ?? {};
  if (!isTree(content))
    return {
      tree: {},
      mistakes: [{ path: '', problem: 'the file must hold sections such as `app:` and `provider:`' }],
      lineOf,
    };
  const unexpanded: Mistake[] = [];
  const tree = expandAll(content, [], env, unexpanded);
  return { tree: isTree(tree) ? tree : {}, mistakes: unexpanded, lineOf };
}

/**
 * Reports every duplicate key, but only the first syntax error: later ones are usually its
 * consequences.
 */
function syntaxMistakes(errors: readonly YAMLParseError[], source: string, lineCounter: LineCounter): Mistake[] {
  const doubled = errors.filter((error) => error.code === 'DUPLICATE_KEY');
  const first = errors.find((error) => error.code !== 'DUPLICATE_KEY');
  return [...doubled, ...(first ? [first] : [])].map((error) => {
    const { line, col } = lineCounter.linePos(error.pos[0]);
    if (error.code === 'DUPLICATE_KEY') {
      const name = /^[\w.-]*/.exec(source.slice(error.pos[0], error.pos[0] + 80))?.[0] ?? '';
      return {
        path: '',
        problem: `the key \`${name}\` is written twice in one section (column ${col}); keep one`,
        line,
      };
    }
    if (error.code === 'MULTIPLE_DOCS') {
      return { path: '', problem: 'a second YAML document begins here; keep one document in the file', line };
    }
    const quote = (source.split('\n')[line - 1] ?? '').includes('${')
      ? '; inside `{ }` and `[ ]`, put `${...}` in quotes'
      : '';
    return { path: '', problem: `not valid YAML (column ${col}): ${error.message}${quote}`, line };
  });
}

function expandAll(value: unknown, path: Path, env: Env, mistakes: Mistake[]): unknown {
  if (typeof value === 'string') return expand(value, path, env, mistakes);
  if (Array.isArray(value)) return value.map((item, i) => expandAll(item, [...path, i], env, mistakes));
  if (!isTree(value)) return value;
  const expanded = Object.entries(value)
    .map(([name, inner]) => [name, expandAll(inner, [...path, name], env, mistakes)] as const)
    .filter(([, inner]) => inner !== null);
  return Object.fromEntries(expanded);
}

/**
 * Expands `${VAR}` and `${VAR:-default}`. `$${` means a plain `${`. A value that becomes empty
 * counts as missing.
 */
function expand(text: string, path: Path, env: Env, mistakes: Mistake[]): string | null {
  if (!text.includes('${')) return text;
  const expanded = text.replace(
    /\$(\$\{)|\$\{([A-Za-z_]\w*)(:-([^}]*))?\}|\$\{/g,
    (all, escaped?: string, name?: string, fallback?: string, byDefault?: string) => {
      if (escaped !== undefined) return escaped;
      if (name === undefined) {
        mistakes.push({
          path: showPath(path),
          problem:
            "a `${` without a variable's name and `}`; write `${NAME}`, `${NAME:-default}`, or `$${` for the characters",
        });
        return all;
      }
      const value = fromEnv(env, name);
      if (value !== undefined) return value;
      if (fallback === undefined)
        mistakes.push({
          path: showPath(path),
          problem: `the variable ${name} is not set; set it, or write \`\${${name}:-default}\``,
        });
      return byDefault ?? '';
    },
  );
  return expanded === '' ? null : expanded;
}

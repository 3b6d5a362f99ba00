/*
 * Texts that operators and clients read: string literals of the sources are ASCII (a log collector
 * or a terminal with another encoding shows the rest as noise), and comments name only files that
 * exist.
 */

import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import ts from 'typescript';

const SOURCES = globSync('src/**/*.ts').toSorted();
/** Its ellipsis goes into the title of a conversation, which is text for people. */
const SHOWN_TO_PEOPLE = ['src/domain/conversation-title.ts'];

/** One line, `FILE:LINE: TEXT`, for each literal with a character that is not ASCII. */
function nonAsciiLiterals(file: string, text = readFileSync(file, 'utf8')): string[] {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true);
  const found: string[] = [];
  const visit = (node: ts.Node): void => {
    const literal = ts.isStringLiteralLike(node) || ts.isTemplateHead(node) || ts.isTemplateMiddleOrTemplateTail(node);
    if (literal && /\P{ASCII}/u.test(node.getText())) {
      const { line } = source.getLineAndCharacterOfPosition(node.getStart());
      found.push(`${file}:${line + 1}: ${node.getText()}`);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

/** Comments of a TypeScript file. */
function commentsOf(text: string): string[] {
  const found = new Map<number, string>();
  const source = ts.createSourceFile('file.ts', text, ts.ScriptTarget.Latest, true);
  const visit = (node: ts.Node): void => {
    for (const { pos, end } of ts.getLeadingCommentRanges(text, node.getFullStart()) ?? [])
      found.set(pos, text.slice(pos, end));
    node.getChildren(source).forEach(visit);
  };
  visit(source);
  return [...found.values()];
}

const PATH = /(?<![\w./@-])((?:[\w-]+\/)*[\w.-]+\.(?:ts|mjs|md|yaml|sh|lua))\b/g;

/**
 * Names of files in comments of `file` that exist neither beside it, nor below src, nor from the
 * root.
 */
function missingFiles(file: string, comments: readonly string[]): string[] {
  const names = comments.flatMap((comment) => [...comment.matchAll(PATH)].map(([, name = '']) => name));
  return names.filter((name) => {
    if (name.includes('/')) {
      return ![name, join('src', name), join(dirname(file), name), join(dirname(dirname(file)), name)].some(existsSync);
    }
    return !known.has(name);
  });
}

/** Base names of every file of the repository that a comment may name. */
const known = new Set(
  globSync([
    '*',
    'src/**/*',
    'test/**/*',
    'scripts/**/*',
    'docs/**/*',
    'bench/**/*',
    'client/**/*',
    'config/*',
    'packs/*',
  ])
    .filter((path) => !path.includes('node_modules'))
    .map((path) => path.split('/').at(-1) ?? ''),
);

describe('string literals of the sources', () => {
  it('finds only ASCII in string literals of the sources', () => {
    const files = SOURCES.filter((file) => !SHOWN_TO_PEOPLE.includes(file));
    expect(files.flatMap((file) => nonAsciiLiterals(file))).toEqual([]);
  });

  it('reports a curly apostrophe', () => {
    expect(nonAsciiLiterals('a.ts', "log.warn({}, `limits of this replica’s ${share}`);\nconst a = '±';")).toHaveLength(
      2,
    );
  });
});

describe('comments', () => {
  const files = globSync(['src/**/*.ts', 'client/**/*.ts', 'bench/**/*.ts', 'test/**/*.ts']).filter(
    (path) => !path.includes('node_modules'),
  );

  it('finds every file that a comment names', () => {
    const found = files.flatMap((file) =>
      missingFiles(file, commentsOf(readFileSync(file, 'utf8'))).map((name) => `${file}: ${name}`),
    );
    expect(found).toEqual([]);
  });

  it('reports a file that does not exist', () => {
    expect(missingFiles('src/a.ts', ['/* See stack.md, turn.service.ts and turn/no-such.ts. */'])).toEqual([
      'stack.md',
      'turn/no-such.ts',
    ]);
  });
});

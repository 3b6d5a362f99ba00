/*
 * The ways in which a pack may write its placeholders (`template_engine.syntax`). The value is an
 * example of a placeholder, so the name between the brackets does not matter.
 */

import { didYouMean } from './names.js';

export interface Syntax {
  readonly open: string;
  readonly close: string;
  /**
   * Whether brackets without a name between them are text. True for single braces, which JSON and
   * program text in a prompt contain.
   */
  readonly lenient: boolean;
}

export const DOUBLE_BRACES: Syntax = { open: '{{', close: '}}', lenient: false };

const SYNTAXES: ReadonlyMap<string, Syntax> = new Map([
  ['{{variable}}', DOUBLE_BRACES],
  ['${variable}', { open: '${', close: '}', lenient: false }],
  ['{variable}', { open: '{', close: '}', lenient: true }],
]);
export const SYNTAX_NAMES: readonly string[] = [...SYNTAXES.keys()];

/** Returns the syntax of which `example` is a placeholder, or undefined if it is none. */
export function syntaxOf(example: string): Syntax | undefined {
  return SYNTAXES.get(example.trim().replace(/\s*[a-zA-Z_][a-zA-Z0-9_]*\s*/, 'variable'));
}

/** Describes why `example` is no syntax, with the nearest one. */
export function syntaxMistake(example: string): string {
  const likely = didYouMean(example, SYNTAX_NAMES);
  return `is no placeholder syntax of this gateway${likely === undefined ? '' : `, ${likely}`}`;
}

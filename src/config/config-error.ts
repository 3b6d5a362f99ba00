/* Reports the mistakes in a configuration: all at once, each on one line with a remedy. */

import { scrub } from './secret.js';

/** Exit code for a wrong configuration (sysexits' EX_CONFIG). */
export const EXIT_CONFIG = 78;

export interface Mistake {
  /** Dotted path of the key, such as `auth.keys[0].id`. Empty for the file itself. */
  readonly path: string;
  /** Description of the mistake, without the path and without secrets. */
  readonly problem: string;
  readonly line?: number;
}

export class ConfigError extends Error {
  readonly mistakes: readonly Mistake[];
  /** One printable line for each mistake, in the order of the file. */
  readonly lines: readonly string[];

  constructor(file: string, mistakes: readonly Mistake[]) {
    const ordered = mistakes.toSorted((a, b) => (a.line ?? 0) - (b.line ?? 0));
    const lines = ordered.map(({ path, problem, line }) =>
      scrub(`${file}${line ? `:${line}` : ''}: ${path ? `${path}: ` : ''}${problem}`),
    );
    const n = lines.length;
    super(
      `unable to use the configuration ${file}; it has ${n} mistake${n === 1 ? '' : 's'}; correct ${n === 1 ? 'it' : 'them'} and start again:\n${lines.join('\n')}`,
    );
    this.name = 'ConfigError';
    this.mistakes = ordered;
    this.lines = lines;
  }
}

/**
 * A mistake in the configuration that only another server can find, such as a database that does
 * not exist.
 */
export class StartMistake extends Error {
  constructor(readonly mistake: Mistake) {
    super(mistake.problem);
    this.name = 'StartMistake';
  }
}

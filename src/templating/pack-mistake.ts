/*
 * Mistakes in pack files, collected and reported at once to the operator at start: file, path,
 * mistake, allowed values.
 */

export interface PackMistake {
  readonly file: string;
  /** A JSON pointer, `/prompts/support/variables/0/type`. Empty for the file as a whole. */
  readonly path: string;
  readonly what: string;
  readonly allowed?: string;
}

/** All mistakes in the packs of one source. */
export class PackLoadError extends Error {
  constructor(
    readonly source: string,
    readonly mistakes: readonly PackMistake[],
  ) {
    const lines = mistakes.map((mistake) => `  ${describeMistake(mistake)}`);
    super(`unable to load the prompt packs of ${source}; correct the following\n${lines.join('\n')}`);
    this.name = 'PackLoadError';
  }
}

export function describeMistake({ file, path, what, allowed }: PackMistake): string {
  const where = path === '' ? file : `${file}: ${path}`;
  return `${where}: ${what}${allowed === undefined ? '' : `; allowed: ${allowed}`}`;
}

/** Formats a path as a JSON pointer (RFC 6901). */
export function pointer(path: readonly PropertyKey[]): string {
  return path.map((step) => `/${String(step).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}

/* Collects the mistakes and warnings of one pack file, so that all are reported at once. */

import { type z } from 'zod';
import { didYouMean } from './names.js';
import { type PackMistake, pointer } from './pack-mistake.js';
import { knownKeysAt } from './pack-schema.js';

export type Path = readonly PropertyKey[];
export type Json = Readonly<Record<string, unknown>>;

export class Findings {
  readonly mistakes: PackMistake[] = [];
  readonly warnings: PackMistake[] = [];
  readonly #notRun: string[] = [];

  constructor(private readonly file: string) {}

  mistake(path: Path, what: string, allowed?: string): void {
    this.mistakeAt(pointer(path), what, allowed);
  }

  /** @param path a JSON pointer */
  mistakeAt(path: string, what: string, allowed?: string): void {
    this.mistakes.push({ file: this.file, path, what, ...(allowed === undefined ? {} : { allowed }) });
  }

  warning(path: Path, what: string): void {
    this.warnings.push({ file: this.file, path: pointer(path), what });
  }

  /** Records a part of the format that this gateway does not run. */
  notRun(path: Path): void {
    this.#notRun.push(pointer(path));
  }

  /** Records each of `keys` that `object` has. */
  notRunKeys(path: Path, object: Json, keys: readonly string[]): void {
    for (const key of keys) if (object[key] !== undefined) this.notRun([...path, key]);
  }

  /** Turns what was recorded by `notRun` into one warning, or into one mistake. */
  closeNotRun(strict: boolean): void {
    if (this.#notRun.length === 0) return;
    const what = `holds parts that this gateway does not run: ${this.#notRun.join(', ')}`;
    if (strict) this.mistake([], `${what}; template.strict refuses them`);
    else this.warning([], what);
  }

  issues(error: z.core.$ZodError, base: Path): void {
    for (const issue of error.issues) {
      const path = [...base, ...issue.path];
      if (issue.code === 'unrecognized_keys') this.#unknownKeys(path, issue.keys);
      else if (issue.code === 'invalid_key') this.mistake(path, issue.issues[0]?.message ?? issue.message);
      else if (issue.code === 'invalid_value') this.#otherValue(path, issue);
      else if (issue.code === 'invalid_type') this.mistake(path, typeMistake(issue));
      else this.mistake(path, issue.message);
    }
  }

  #otherValue(path: Path, { input, values }: z.core.$ZodIssueInvalidValue): void {
    const allowed = values.map(String);
    if (input === undefined) this.mistake(path, 'is missing', allowed.join(', '));
    else {
      // An object may have a field `toString`, so that it has no text.
      const near = typeof input === 'string' ? hint(input, allowed) : '';
      this.mistake(path, `is none of the known values${near}`, allowed.join(', '));
    }
  }

  #unknownKeys(path: Path, keys: readonly string[]): void {
    const known = knownKeysAt(path);
    for (const key of keys) {
      this.mistake([...path, key], `is no key of the format${hint(key, known)}`, known.join(', '));
    }
  }
}

function typeMistake({ expected, input }: z.core.$ZodIssueInvalidType): string {
  const type = expected === 'record' ? 'object' : expected;
  return `${input === undefined ? 'is missing; it must' : 'must'} be ${/^[aeiou]/.test(type) ? 'an' : 'a'} ${type}`;
}

export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Returns `, did you mean X?`, or nothing if no known name is near. */
export function hint(name: string, known: readonly string[]): string {
  const likely = didYouMean(name, known);
  return likely === undefined ? '' : `, ${likely}`;
}

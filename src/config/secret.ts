/*
 * Keeps secrets out of every output: a wrapper that hides its value from all printers, and patterns
 * of secrets in foreign text. Does not know where a secret comes from.
 */

import { inspect } from 'node:util';

export const REDACTED = '[redacted]';

/**
 * A value that only `reveal()` returns. String conversion, JSON and console all show `[redacted]`.
 */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return REDACTED;
  }

  toJSON(): string {
    return REDACTED;
  }

  [inspect.custom](): string {
    return REDACTED;
  }
}

// Character classes stop at quotes and backslashes, so that a JSON line stays JSON after scrubbing.
const SHAPES: readonly (readonly [RegExp, string])[] = [
  [/\b(bearer|basic)(\s+)[\w.~+/=-]{4,}/gi, `$1$2${REDACTED}`],
  [/\b(sluice\.bearer\.|openai-insecure-api-key\.)[\w.~+/=-]+/g, `$1${REDACTED}`],
  [/\b(?:sk|ek|rk|pk)[-_][\w-]{6,}/g, REDACTED],
  [/\beyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?/g, REDACTED],
  [/\b([a-z][a-z0-9+.-]*:\/\/)[^\s/@"'\\]+@/gi, `$1${REDACTED}@`],
  [/((?:api[-_]?key|access[-_]?token|token|password|secret)(?:=|%3D))[^\s&"'\\]+/gi, `$1${REDACTED}`],
];

/** Matches where any of the shapes may match: most lines have none, and are read once. */
const ANY_SHAPE = new RegExp(SHAPES.map(([{ source }]) => source).join('|'), 'i');

/**
 * Removes everything from `text` that looks like a credential: keys, bearer tokens, JWTs,
 * credentials in URLs.
 */
export function scrub(text: string): string {
  if (!ANY_SHAPE.test(text)) return text;
  let clean = text;
  for (const [shape, replacement] of SHAPES) clean = clean.replace(shape, replacement);
  return clean;
}

/**
 * Returns every Secret inside a configuration, for code that must remove their values from its
 * output.
 */
export function secretsIn(value: unknown): Secret[] {
  if (value instanceof Secret) return [value];
  if (typeof value !== 'object' || value === null) return [];
  return Object.values(value).flatMap((inner) => secretsIn(inner));
}

/* Reads the log probabilities of a chunk. Knows nothing of earlier chunks. */

import { type TokenLogprob } from '../../domain/item.js';

/** OpenAI's bound of `top_logprobs`. */
const MOST_ALTERNATIVES = 20;

/** @param raw `logprobs` of a choice. @returns its tokens; an entry of another shape is left out */
export function readLogprobs(raw: unknown): readonly TokenLogprob[] {
  return listIn(raw, 'content').flatMap((entry) => {
    const [own] = likelihoodOf(entry);
    if (own === undefined) return [];
    const top = listIn(entry, 'top_logprobs').slice(0, MOST_ALTERNATIVES);
    return [{ ...own, top_logprobs: top.flatMap(likelihoodOf) }];
  });
}

function likelihoodOf(entry: unknown): Omit<TokenLogprob, 'top_logprobs'>[] {
  if (typeof entry !== 'object' || entry === null) return [];
  const { token, logprob, bytes } = entry as Readonly<Record<string, unknown>>;
  if (typeof token !== 'string' || typeof logprob !== 'number' || !Number.isFinite(logprob)) return [];
  return [{ token, logprob, bytes: isBytes(bytes) ? bytes : [...Buffer.from(token)] }];
}

function isBytes(value: unknown): value is readonly number[] {
  return (
    Array.isArray(value) &&
    value.length > 0 &&
    value.every((byte) => Number.isInteger(byte) && byte >= 0 && byte <= 255)
  );
}

function listIn(value: unknown, name: string): readonly unknown[] {
  const list = typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>)[name] : null;
  return Array.isArray(list) ? list : [];
}

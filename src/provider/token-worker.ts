/*
 * The thread that counts tokens: its tables are 40 MB and take a fifth of a second to load, which
 * no stream should wait for and the main thread's garbage collector should not scan. Receives
 * texts, answers with their counts.
 */

import { countTokens } from 'gpt-tokenizer';
import { parentPort } from 'node:worker_threads';

/**
 * The tokenizer's time grows with the square of a run without spaces: it only ever sees pieces of
 * this size.
 */
const PIECE_CHARS = 128;
/** Special tokens in what people write are plain text. */
const PLAIN = { disallowedSpecial: new Set<string>() };

export interface CountRequest {
  readonly id: number;
  readonly texts: readonly string[];
}
export interface CountAnswer {
  readonly id: number;
  readonly counts: readonly number[];
}

function countOf(text: string): number {
  let tokens = 0;
  for (let at = 0; at < text.length;) {
    let end = Math.min(at + PIECE_CHARS, text.length);
    // Between words where there are words, so that none is counted twice.
    const space = end < text.length ? text.lastIndexOf(' ', end) : -1;
    if (space > at) end = space;
    tokens += countTokens(text.slice(at, end), PLAIN);
    at = end;
  }
  return tokens;
}

// Asked by token-counter.ts only.
parentPort?.on('message', ({ id, texts }: CountRequest) => {
  const answer: CountAnswer = { id, counts: texts.map(countOf) };
  parentPort?.postMessage(answer);
});

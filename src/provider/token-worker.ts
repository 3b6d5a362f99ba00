/*
 * The thread that counts tokens. Receives texts and answers with their counts. Its tables are 40 MB
 * and take 200 ms to load: in the main thread every stream would wait for that, and the garbage
 * collector would scan them.
 */

import { countTokens } from 'gpt-tokenizer';
import { parentPort } from 'node:worker_threads';

/**
 * Size of the pieces passed to the tokenizer, in characters. Its time grows with the square of a
 * run without spaces, so a long run would block the thread.
 */
const PIECE_CHARS = 128;
/** Special tokens in the text of users count as plain text. */
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
    // Cut at a space if there is one, so that no word is counted in two pieces.
    const space = end < text.length ? text.lastIndexOf(' ', end) : -1;
    if (space > at) end = space;
    tokens += countTokens(text.slice(at, end), PLAIN);
    at = end;
  }
  return tokens;
}

// The only sender is token-counter.ts.
parentPort?.on('message', ({ id, texts }: CountRequest) => {
  const answer: CountAnswer = { id, counts: texts.map(countOf) };
  parentPort?.postMessage(answer);
});

/*
 * Collects the log probabilities of one answer. They are released only for a text that is exactly
 * what the model wrote, so that no viewer receives tokens of text that a guardrail withheld or
 * replaced.
 */

import { type OutputItem, type TokenLogprob } from '../domain/item.js';

/** Most tokens of an answer. */
const MOST_TOKENS = 16_384;
/** Most bytes of an answer's log probabilities as JSON. Those of a larger answer are dropped. */
export const MOST_LOGPROB_BYTES = 512 * 1024;

export class AnswerLogprobs {
  #tokens: TokenLogprob[] = [];
  #count = 0;
  #bytes = 0;

  add(tokens: readonly TokenLogprob[]): void {
    for (const token of tokens) {
      this.#count += 1;
      if (!this.#fits) return this.#drop();
      this.#bytes += Buffer.byteLength(JSON.stringify(token));
      if (!this.#fits) return this.#drop();
      this.#tokens.push(token);
    }
  }

  /** Returns the tokens since the last call if they are this text, else none. */
  take(text: string): readonly TokenLogprob[] {
    const tokens = this.#tokens;
    this.#tokens = [];
    return this.#fits && isText(tokens, text) ? tokens : [];
  }

  get #fits(): boolean {
    return this.#count <= MOST_TOKENS && this.#bytes <= MOST_LOGPROB_BYTES;
  }

  #drop(): void {
    this.#tokens = [];
  }
}

/**
 * Whether the tokens join to this text. Compares bytes, because one character may span several
 * tokens.
 */
function isText(tokens: readonly TokenLogprob[], text: string): boolean {
  if (tokens.map(({ token }) => token).join('') === text) return true;
  return Buffer.from(tokens.flatMap(({ bytes }) => bytes)).equals(Buffer.from(text));
}

/** Returns an item without log probabilities, which later turns do not need. */
export function withoutLogprobs(item: OutputItem): OutputItem {
  if (item.type !== 'message' || !item.content.some((part) => part.type === 'output_text' && part.logprobs.length > 0))
    return item;
  const content = item.content.map((part) => (part.type === 'output_text' ? { ...part, logprobs: [] } : part));
  return { ...item, content };
}

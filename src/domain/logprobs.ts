/* Log probabilities of the tokens of an answer, in wire shape. */

interface Likelihood {
  readonly token: string;
  readonly logprob: number;
  /** The token in UTF-8: a token may hold a part of a character. */
  readonly bytes: readonly number[];
}

/** A token that the model wrote, and the likeliest tokens in its place. */
export interface TokenLogprob extends Likelihood {
  readonly top_logprobs: readonly Likelihood[];
}

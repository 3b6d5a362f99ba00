/* OpenAI's `moderations` endpoint: how likely a text is of each category. */

import { LogOnlyCause } from '../../domain/errors.js';

export interface ModerationCall {
  /** Up to and including `/v1`. */
  readonly baseUrl: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
  readonly model: string | undefined;
  readonly signal: AbortSignal;
}

/** Bytes of an answer, which has a dozen categories. */
const LARGEST_ANSWER = 65_536;

/** @returns the score of each category. @throws Error if the server does not give them */
export async function moderate({
  baseUrl,
  headers,
  text,
  model,
  signal,
}: ModerationCall): Promise<Record<string, number>> {
  const response = await fetch(`${baseUrl}/moderations`, {
    method: 'POST',
    headers: { ...headers, 'content-type': 'application/json' },
    body: JSON.stringify({ input: text, ...(model === undefined ? {} : { model }) }),
    // Never send the key to another address.
    redirect: 'error',
    signal,
  });
  if (!response.ok) {
    await response.body?.cancel();
    throw new LogOnlyCause(`the moderation endpoint answered ${response.status}`);
  }
  const body = await response.text();
  if (body.length > LARGEST_ANSWER) throw new LogOnlyCause('the moderation endpoint answered too much');
  return scoresOf(JSON.parse(body));
}

function scoresOf(body: unknown): Record<string, number> {
  const results = isObject(body) && Array.isArray(body['results']) ? (body['results'] as readonly unknown[]) : [];
  const scores: Record<string, number> = {};
  for (const result of results) {
    const found = isObject(result) && isObject(result['category_scores']) ? result['category_scores'] : {};
    for (const [category, score] of Object.entries(found)) {
      if (typeof score === 'number') scores[category] = Math.max(scores[category] ?? 0, score);
    }
  }
  if (Object.keys(scores).length === 0) throw new LogOnlyCause('the moderation endpoint gave no scores');
  return scores;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

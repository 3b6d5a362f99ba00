/* The key by which a client may send the same request again and get the same response, and what "the same request" means. */

import { createHash } from 'node:crypto';
import { z } from 'zod';

import { type ResponseRequest } from '../domain/request.js';

export const IDEMPOTENCY_KEY = z
  .string()
  .regex(/^[\x21-\x7e]{1,255}$/u, 'must be 1 to 255 printable ASCII characters without spaces');

/**
 * A digest of what was asked: equal for the same request over REST and over a socket, streamed or not, whatever the order of
 * its fields and the ids that its items got here.
 */
export function requestFingerprint(request: ResponseRequest): string {
  const input = request.input.map(({ id: _id, ...item }) => item);
  return createHash('sha256')
    .update(JSON.stringify(sorted({ ...request, input })))
    .digest('hex');
}

/** Open JSON in a request is bounded in depth where it is parsed, so this may recurse. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const fields = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(fields.map(([key, field]) => [key, sorted(field)]));
}

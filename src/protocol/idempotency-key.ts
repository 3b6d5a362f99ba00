/*
 * The key with which a client may repeat a request and get the same response, and what makes two
 * requests the same.
 */

import { createHash } from 'node:crypto';
import { z } from 'zod';

import { type Item } from '../domain/item.js';
import { isReference, type ResponseRequest } from '../domain/request.js';

export const IDEMPOTENCY_KEY = z
  .string()
  .regex(/^[\x21-\x7e]{1,255}$/u, 'must be 1 to 255 printable ASCII characters without spaces');

/**
 * Returns a digest of a request. Equal for the same request over REST and over a socket, streamed
 * or not, regardless of the order of its fields and of the ids that its items received here.
 */
export function requestFingerprint(request: ResponseRequest): string {
  const input = request.input.map((item) => (isReference(item) ? item : withoutId(item)));
  return createHash('sha256')
    .update(JSON.stringify(sorted({ ...request, input })))
    .digest('hex');
}

function withoutId({ id: _id, ...item }: Item): Omit<Item, 'id'> {
  return item;
}

/**
 * Sorts the fields of objects. Recursion is safe: the parser bounds the depth of open JSON in a
 * request.
 */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const fields = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(fields.map(([key, field]) => [key, sorted(field)]));
}

/* Errors on the wire: OpenAI's body, and the headers that tell a client whether and when to try again. */

import { type SluiceError } from '../domain/errors.js';

/** The inside of every error, in HTTP bodies, SSE and socket events. */
export interface WireError {
  readonly message: string;
  readonly type: string;
  readonly code: string;
  readonly param: string | null;
}

export function wireError(error: SluiceError): WireError {
  return { message: error.message, type: error.type, code: error.code, param: error.param };
}

export function errorBody(error: SluiceError): { readonly error: WireError } {
  return { error: wireError(error) };
}

/** What refusals for load and limits say when nobody knows better. */
const DEFAULT_RETRY_AFTER_MS = 1_000;
const LONGEST_WAIT_OF_CLIENTS_MS = 60_000;

/** The headers of an HTTP answer that is an error. */
export function errorHeaders(error: SluiceError): Record<string, string> {
  return { ...retryHeaders(error), ...(error.status === 401 ? { 'www-authenticate': 'Bearer' } : {}) };
}

/** What every answer of the API says: it is this caller's alone, and it is what its content type says. */
export const PRIVATE_HEADERS = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' } as const;

/**
 * `x-should-retry: false` for what must not be sent again (the official client retries 409 and 5xx by itself), and
 * `retry-after` (whole seconds, rounded up) with `retry-after-ms` for what may be, later.
 * A wait of more than a minute has both, because the official client ignores such a wait and sends the request again at once.
 */
export function retryHeaders(error: SluiceError): Record<string, string> {
  if (!error.retryable) return { 'x-should-retry': 'false' };
  const later = error.status === 409 || error.status === 429 || error.status === 503;
  const afterMs = error.retryAfterMs ?? (later ? DEFAULT_RETRY_AFTER_MS : null);
  if (afterMs === null) return {};
  return {
    ...(afterMs > LONGEST_WAIT_OF_CLIENTS_MS ? { 'x-should-retry': 'false' } : {}),
    'retry-after': String(Math.max(1, Math.ceil(afterMs / 1_000))),
    'retry-after-ms': String(Math.max(1, Math.ceil(afterMs))),
  };
}
